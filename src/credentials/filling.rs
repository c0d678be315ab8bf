//! Fills in a plan: values of keys become certificates, passwords and tokens, each checked. Pure.

use jiff::Timestamp;
use lagrange_core::api::{CertificateSource, OauthSpec, SaslMechanism, SaslSpec, TlsSpec};
use lagrange_core::intent::connection::{Reference, ReferenceKind};

use super::{Held, Unusable};
use crate::kafka::connection::certificates;
use crate::kafka::connection::secret::Secret;
use crate::kafka::connection::security::{ClientCertificate, PasswordMechanism, Sasl, Tls};
use crate::kafka::token::credentials::AwsCredentials;
use crate::kafka::token::oidc::OidcConfig;

/// Most bytes of CA certificates of one connection; all CAs that browsers trust take less.
const LONGEST_AUTHORITIES: usize = 1 << 19;

/// Fills in a plan.
pub(super) struct Filling<'a, H> {
    pub(super) held: &'a H,
    pub(super) system: Option<&'a Secret>,
    pub(super) now: Timestamp,
    pub(super) allow_insecure: bool,
}

impl<H: Fn(&Reference, &str) -> Held> Filling<'_, H> {
    fn value(&self, object: &Reference, key: &str) -> Result<Secret, Unusable> {
        match (self.held)(object, key) {
            Held::Value(value) if value.bytes().is_empty() => {
                Err(Unusable::Empty(object.clone(), key.to_owned()))
            }
            // librdkafka is in C: the value would end there.
            Held::Value(value) if value.bytes().contains(&0) => Err(Unusable::Control(
                object.clone(),
                key.to_owned(),
                "a NUL character",
            )),
            Held::Value(value) => Ok(value),
            Held::TooLong(limit) => Err(Unusable::ValueTooLong(
                object.clone(),
                key.to_owned(),
                limit,
            )),
            Held::TooMuch(limit) => Err(Unusable::TooManyBytes(limit)),
            Held::NoKey => Err(Unusable::NoKey(object.clone(), key.to_owned())),
            Held::NoObject => Err(Unusable::NoObject(object.clone())),
            Held::Unreadable(why) => Err(Unusable::Unreadable(object.clone(), why)),
        }
    }

    /// A value to log in with, such as a user name or a password.
    fn login(&self, secret: &str, key: &str) -> Result<Secret, Unusable> {
        let object = in_secret(secret);
        let value = self.value(&object, key)?;
        match value.text() {
            None => Err(Unusable::NotText(object, key.to_owned())),
            Some(text) if text.ends_with(['\n', '\r']) => {
                Err(Unusable::LineBreak(object, key.to_owned()))
            }
            // SCRAM (RFC 4013) and a bearer's secret allow no control character; a tab in a PLAIN
            // password works.
            Some(text) if text.contains(|c: char| c.is_control() && c != '\t') => Err(
                Unusable::Control(object, key.to_owned(), "a control character"),
            ),
            Some(_) => Ok(value),
        }
    }

    pub(super) fn tls(&self, tls: &TlsSpec) -> Result<Tls, Unusable> {
        let authorities = match self.authorities(tls.trusted_certificates.as_deref())? {
            Some(authorities) => authorities,
            None => self.system.cloned().ok_or(Unusable::NoRoots)?,
        };
        let certificate = tls.client_certificate.as_ref().map(|certificate| {
            let object = in_secret(&certificate.secret_name);
            let bad = |key: &str| {
                let (object, key) = (object.clone(), key.to_owned());
                move |bad| Unusable::Certificate(object, key, bad)
            };
            let (chain_key, key_key) =
                (&*certificate.certificate_key, &*certificate.private_key_key);
            let chain = self.value(&object, chain_key)?;
            certificates::check_chain(&chain, self.now).map_err(bad(chain_key))?;
            let key = self.value(&object, key_key)?;
            certificates::check_key(&key, &chain).map_err(bad(key_key))?;
            Ok(ClientCertificate { chain, key })
        });
        Ok(Tls {
            authorities,
            certificate: certificate.transpose()?,
        })
    }

    /// All CA certificates, concatenated; `None` if none are named.
    fn authorities(
        &self,
        sources: Option<&[CertificateSource]>,
    ) -> Result<Option<Secret>, Unusable> {
        let mut all = Vec::new();
        for written in sources.unwrap_or_default() {
            let Some(object) = Reference::to(written) else {
                continue;
            };
            let value = self.value(&object, &written.key)?;
            certificates::check_authorities(&value, self.now)
                .map_err(|bad| Unusable::Certificate(object, written.key.clone(), bad))?;
            all.extend_from_slice(value.bytes());
            all.push(b'\n');
            if all.len() > LONGEST_AUTHORITIES {
                return Err(Unusable::TooLong(LONGEST_AUTHORITIES));
            }
        }
        Ok((!all.is_empty()).then(|| Secret::new(all)))
    }

    /// A checked plan never gives `None`.
    pub(super) fn sasl(&self, sasl: &SaslSpec) -> Result<Option<Sasl>, Unusable> {
        let mechanism = match sasl.mechanism {
            SaslMechanism::Plain => PasswordMechanism::Plain,
            SaslMechanism::ScramSha256 => PasswordMechanism::ScramSha256,
            SaslMechanism::ScramSha512 => PasswordMechanism::ScramSha512,
            SaslMechanism::OauthBearer => {
                let oauth = sasl.oauth.as_ref().map(|oauth| self.oauth(oauth));
                return Ok(oauth.transpose()?.map(Sasl::Oidc));
            }
            SaslMechanism::Gssapi => {
                let kerberos = sasl.kerberos.as_ref();
                return Ok(Some(Sasl::Kerberos {
                    service: kerberos
                        .map_or("kafka", |kerberos| &kerberos.service_name)
                        .to_owned(),
                }));
            }
            SaslMechanism::AwsMskIam => {
                let Some(aws) = &sasl.aws else {
                    return Ok(None);
                };
                let Some(keys) = &aws.credentials_secret else {
                    return Ok(Some(Sasl::MskIamOfPod {
                        region: aws.region.clone(),
                    }));
                };
                let value = |key: &str| self.login(&keys.secret_name, key);
                let access_key_id = value(&keys.access_key_id_key)?;
                return Ok(Some(Sasl::MskIam {
                    region: aws.region.clone(),
                    credentials: AwsCredentials {
                        access_key_id: access_key_id.text().unwrap_or_default().to_owned(),
                        secret_access_key: value(&keys.secret_access_key_key)?,
                        session_token: keys.session_token_key.as_deref().map(value).transpose()?,
                    },
                }));
            }
        };
        let username = match (&sasl.username, &sasl.username_secret) {
            (Some(name), _) => Secret::new(name.as_str()),
            (None, Some(secret)) => self.login(&secret.secret_name, &secret.key)?,
            (None, None) => return Ok(None),
        };
        let Some(password) = &sasl.password_secret else {
            return Ok(None);
        };
        Ok(Some(Sasl::Password {
            mechanism,
            username,
            password: self.login(&password.secret_name, &password.key)?,
        }))
    }

    fn oauth(&self, oauth: &OauthSpec) -> Result<OidcConfig, Unusable> {
        let secret = &oauth.client_secret;
        let authorities = self.authorities(oauth.trusted_certificates.as_deref())?;
        Ok(OidcConfig {
            token_endpoint: oauth.token_endpoint.clone(),
            client_id: oauth.client_id.clone(),
            client_secret: self.login(&secret.secret_name, &secret.key)?,
            scope: oauth.scope.clone(),
            extensions: oauth
                .extensions
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
            trusted_certificates: authorities.map(|authorities| authorities.bytes().to_vec()),
            allow_insecure: self.allow_insecure,
            // Set by the code that opens the client, from the flags of the process.
            allow_local_addresses: false,
        })
    }
}

fn in_secret(name: &str) -> Reference {
    Reference {
        kind: ReferenceKind::Secret,
        name: name.to_owned(),
    }
}
