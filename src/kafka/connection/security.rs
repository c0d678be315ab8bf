//! Encryption and login of a connection, as properties of librdkafka. Everything stays in memory.
//! Reads nothing, connects to nothing.

use std::fmt;
use std::sync::Arc;

use super::secret::Secret;
use crate::kafka::token::TokenSource;
use crate::kafka::token::aws::MskIam;
use crate::kafka::token::credentials::AwsCredentials;
use crate::kafka::token::identity::PodIdentity;
use crate::kafka::token::oidc::{ClientCredentials, OidcConfig};

/// Encryption and login of a connection. The default is plaintext without a login.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Security {
    /// Encryption; `None`: plaintext.
    pub tls: Option<Tls>,
    /// Login; `None`: none, or by the certificate in `tls`.
    pub sasl: Option<Sasl>,
}

/// Encryption.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls {
    /// CA certificates that may have signed a broker's certificate: PEM, one after the other.
    pub authorities: Secret,
    /// The certificate that the client presents.
    pub certificate: Option<ClientCertificate>,
}

/// A certificate, its chain up to an authority, and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM, the client's own certificate first.
    pub chain: Secret,
    /// PEM, not encrypted.
    pub key: Secret,
}

/// Login.
#[derive(Clone, PartialEq, Eq)]
pub enum Sasl {
    /// A name and a password.
    Password {
        /// How they are sent.
        mechanism: PasswordMechanism,
        /// The name.
        username: Secret,
        /// The password.
        password: Secret,
    },
    /// Tokens of an OAuth 2 server.
    Oidc(OidcConfig),
    /// Tokens signed with an AWS access key.
    MskIam {
        /// Region of the cluster.
        region: String,
        /// The access key.
        credentials: AwsCredentials,
    },
    /// Tokens signed with the role of the operator's own Pod (SAFE-36).
    MskIamOfPod {
        /// Region of the cluster.
        region: String,
    },
    /// Kerberos, with the keytab of the operator's process (SAFE-36).
    Kerberos {
        /// First part of the brokers' principals.
        service: String,
    },
}

impl Sasl {
    /// Whether the login uses tokens that expire. A connection presents the first of them.
    pub(in crate::kafka) const fn is_by_token(&self) -> bool {
        match self {
            Self::Oidc(_) | Self::MskIam { .. } | Self::MskIamOfPod { .. } => true,
            Self::Password { .. } | Self::Kerberos { .. } => false,
        }
    }
}

/// How username and password are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMechanism {
    /// In clear text.
    Plain,
    /// SCRAM-SHA-256: proven without being sent.
    ScramSha256,
    /// SCRAM-SHA-512: the same with a longer hash.
    ScramSha512,
}

impl PasswordMechanism {
    /// The name that Kafka gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Security {
    /// Properties of librdkafka, and their values.
    pub(super) fn properties(&self) -> Vec<(&'static str, Secret)> {
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        let mut properties = vec![("security.protocol", Secret::new(protocol))];
        if let Some(tls) = &self.tls {
            properties.push(("ssl.ca.pem", tls.authorities.clone()));
            if let Some(certificate) = &tls.certificate {
                properties.push(("ssl.certificate.pem", certificate.chain.clone()));
                properties.push(("ssl.key.pem", certificate.key.clone()));
            }
        }
        match &self.sasl {
            None => {}
            Some(Sasl::Password {
                mechanism,
                username,
                password,
            }) => {
                properties.push(("sasl.mechanism", Secret::new(mechanism.as_str())));
                properties.push(("sasl.username", username.clone()));
                properties.push(("sasl.password", password.clone()));
            }
            Some(Sasl::Oidc(_) | Sasl::MskIam { .. } | Sasl::MskIamOfPod { .. }) => {
                properties.push(("sasl.mechanism", Secret::new("OAUTHBEARER")));
            }
            Some(Sasl::Kerberos { service }) => {
                properties.push(("sasl.mechanism", Secret::new("GSSAPI")));
                properties.push(("sasl.kerberos.service.name", Secret::new(service.as_str())));
                // No `kinit`, which would need a shell and a cache file: the library gets tickets
                // from the keytab itself.
                properties.push(("sasl.kerberos.min.time.before.relogin", Secret::new("0")));
            }
        }
        properties
    }
}

impl Security {
    /// The source of tokens, if the login uses tokens. For the operator's own identity it reads the
    /// environment of the process.
    pub(in crate::kafka) fn tokens(
        &self,
        allow_local_addresses: bool,
    ) -> Result<Option<Arc<dyn TokenSource>>, String> {
        Ok(match &self.sasl {
            Some(Sasl::Oidc(config)) => {
                let config = OidcConfig {
                    allow_local_addresses,
                    ..config.clone()
                };
                Some(Arc::new(
                    ClientCredentials::new(config).map_err(|error| error.to_string())?,
                ))
            }
            Some(Sasl::MskIam {
                region,
                credentials,
            }) => Some(Arc::new(
                MskIam::new(region, credentials).map_err(|error| error.to_string())?,
            )),
            Some(Sasl::MskIamOfPod { region }) => {
                let identity = PodIdentity::of_process(region);
                let source = identity.and_then(|identity| MskIam::of_pod(region, identity));
                Some(Arc::new(source.map_err(|error| error.to_string())?))
            }
            Some(Sasl::Password { .. } | Sasl::Kerberos { .. }) | None => None,
        })
    }
}

impl fmt::Debug for Security {
    /// Shows the kind of protection only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = match &self.tls {
            None => "plaintext",
            Some(Tls {
                certificate: None, ..
            }) => "TLS",
            Some(_) => "mutual TLS",
        };
        let login = match &self.sasl {
            None => "no login",
            Some(Sasl::Password { mechanism, .. }) => mechanism.as_str(),
            Some(Sasl::Oidc(_)) => "OAUTHBEARER",
            Some(Sasl::MskIam { .. } | Sasl::MskIamOfPod { .. }) => "AWS_MSK_IAM",
            Some(Sasl::Kerberos { .. }) => "GSSAPI",
        };
        write!(f, "{tls}, {login}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let security = Security {
            tls: Some(Tls {
                authorities: Secret::new("authority-marker"),
                certificate: Some(ClientCertificate {
                    chain: Secret::new("chain-marker"),
                    key: Secret::new("key-marker"),
                }),
            }),
            sasl: Some(Sasl::Password {
                mechanism: PasswordMechanism::ScramSha512,
                username: Secret::new("name-marker"),
                password: Secret::new("password-marker"),
            }),
        };
        assert_eq!(format!("{security:?}"), "mutual TLS, SCRAM-SHA-512");
        let properties = format!("{:?}", security.properties());
        assert!(!properties.contains("marker"), "{properties}");
        assert!(properties.contains("sasl.password"), "{properties}");
    }
}
