//! Keys over real connections, from an agent and from a token service. Requests and answers contain
//! markers that no error may show.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use lagrange_fakes::token_server::{Server, answer};
use rstest::rstest;
use tempfile::NamedTempFile;

use super::super::aws::MskIam;
use super::super::identity::{Lent, PodIdentity};
use super::super::{InvalidAws, TokenSource};
use crate::kafka::connection::secret::Secret;

const REGION: &str = "eu-central-1";
const ROLE: &str = "arn:aws:iam::111122223333:role/lagrange";

/// A file with the token of a service account.
fn token_file(token: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(token.as_bytes()).unwrap();
    file
}

fn of(variables: &[(&str, &str)]) -> Result<PodIdentity, InvalidAws> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    PodIdentity::of(REGION, |name| {
        variables.get(name).map(|&value| value.to_owned())
    })
}

fn by_agent(url: &str, file: &NamedTempFile) -> PodIdentity {
    let file = file.path().to_str().unwrap();
    of(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file),
    ])
    .unwrap()
}

fn by_web_identity(url: &str, file: &NamedTempFile) -> PodIdentity {
    let file = file.path().to_str().unwrap();
    of(&[
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file),
        ("AWS_ENDPOINT_URL_STS", url),
        // With both kinds at once, AWS's own libraries use the role.
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://169.254.170.23/v1/credentials",
        ),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file),
    ])
    .unwrap()
}

fn in_an_hour() -> String {
    (Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string()
}

/// An answer of the EKS agent.
fn of_the_agent(expires: &str) -> String {
    format!(
        r#"{{ "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "marker-secret", "Token": "marker-session/==",
              "AccountId": "111122223333", "Expiration": "{expires}" }}"#
    )
}

/// An answer of the Security Token Service.
fn of_the_service(expires: &str) -> String {
    format!(
        r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>system:serviceaccount:lagrange:lagrange</SubjectFromWebIdentityToken>
    <Audience>sts.amazonaws.com</Audience>
    <AssumedRoleUser>
      <Arn>arn:aws:sts::111122223333:assumed-role/lagrange/lagrange</Arn>
      <AssumedRoleId>AROAEXAMPLE:lagrange</AssumedRoleId>
    </AssumedRoleUser>
    <Credentials>
      <SessionToken>marker-session/==</SessionToken>
      <SecretAccessKey>marker-secret</SecretAccessKey>
      <Expiration>{expires}</Expiration>
      <AccessKeyId>ASIAEXAMPLE</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"#
    )
}

fn assert_lent(lent: &Lent) {
    let key = &lent.credentials;
    assert_eq!(key.access_key_id, "ASIAEXAMPLE");
    assert_eq!(key.secret_access_key.text(), Some("marker-secret"));
    let session = key.session_token.as_ref().and_then(Secret::text);
    assert_eq!(session, Some("marker-session/=="));
    let lasts = lent.expires.duration_since(SystemTime::now()).unwrap();
    assert!(lasts > Duration::from_mins(59), "{lasts:?}");
}

#[tokio::test]
async fn the_agent_gets_the_token_of_the_file() {
    let mut agent = Server::start_plain(|_| answer(200, &of_the_agent(&in_an_hour()))).await;
    let file = token_file("marker-token\n");
    assert_lent(&by_agent(agent.url(), &file).credentials().await.unwrap());
    let seen = agent.request().await;
    assert_eq!(seen.line, "GET /token");
    assert_eq!(seen.headers["authorization"], "marker-token");
    assert_eq!(seen.body, "");
}

#[tokio::test]
async fn the_token_service_gets_role_and_token() {
    let mut service = Server::start_plain(|_| answer(200, &of_the_service(&in_an_hour()))).await;
    let file = token_file("marker-token");
    let identity = by_web_identity(service.url(), &file);
    assert_lent(&identity.credentials().await.unwrap());
    let seen = service.request().await;
    assert_eq!(seen.line, "POST /token");
    assert!(!seen.headers.contains_key("authorization"));
    let form: BTreeMap<_, _> = form_urlencoded::parse(seen.body.as_bytes())
        .into_owned()
        .collect();
    let form: BTreeMap<_, _> = form.iter().map(|(k, v)| (&**k, &**v)).collect();
    let expected = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", ROLE),
        ("RoleSessionName", "lagrange"),
        ("WebIdentityToken", "marker-token"),
    ];
    assert_eq!(form, expected.into());
}

#[tokio::test]
async fn a_renewed_token_file_is_read_again() {
    let mut agent = Server::start_plain(|_| answer(200, &of_the_agent(&in_an_hour()))).await;
    let file = token_file("first");
    let identity = by_agent(agent.url(), &file);
    for token in ["first", "second"] {
        std::fs::write(file.path(), token).unwrap();
        identity.credentials().await.unwrap();
        assert_eq!(agent.request().await.headers["authorization"], token);
    }
}

#[tokio::test]
async fn a_token_expires_with_the_key_that_signed_it() {
    let soon = Timestamp::now() + jiff::SignedDuration::from_secs(90);
    let body = of_the_agent(&soon.to_string());
    let agent = Server::start_plain(move |_| answer(200, &body)).await;
    let file = token_file("marker-token");
    let source = MskIam::of_pod(REGION, by_agent(agent.url(), &file)).unwrap();
    let token = source.token().await.unwrap();
    assert_eq!(token.expires, SystemTime::from(soon));
    assert_eq!(token.principal, "ASIAEXAMPLE");
    assert!(!format!("{source:?} {token:?}").contains("marker"));
}

#[rstest]
#[case::refused(403, r#"{"message":"marker"}"#, "marker-token", "status 403", true)]
#[case::too_many_requests(429, "marker", "marker-token", "status 429", false)]
#[case::server_error(500, "marker", "marker-token", "status 500", false)]
#[case::no_key(200, "{\"marker\":1}", "marker-token", "something else", false)]
#[case::no_token(200, "", " \n", "cannot be read", false)]
#[case::of_two_lines(200, "", "marker\ntoken", "cannot be read", false)]
#[tokio::test]
async fn an_error_says_why_and_repeats_nothing(
    #[case] status: u16,
    #[case] body: &'static str,
    #[case] token: &str,
    #[case] says: &str,
    #[case] refusal: bool,
) {
    let agent = Server::start_plain(move |_| answer(status, body)).await;
    let file = token_file(token);
    let identity = by_agent(agent.url(), &file);
    let error = identity.credentials().await.err().unwrap();
    assert!(error.to_string().contains(says), "{error}");
    assert_eq!(error.is_refusal(), refusal);
    assert!(!format!("{error} {error:?} {identity:?}").contains("marker"));
}

#[tokio::test]
async fn an_expired_key_is_not_used() {
    let body = of_the_agent("2020-01-01T00:00:00Z");
    let agent = Server::start_plain(move |_| answer(200, &body)).await;
    let file = token_file("marker-token");
    let error = by_agent(agent.url(), &file).credentials().await;
    let error = error.err().unwrap();
    assert!(error.to_string().contains("expired already"), "{error}");
}

#[test]
fn a_process_without_the_variables_has_no_identity() {
    assert_eq!(of(&[]).unwrap_err(), InvalidAws::NoIdentity);
    let half = [(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "http://169.254.170.23/v1/credentials",
    )];
    assert_eq!(of(&half).unwrap_err(), InvalidAws::NoIdentity);
}

/// SAFE-38 is about what a resource names. The environment of the process may name the agent that
/// EKS puts on the node's link.
#[rstest]
#[case::eks("http://169.254.170.23/v1/credentials", true)]
#[case::eks_by_ipv6("http://[fd00:ec2::23]/v1/credentials", true)]
#[case::here("http://127.0.0.1:8080/", true)]
#[case::elsewhere("https://credentials.example.com/", true)]
#[case::elsewhere_without_tls("http://credentials.example.com/", false)]
#[case::the_node("http://169.254.169.254/latest/meta-data", false)]
#[case::the_node_over_tls("https://169.254.169.254/latest/meta-data", false)]
#[case::not_a_url("credentials", false)]
fn http_is_allowed_only_to_the_agent_and_this_machine(#[case] url: &str, #[case] asked: bool) {
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/token"),
    ];
    let variable = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    match of(&variables) {
        Ok(_) => assert!(asked),
        Err(error) => {
            assert!(!asked);
            assert_eq!(error, InvalidAws::Endpoint { variable });
        }
    }
}
