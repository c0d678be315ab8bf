//! Tokens from an endpoint over real connections. Every answer contains markers that no error may
//! show.

mod identity;

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{Response, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, stream};
use lagrange_fakes::token_server::{Authority, Server, answer};
use rstest::rstest;
use tokio::net::TcpListener;
use tokio::time::{advance, pause};

use super::endpoint::{DEADLINE, LARGEST_ANSWER};
use super::oidc::{ClientCredentials, OidcConfig};
use super::{Token, TokenError, TokenSource};
use crate::kafka::connection::secret::Secret;

/// The client's secret.
const SECRET: &str = "marker-secret";
/// In every answer that has no token, together with what the client sent.
const BODY: &str = "marker-body";

fn config(url: &str, authority: &Authority) -> OidcConfig {
    OidcConfig {
        token_endpoint: url.to_owned(),
        client_id: "shop".to_owned(),
        client_secret: Secret::new(SECRET),
        scope: Some("kafka".to_owned()),
        extensions: vec![("logicalCluster".to_owned(), "lkc-1".to_owned())],
        trusted_certificates: Some(authority.pem().into_bytes()),
        allow_insecure: false,
        allow_local_addresses: true,
    }
}

fn client(server: &Server) -> ClientCredentials {
    ClientCredentials::new(config(server.url(), server.authority())).unwrap()
}

/// The client's error, after checking that neither shows a secret.
async fn refused(client: &ClientCredentials) -> TokenError {
    let error = client.token().await.unwrap_err();
    assert_discreet(&format!("{error} {error:?} {client:?}"));
    error
}

fn assert_discreet(shown: &str) {
    let basic = STANDARD.encode(format!("shop:{SECRET}"));
    for marker in [SECRET, BODY, &basic] {
        assert!(!shown.contains(marker), "{shown}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let mut token = Token::new(BODY.to_owned(), SystemTime::UNIX_EPOCH, "shop".to_owned());
    token.extensions = vec![("logicalCluster".to_owned(), BODY.to_owned())];
    let shown = format!("{token:?}");
    assert_discreet(&shown);
    assert!(shown.contains("shop") && shown.contains("logicalCluster"));
    assert_discreet(&format!(
        "{:?}",
        config(
            "https://sso.example.com/?key=marker-body",
            &Authority::new()
        )
    ));
}

#[tokio::test]
async fn a_client_with_the_right_secret_gets_a_token() {
    let mut server = Server::start(|_| {
        answer(
            200,
            r#"{"access_token":"opaque","token_type":"Bearer","expires_in":300}"#,
        )
    })
    .await;
    let before = SystemTime::now();
    let token = client(&server).token().await.unwrap();
    assert_eq!((token.value(), &*token.principal), ("opaque", "shop"));
    assert_eq!(
        token.extensions,
        [("logicalCluster".to_owned(), "lkc-1".to_owned())]
    );
    let lives = token.expires.duration_since(before).unwrap();
    assert!(lives >= Duration::from_secs(300) && lives < Duration::from_secs(310));

    let request = server.request().await;
    assert_eq!(request.line, "POST /token?realm=shop");
    assert_eq!(
        request.headers[header::AUTHORIZATION],
        format!("Basic {}", STANDARD.encode(format!("shop:{SECRET}")))
    );
    assert_eq!(
        request.headers[header::CONTENT_TYPE],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(
        request.headers[header::HOST],
        server.url().split('/').nth(2).unwrap()
    );
    assert_eq!(request.body, "grant_type=client_credentials&scope=kafka");
}

#[rstest]
#[case(
    401,
    r#"{"error":"invalid_client","error_description":"ECHO"}"#,
    true,
    "invalid_client): check the client id"
)]
#[case(
    400,
    r#"{"error":"invalid_scope","error_description":"ECHO"}"#,
    true,
    "invalid_scope): check the scope"
)]
#[case(400, r#"{"error":"ECHO"}"#, true, "(status 400): check")]
#[case(403, "ECHO", true, "(status 403): check")]
#[case(500, "ECHO", false, "status 500")]
#[case(200, "ECHO", false, "not the JSON")]
#[case(200, r#"{"access_token":"ECHO"}"#, false, "characters")]
#[case(200, r#"{"access_token":"marker-body"}"#, false, "when it expires")]
#[tokio::test]
async fn an_error_says_what_to_do_and_repeats_nothing_of_the_answer(
    #[case] status: u16,
    #[case] body: &'static str,
    #[case] refusal: bool,
    #[case] says: &str,
) {
    let server = Server::start(move |request| {
        let echo = format!(
            "{BODY} {SECRET} {:?}",
            request.headers[header::AUTHORIZATION]
        );
        answer(status, &body.replace("ECHO", &echo.replace('"', "'")))
    })
    .await;
    let error = refused(&client(&server)).await;
    assert_eq!(error.is_refusal(), refusal);
    assert!(error.to_string().contains(says), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut server = Server::start(|_| {
        let mut response = answer(307, BODY);
        let elsewhere = "/marker-body".parse().unwrap();
        response.headers_mut().insert(header::LOCATION, elsewhere);
        response
    })
    .await;
    let error = refused(&client(&server)).await;
    assert_eq!(error, TokenError::Redirected { status: 307 });
    assert!(!error.is_refusal());
    server.request().await;
    assert!(server.no_more_requests());
}

#[rstest]
#[case::in_one_piece(|| Body::from(BODY.repeat(LARGEST_ANSWER / BODY.len() + 1)))]
#[case::endless(|| Body::from_stream(stream::repeat(BODY.repeat(4096)).map(Ok::<_, std::io::Error>)))]
#[tokio::test]
async fn a_too_large_answer_is_not_read(#[case] body: fn() -> Body) {
    let server = Server::start(move |_| Response::new(body())).await;
    let error = refused(&client(&server)).await;
    assert_eq!(
        error,
        TokenError::TooLarge {
            limit: LARGEST_ANSWER
        }
    );
    assert!(!error.is_refusal());
}

#[rstest]
#[case::no_answer(true)]
#[case::half_an_answer(false)]
#[tokio::test]
async fn a_missing_answer_times_out_at_the_deadline(#[case] silent: bool) {
    let mut server = Server::start_slow(move |_| async move {
        if silent {
            pending::<()>().await;
        }
        let begun = stream::iter([Ok::<_, std::io::Error>(BODY)]);
        Response::new(Body::from_stream(begun.chain(stream::pending())))
    })
    .await;
    let client = Arc::new(client(&server));
    let asking = tokio::spawn({
        let client = Arc::clone(&client);
        async move { refused(&client).await }
    });
    server.request().await;
    pause();
    advance(DEADLINE.saturating_sub(Duration::from_secs(1))).await;
    assert!(!asking.is_finished());
    advance(Duration::from_secs(1)).await;
    let error = asking.await.unwrap();
    assert!(
        matches!(error, TokenError::TimedOut { seconds, .. } if seconds == DEADLINE.as_secs()),
        "{error}"
    );
    assert!(!error.is_refusal());
}

#[tokio::test]
async fn a_missing_handshake_times_out_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/token", listener.local_addr().unwrap());
    let client = ClientCredentials::new(config(&url, &Authority::new())).unwrap();
    let asking = tokio::spawn(async move { refused(&client).await });
    let _silent = listener.accept().await.unwrap();
    pause();
    advance(DEADLINE).await;
    let error = asking.await.unwrap();
    assert!(matches!(error, TokenError::TimedOut { .. }), "{error}");
}

/// The error of a client of this server, with another authority or URL.
async fn distrusted(change: impl FnOnce(&mut OidcConfig)) -> TokenError {
    let mut server = Server::start(|_| answer(200, BODY)).await;
    let mut config = config(server.url(), server.authority());
    change(&mut config);
    let error = refused(&ClientCredentials::new(config).unwrap()).await;
    assert!(server.no_more_requests());
    error
}

#[tokio::test]
async fn an_authority_with_a_new_key_is_not_trusted() {
    let error = distrusted(|config| {
        config.trusted_certificates = Some(Authority::new().pem().into_bytes());
    })
    .await;
    assert!(
        error.to_string().contains("authority that is not trusted"),
        "{error}"
    );
    assert!(!error.is_refusal());
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let error = distrusted(|config| config.trusted_certificates = None).await;
    assert!(
        error.to_string().contains("authority that is not trusted"),
        "{error}"
    );
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let error = distrusted(|config| {
        config.token_endpoint = config.token_endpoint.replace("localhost", "127.0.0.1");
    })
    .await;
    assert!(error.to_string().contains("for other names"), "{error}");
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_is_refused_when_it_connects() {
    let error = distrusted(|config| config.allow_local_addresses = false).await;
    assert_eq!(
        error,
        TokenError::LocalAddress {
            host: "localhost".to_owned()
        }
    );
    assert!(!error.is_refusal());
}

#[tokio::test]
async fn http_works_where_it_is_allowed() {
    let server =
        Server::start_plain(|_| answer(200, r#"{"access_token":"opaque","expires_in":"300"}"#))
            .await;
    let mut config = config(server.url(), server.authority());
    config.allow_insecure = true;
    let token = ClientCredentials::new(config)
        .unwrap()
        .token()
        .await
        .unwrap();
    assert_eq!(token.value(), "opaque");
}

#[tokio::test]
async fn https_to_an_http_server_gives_a_clear_error() {
    let server = Server::start_plain(|_| answer(200, BODY)).await;
    let url = server.url().replace("http:", "https:");
    let client = ClientCredentials::new(config(&url, server.authority())).unwrap();
    let error = refused(&client).await;
    assert!(error.to_string().contains("is not TLS"), "{error}");
}

#[tokio::test]
async fn http_to_a_tls_server_gives_a_clear_error() {
    let error = distrusted(|config| {
        config.token_endpoint = config.token_endpoint.replace("https:", "http:");
        config.allow_insecure = true;
    })
    .await;
    assert!(error.to_string().contains("expects https"), "{error}");
    assert!(!error.is_refusal());
}

#[tokio::test]
async fn a_port_where_nothing_listens_gives_a_clear_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("https://{address}/token");
    let client = ClientCredentials::new(config(&url, &Authority::new())).unwrap();
    let error = refused(&client).await;
    assert_eq!(
        error.to_string(),
        format!("no connection to the token endpoint {address}: connection refused")
    );
    assert!(!error.is_refusal());
}

#[tokio::test]
async fn a_name_without_address_gives_a_clear_error() {
    let url = "https://sso.lagrange.invalid/token";
    let client = ClientCredentials::new(config(url, &Authority::new())).unwrap();
    let error = refused(&client).await;
    assert!(matches!(error, TokenError::NoAddress { .. }), "{error}");
    assert!(!error.is_refusal());
}
