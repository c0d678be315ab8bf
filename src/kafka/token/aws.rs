//! Tokens for Amazon MSK with IAM: a presigned URL of a request to MSK that is never sent. Connects
//! to nothing, except to get the access key of the operator's own Pod, which it does for each
//! token.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt;
use futures::future::BoxFuture;
use zeroize::Zeroizing;

use super::credentials::AwsCredentials;
use super::identity::PodIdentity;
use super::{InvalidAws, Token, TokenError, TokenSource};

/// How long MSK accepts a signature for new connections.
const LIFETIME: Duration = Duration::from_secs(900);
/// The action for which a broker asks IAM.
const ACTION: (&str, &str) = ("Action", "kafka-cluster:Connect");
const SERVICE: &str = "kafka-cluster";
/// The client's name in the logs of MSK.
const USER_AGENT: (&str, &str) = (
    "User-Agent",
    concat!("lagrange/", env!("CARGO_PKG_VERSION")),
);

/// Signs a token for each login.
pub struct MskIam {
    region: String,
    signer: Signer,
}

/// The key that signs.
enum Signer {
    /// A given key.
    Key(Credentials),
    /// The operator's own. It lasts for hours, but a token only for minutes, so it is asked for
    /// with each token.
    Pod(PodIdentity),
}

impl MskIam {
    /// Checks the form of region and credentials. Whether AWS accepts them shows at the login.
    pub fn new(region: &str, credentials: &AwsCredentials) -> Result<Self, InvalidAws> {
        Ok(Self {
            region: checked_region(region)?,
            signer: Signer::Key(checked(credentials)?),
        })
    }

    /// Signs as the operator's own Pod.
    pub fn of_pod(region: &str, identity: PodIdentity) -> Result<Self, InvalidAws> {
        Ok(Self {
            region: checked_region(region)?,
            signer: Signer::Pod(identity),
        })
    }

    async fn signed(&self) -> Result<Token, TokenError> {
        match &self.signer {
            Signer::Key(credentials) => self.sign(credentials, SystemTime::now()),
            Signer::Pod(identity) => {
                let lent = identity.credentials().await?;
                let credentials = checked(&lent.credentials).map_err(|_| TokenError::Identity {
                    reason: "its access key has characters that an access key cannot have",
                })?;
                let mut token = self.sign(&credentials, SystemTime::now())?;
                // A signature is valid no longer than the key that made it.
                token.expires = token.expires.min(lent.expires);
                Ok(token)
            }
        }
    }

    fn sign(&self, credentials: &Credentials, now: SystemTime) -> Result<Token, TokenError> {
        let query = |(name, value)| {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair(name, value).finish()
        };
        let mut url = Zeroizing::new(format!(
            "https://kafka.{}.amazonaws.com/?{}",
            self.region,
            query(ACTION)
        ));
        let request = Presigned {
            url: &url,
            service: SERVICE,
            region: &self.region,
            lifetime: LIFETIME,
            body: SignableBody::empty(),
        };
        let signature = request.parameters(credentials, now)?;
        for (name, value) in &signature {
            url.push('&');
            url.push_str(&query((*name, value)));
        }
        url.push('&');
        url.push_str(&query(USER_AGENT));
        Ok(Token::new(
            URL_SAFE_NO_PAD.encode(url.as_bytes()),
            whole_seconds(now) + LIFETIME,
            credentials.access_key_id().to_owned(),
        ))
    }
}

impl TokenSource for MskIam {
    fn token(&self) -> BoxFuture<'_, Result<Token, TokenError>> {
        self.signed().boxed()
    }
}

impl fmt::Debug for MskIam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MskIam");
        shown.field("region", &self.region);
        match &self.signer {
            Signer::Key(credentials) => shown.field("access_key_id", &credentials.access_key_id()),
            Signer::Pod(identity) => shown.field("identity", identity),
        };
        shown.finish_non_exhaustive()
    }
}

/// A GET request that is signed in its query.
struct Presigned<'a> {
    url: &'a str,
    service: &'a str,
    region: &'a str,
    lifetime: Duration,
    body: SignableBody<'a>,
}

impl Presigned<'_> {
    /// The parameters to add to its query, the signature among them.
    fn parameters(
        self,
        credentials: &Credentials,
        now: SystemTime,
    ) -> Result<Vec<(&'static str, String)>, TokenError> {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(self.lifetime);
        let identity = credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(now)
            .settings(settings)
            .build()
            .map_err(|_| TokenError::NotSigned)?
            .into();
        // Errors may quote what was to be signed: they are dropped.
        let (signed, _) = SignableRequest::new("GET", self.url, std::iter::empty(), self.body)
            .and_then(|request| sign(request, &params))
            .map_err(|_| TokenError::NotSigned)?
            .into_parts();
        let (_, parameters) = signed.into_parts();
        Ok(parameters
            .into_iter()
            .map(|(name, value)| (name, value.into_owned()))
            .collect())
    }
}

fn checked_region(region: &str) -> Result<String, InvalidAws> {
    // The region becomes part of a host name.
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || !region.bytes().all(letter) {
        return Err(InvalidAws::Region {
            region: region.to_owned(),
        });
    }
    Ok(region.to_owned())
}

fn checked(credentials: &AwsCredentials) -> Result<Credentials, InvalidAws> {
    let session_token = credentials.session_token.as_ref();
    Ok(Credentials::new(
        graphic("access key id", Some(&credentials.access_key_id))?,
        graphic("secret access key", credentials.secret_access_key.text())?,
        session_token
            .map(|token| graphic("session token", token.text()))
            .transpose()?,
        None,
        "lagrange",
    ))
}

fn graphic(name: &'static str, text: Option<&str>) -> Result<String, InvalidAws> {
    text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(str::to_owned)
        .ok_or(InvalidAws::Credential { name })
}

/// The time of a signature has no fractions.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
    SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch.unwrap_or_default().as_secs())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;

    use super::*;
    use crate::kafka::connection::secret::Secret;

    /// The key in AWS's documentation.
    fn documented() -> AwsCredentials {
        AwsCredentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        }
    }

    fn temporary() -> AwsCredentials {
        AwsCredentials {
            session_token: Some(Secret::new("marker+session/token==")),
            ..documented()
        }
    }

    fn at(time: &str) -> SystemTime {
        time.parse::<jiff::Timestamp>().unwrap().into()
    }

    /// The parts of a token that a broker reads.
    fn parsed(token: &Token) -> (String, BTreeMap<String, String>) {
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token.value()).unwrap()).unwrap();
        let (address, query) = url.split_once('?').unwrap();
        let parameters = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        (address.to_owned(), parameters)
    }

    /// The example of "Authenticating Requests: Using Query Parameters" in the Amazon S3 API
    /// Reference.
    #[test]
    fn the_signature_is_that_of_the_aws_documentation() {
        let request = Presigned {
            url: "https://examplebucket.s3.amazonaws.com/test.txt",
            service: "s3",
            region: "us-east-1",
            lifetime: Duration::from_secs(86400),
            body: SignableBody::UnsignedPayload,
        };
        let signed = request
            .parameters(&checked(&documented()).unwrap(), at("2013-05-24T00:00:00Z"))
            .unwrap();
        let signature = signed.iter().find(|(name, _)| *name == "X-Amz-Signature");
        assert_eq!(
            signature.map(|(_, signature)| &**signature),
            Some("aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")
        );
    }

    /// AWS's own signer for Python (aws-msk-iam-sasl-signer-python 1.0.2) makes the same signatures
    /// from the same keys and times.
    #[rstest]
    #[case::permanent(
        documented(),
        None,
        "9e8195c8e0e5c586ad84b0cccc5d99e8e4a902385a0c857c7051fea6f123932f"
    )]
    #[case::temporary(
        temporary(),
        Some("marker+session/token=="),
        "0af1c9032b39579d61acfb1762a40dbd0ac05a06751bf81ed4132a1da6d960f4"
    )]
    fn a_token_is_a_presigned_url_of_msk(
        #[case] credentials: AwsCredentials,
        #[case] session_token: Option<&str>,
        #[case] signature: &str,
    ) {
        let source = MskIam::new("eu-central-1", &credentials).unwrap();
        let key = checked(&credentials).unwrap();
        let token = source.sign(&key, at("2026-11-24T12:00:00.75Z")).unwrap();
        let (address, parameters) = parsed(&token);
        assert_eq!(address, "https://kafka.eu-central-1.amazonaws.com/");
        let mut expected: BTreeMap<_, _> = [
            ("Action", "kafka-cluster:Connect"),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            (
                "X-Amz-Credential",
                "AKIAIOSFODNN7EXAMPLE/20261124/eu-central-1/kafka-cluster/aws4_request",
            ),
            ("X-Amz-Date", "20261124T120000Z"),
            ("X-Amz-Expires", "900"),
            ("X-Amz-SignedHeaders", "host"),
            ("X-Amz-Signature", signature),
            USER_AGENT,
        ]
        .into();
        expected.extend(session_token.map(|token| ("X-Amz-Security-Token", token)));
        let parameters: BTreeMap<_, _> = parameters.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(parameters, expected);
        assert_eq!(token.expires, at("2026-11-24T12:15:00Z"));
        assert_eq!(token.principal, "AKIAIOSFODNN7EXAMPLE");
        assert_eq!(token.extensions, []);
    }

    #[tokio::test]
    async fn a_token_is_valid_for_fifteen_minutes() {
        let source = MskIam::new("eu-central-1", &documented()).unwrap();
        let now = SystemTime::now();
        let token = source.token().await.unwrap();
        let lives = token.expires.duration_since(now).unwrap();
        assert!(lives > Duration::from_secs(898) && lives < Duration::from_secs(910));
    }

    #[rstest]
    #[case("")]
    #[case("EU-CENTRAL-1")]
    #[case("eu-central-1.example.com/?")]
    fn a_region_that_would_change_the_host_is_refused(#[case] region: &str) {
        let region = region.to_owned();
        assert_eq!(
            MskIam::new(&region, &documented()).unwrap_err(),
            InvalidAws::Region { region }
        );
    }

    #[rstest]
    #[case("", "marker", "marker", "access key id")]
    #[case("AKIA\n", "marker", "marker", "access key id")]
    #[case("AKIA", "marker\n", "marker", "secret access key")]
    #[case("AKIA", "marker", " marker", "session token")]
    fn an_invalid_credential_is_named_and_not_shown(
        #[case] id: &str,
        #[case] secret: &str,
        #[case] session: &str,
        #[case] named: &'static str,
    ) {
        let credentials = AwsCredentials {
            access_key_id: id.to_owned(),
            secret_access_key: Secret::new(secret),
            session_token: Some(Secret::new(session)),
        };
        let error = MskIam::new("eu-central-1", &credentials).unwrap_err();
        assert_eq!(error, InvalidAws::Credential { name: named });
        assert!(!format!("{error} {credentials:?}").contains("marker"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let source = MskIam::new("eu-central-1", &temporary()).unwrap();
        let key = checked(&temporary()).unwrap();
        let token = source.sign(&key, at("2026-11-24T12:00:00Z")).unwrap();
        let shown = format!("{source:?} {token:?} {:?}", temporary());
        for hidden in ["marker", "wJalr", token.value()] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        assert!(shown.contains("AKIAIOSFODNN7EXAMPLE"), "{shown}");
    }
}
