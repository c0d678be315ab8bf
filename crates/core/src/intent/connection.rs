//! How to connect, as the user wrote it: checked, and with the Secrets and ConfigMaps that it
//! refers to. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::json;

use super::invalid::{InvalidSpec, without_control_characters};
use super::servers::Servers;
use crate::api::{
    CertificateSource, KafkaClusterSpec, KafkaSource, SaslMechanism, SaslSpec, TlsSpec,
};

/// The Kafka cluster of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A KafkaCluster. Whether it exists and allows this namespace is checked elsewhere.
    Cluster {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The connection in the ConsumerGroup itself.
    Inline(Box<Plan>),
}

/// A connection as it was written, after the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    servers: Servers,
    tls: Option<TlsSpec>,
    sasl: Option<SaslSpec>,
    allow_insecure: bool,
}

/// An object with a part of a connection, in the namespace of the resource that refers to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Its kind.
    pub kind: ReferenceKind,
    /// Its name.
    pub name: String,
}

/// Kinds of such objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReferenceKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ReferenceKind::Secret => "Secret",
            ReferenceKind::ConfigMap => "ConfigMap",
        };
        write!(f, "{kind} {}", self.name)
    }
}

impl Plan {
    /// The connection of a KafkaCluster.
    pub fn of_cluster(spec: &KafkaClusterSpec) -> Result<Self, InvalidSpec> {
        Self::checked(
            Servers::parse(&spec.bootstrap_servers)?,
            spec.tls.clone(),
            spec.sasl.clone(),
            spec.allow_insecure,
        )
    }

    /// The connection in a ConsumerGroup.
    pub(super) fn inline(servers: &[String], source: &KafkaSource) -> Result<Self, InvalidSpec> {
        Self::checked(
            Servers::parse(servers)?,
            source.tls.clone(),
            source.sasl.clone(),
            source.allow_insecure,
        )
    }

    fn checked(
        servers: Servers,
        tls: Option<TlsSpec>,
        sasl: Option<SaslSpec>,
        allow_insecure: bool,
    ) -> Result<Self, InvalidSpec> {
        if let Some(sasl) = &sasl {
            check(sasl, tls.is_some(), allow_insecure)?;
        }
        Ok(Self {
            servers,
            tls,
            sasl,
            allow_insecure,
        })
    }

    /// The servers.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// How the brokers are verified, if the connection is encrypted.
    pub fn tls(&self) -> Option<&TlsSpec> {
        self.tls.as_ref()
    }

    /// The login, if there is one.
    pub fn sasl(&self) -> Option<&SaslSpec> {
        self.sasl.as_ref()
    }

    /// Whether passwords and tokens may cross the network unencrypted.
    pub fn allows_insecure(&self) -> bool {
        self.allow_insecure
    }

    /// The origin of the credentials: the fields as they are written. Plaintext without a login has
    /// the same origin everywhere.
    pub fn origin(&self, namespace: &str) -> String {
        if self.tls.is_none() && self.sasl.is_none() {
            return String::new();
        }
        let fields = json!({
            "namespace": namespace,
            "tls": self.tls,
            "sasl": self.sasl,
            "allowInsecure": self.allow_insecure,
        });
        fields.to_string()
    }

    /// Whether the login uses the operator's own identity, which not every namespace may (SAFE-36).
    pub fn is_by_own_identity(&self) -> bool {
        self.sasl.as_ref().is_some_and(|sasl| match sasl.mechanism {
            SaslMechanism::Gssapi => true,
            SaslMechanism::AwsMskIam => sasl
                .aws
                .as_ref()
                .is_some_and(|aws| aws.credentials_secret.is_none()),
            SaslMechanism::Plain
            | SaslMechanism::ScramSha256
            | SaslMechanism::ScramSha512
            | SaslMechanism::OauthBearer => false,
        })
    }

    /// The objects that it refers to, and the keys of each that are read.
    pub fn references(&self) -> BTreeMap<Reference, BTreeSet<String>> {
        let mut references: BTreeMap<Reference, BTreeSet<String>> = BTreeMap::new();
        let mut add = |kind, name: &str, key: &str| {
            let name = name.to_owned();
            let keys = references.entry(Reference { kind, name }).or_default();
            keys.insert(key.to_owned());
        };
        let mut secret = |name: &str, key: &str| add(ReferenceKind::Secret, name, key);
        if let Some(certificate) = self
            .tls
            .as_ref()
            .and_then(|tls| tls.client_certificate.as_ref())
        {
            secret(&certificate.secret_name, &certificate.certificate_key);
            secret(&certificate.secret_name, &certificate.private_key_key);
        }
        if let Some(sasl) = &self.sasl {
            if let Some(username) = &sasl.username_secret {
                secret(&username.secret_name, &username.key);
            }
            if let Some(password) = &sasl.password_secret {
                secret(&password.secret_name, &password.key);
            }
            if let Some(oauth) = &sasl.oauth {
                secret(&oauth.client_secret.secret_name, &oauth.client_secret.key);
            }
            let aws = sasl.aws.as_ref();
            if let Some(aws) = aws.and_then(|aws| aws.credentials_secret.as_ref()) {
                let keys = [&aws.access_key_id_key, &aws.secret_access_key_key];
                for key in keys.into_iter().chain(&aws.session_token_key) {
                    secret(&aws.secret_name, key);
                }
            }
        }
        let of_brokers = self
            .tls
            .as_ref()
            .and_then(|tls| tls.trusted_certificates.as_ref());
        let oauth = self.sasl.as_ref().and_then(|sasl| sasl.oauth.as_ref());
        let of_server = oauth.and_then(|oauth| oauth.trusted_certificates.as_ref());
        for named in of_brokers.into_iter().chain(of_server).flatten() {
            if let Some(Reference { kind, name }) = Reference::to(named) {
                add(kind, &name, &named.key);
            }
        }
        references
    }
}

/// Whether this build has Kerberos. The schema has it in every build: definitions may be older or
/// newer than the operator, and an operator without the value could not read the object at all
/// (`docs/decisions/0007`).
const KERBEROS: bool = cfg!(feature = "gssapi");

/// The rules of the schema, for objects that were stored before those existed.
fn check(sasl: &SaslSpec, tls: bool, allow_insecure: bool) -> Result<(), InvalidSpec> {
    let oauth = sasl.oauth.as_ref();
    let extensions = oauth.and_then(|oauth| oauth.extensions.as_ref());
    let written = [
        ("sasl.username", sasl.username.as_deref()),
        ("sasl.oauth.clientId", oauth.map(|oauth| &*oauth.client_id)),
        (
            "sasl.oauth.scope",
            oauth.and_then(|oauth| oauth.scope.as_deref()),
        ),
    ];
    let extensions = extensions.into_iter().flatten();
    let extensions = extensions.flat_map(|(name, value)| [&**name, &**value]);
    let extensions = extensions.map(|text| ("sasl.oauth.extensions", Some(text)));
    for (field, text) in written.into_iter().chain(extensions) {
        without_control_characters(field, text.unwrap_or_default())?;
    }
    let passwords =
        sasl.password_secret.is_some() && sasl.username.is_some() != sasl.username_secret.is_some();
    let (complete, needs) = match sasl.mechanism {
        SaslMechanism::Plain | SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512 => (
            passwords,
            "passwordSecret and one of username and usernameSecret",
        ),
        SaslMechanism::OauthBearer => (sasl.oauth.is_some(), "oauth"),
        SaslMechanism::AwsMskIam => (sasl.aws.is_some(), "aws"),
        SaslMechanism::Gssapi if !KERBEROS => return Err(InvalidSpec::NoKerberos),
        SaslMechanism::Gssapi => (true, "nothing"),
    };
    if !complete {
        return Err(InvalidSpec::Sasl { needs });
    }
    let shows = match sasl.mechanism {
        SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512 | SaslMechanism::Gssapi => false,
        SaslMechanism::Plain | SaslMechanism::OauthBearer | SaslMechanism::AwsMskIam => !tls,
    };
    let http = sasl
        .oauth
        .as_ref()
        .is_some_and(|oauth| !oauth.token_endpoint.starts_with("https:"));
    if (shows || http) && !allow_insecure {
        return Err(InvalidSpec::Insecure);
    }
    Ok(())
}

impl Reference {
    /// The object that a source of certificates refers to, if any.
    pub fn to(source: &CertificateSource) -> Option<Self> {
        let (kind, name) = match (&source.secret_name, &source.config_map_name) {
            (Some(name), _) => (ReferenceKind::Secret, name),
            (None, Some(name)) => (ReferenceKind::ConfigMap, name),
            (None, None) => return None,
        };
        Some(Self {
            kind,
            name: name.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
