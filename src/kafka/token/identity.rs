//! The AWS identity of the operator's own Pod on EKS: environment variables, a token in a file, and
//! a service that gives an access key for that token. Who may use the identity is decided elsewhere
//! (SAFE-36). The role of the node is not the operator's and is not used.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::SystemTime;

use http::{HeaderValue, Uri};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::credentials::AwsCredentials;
use super::endpoint::{Answer, Endpoint, Rules};
use super::{InvalidAws, TokenError};
use crate::kafka::connection::secret::Secret;

/// The service that gives the key, and what it asks for.
pub struct PodIdentity {
    lender: Lender,
    endpoint: Endpoint,
    token_file: PathBuf,
}

enum Lender {
    /// EKS Pod Identity: an agent on the node, which gets a token of the Pod's service account.
    Agent,
    /// IRSA: the AWS Security Token Service, which gets such a token and the role that it is for.
    Sts { role: String, session: String },
}

/// A key with its expiry.
pub(super) struct Lent {
    pub(super) credentials: AwsCredentials,
    pub(super) expires: SystemTime,
}

impl PodIdentity {
    /// The identity in the environment of this process. `region` is that of the Security Token
    /// Service, unless a variable names another.
    ///
    /// Reads the system's authorities from disk.
    pub fn of_process(region: &str) -> Result<Self, InvalidAws> {
        Self::of(region, |name| std::env::var(name).ok())
    }

    /// The identity in these variables. A role by web identity takes precedence, as in AWS's own
    /// libraries.
    pub fn of(region: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidAws> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let (Some(role), Some(file)) =
            (given("AWS_ROLE_ARN"), given("AWS_WEB_IDENTITY_TOKEN_FILE"))
        {
            let own = "AWS_ENDPOINT_URL_STS";
            let region = given("AWS_REGION").unwrap_or_else(|| region.to_owned());
            let url = given(own).unwrap_or_else(|| sts(&region));
            return Ok(Self {
                lender: Lender::Sts {
                    role,
                    session: given("AWS_ROLE_SESSION_NAME")
                        .unwrap_or_else(|| "lagrange".to_owned()),
                },
                endpoint: endpoint(&url, own)?,
                token_file: file.into(),
            });
        }
        let agent = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        match (
            given(agent),
            given("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        ) {
            (Some(url), Some(file)) => Ok(Self {
                lender: Lender::Agent,
                endpoint: endpoint(&url, agent)?,
                token_file: file.into(),
            }),
            _ => Err(InvalidAws::NoIdentity),
        }
    }

    /// A key that is valid now.
    pub(super) async fn credentials(&self) -> Result<Lent, TokenError> {
        // Read each time: the kubelet replaces it before it expires.
        let file = self.token_file.clone();
        let token = spawn_blocking(move || std::fs::read_to_string(file).map(Zeroizing::new));
        let token = match token.await {
            Ok(Ok(token)) if !token.trim().is_empty() => token,
            _ => return Err(NO_TOKEN),
        };
        let token = token.trim();
        match &self.lender {
            Lender::Agent => {
                let mut header = HeaderValue::from_str(token).map_err(|_| NO_TOKEN)?;
                header.set_sensitive(true);
                lent(&self.endpoint.get(header).await?, of_agent)
            }
            Lender::Sts { role, session } => {
                let form = assume(role, session, token);
                lent(&self.endpoint.post(None, form).await?, of_sts)
            }
        }
    }
}

impl fmt::Debug for PodIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.lender {
            Lender::Agent => "EKS Pod Identity",
            Lender::Sts { .. } => "IRSA",
        };
        f.debug_tuple(kind).field(&self.endpoint).finish()
    }
}

const NO_TOKEN: TokenError = TokenError::Identity {
    reason: "the token of its service account cannot be read: check the file that its variables \
             name",
};

/// Addresses of the EKS agent, which speaks http on the node's link.
const AGENTS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
];

/// The variables come from whoever runs the process, so they may name what a resource may not
/// (SAFE-38): the agent, or this machine. Any other address is used with TLS only, and only if it
/// is not on this machine or link.
fn endpoint(url: &str, variable: &'static str) -> Result<Endpoint, InvalidAws> {
    let invalid = InvalidAws::Endpoint { variable };
    let Ok(uri) = url.parse::<Uri>() else {
        return Err(invalid);
    };
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let near = host
        .parse()
        .is_ok_and(|address: IpAddr| AGENTS.contains(&address) || address.is_loopback());
    let rules = Rules {
        trusted_certificates: None,
        allow_insecure: near,
        allow_local_addresses: near,
    };
    Endpoint::new(url, &rules).map_err(|_| invalid)
}

/// The Security Token Service of a region.
fn sts(region: &str) -> String {
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://sts.{region}.amazonaws.com{china}/")
}

fn assume(role: &str, session: &str, token: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("Action", "AssumeRoleWithWebIdentity")
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleArn", role)
        .append_pair("RoleSessionName", session)
        .append_pair("WebIdentityToken", token)
        .finish()
}

/// The key in an answer, if `read` finds one.
fn lent(answer: &Answer, read: fn(&[u8]) -> Option<Lent>) -> Result<Lent, TokenError> {
    match answer.status {
        200..=299 => {}
        // Too many requests: this is not a refusal.
        429 => return Err(TokenError::Status { status: 429 }),
        status @ 400..=499 => return Err(TokenError::IdentityRefused { status }),
        status => return Err(TokenError::Status { status }),
    }
    let lent = read(&answer.body).ok_or(TokenError::Identity {
        reason: "the service that gives it an access key sent something else",
    })?;
    if lent.expires <= SystemTime::now() {
        return Err(TokenError::Identity {
            reason: "its access key has expired already; compare the clock of the operator's node",
        });
    }
    Ok(lent)
}

/// Reads the agent's answer, which is JSON.
fn of_agent(body: &[u8]) -> Option<Lent> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        access_key_id: String,
        secret_access_key: String,
        token: String,
        expiration: Timestamp,
    }
    let key: Body = serde_json::from_slice(body).ok()?;
    Some(Lent {
        credentials: AwsCredentials {
            access_key_id: key.access_key_id,
            secret_access_key: Secret::new(key.secret_access_key),
            session_token: Some(Secret::new(key.token)),
        },
        expires: key.expiration.into(),
    })
}

/// Reads the answer of the Security Token Service, which is XML. It needs four elements, none of
/// which can hold characters that XML would escape.
fn of_sts(body: &[u8]) -> Option<Lent> {
    let text = std::str::from_utf8(body).ok()?;
    let key = element(text, "Credentials")?;
    let value = |name| element(key, name).filter(|value| !value.contains(['<', '&']));
    Some(Lent {
        credentials: AwsCredentials {
            access_key_id: value("AccessKeyId")?.to_owned(),
            secret_access_key: Secret::new(value("SecretAccessKey")?),
            session_token: Some(Secret::new(value("SessionToken")?)),
        },
        expires: value("Expiration")?.parse::<Timestamp>().ok()?.into(),
    })
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inside.trim())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::kafka::token::aws::MskIam;

    #[rstest]
    #[case("eu-central-1", "https://sts.eu-central-1.amazonaws.com/")]
    #[case("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn/")]
    fn each_region_has_its_own_token_service(#[case] region: &str, #[case] url: &str) {
        assert_eq!(sts(region), url);
    }

    #[test]
    fn a_mangled_answer_gives_a_one_line_error() {
        let agent = r#"{"AccessKeyId":"ASIA","SecretAccessKey":"s","Token":"t","Expiration":"2026-11-24T12:00:00Z"}"#;
        let sts = "<AssumeRoleWithWebIdentityResponse><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                   <SessionToken>t</SessionToken><Expiration>2026-11-24T12:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResponse>";
        lagrange_fuzz::fuzz(&[agent, sts], |bytes| {
            for read in [of_agent, of_sts] {
                if let Some(lent) = read(bytes) {
                    let _ = MskIam::new("eu-central-1", &lent.credentials);
                    let _ = lent.expires.min(SystemTime::now());
                }
            }
        });
    }
}
