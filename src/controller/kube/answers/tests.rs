//! Texts from others, and answers larger than any valid one.

use std::convert::Infallible;

use super::*;

/// An API server that answers every request with this.
fn answering(code: u16, body: impl Into<Vec<u8>>) -> ApiServer {
    let body: Vec<u8> = body.into();
    let service = tower::service_fn(move |_: http::Request<Body>| {
        let response = Response::builder().status(code);
        let response = response.body(Body::from(body.clone())).unwrap();
        async { Ok::<_, Infallible>(response) }
    });
    ApiServer::new(Client::new(service, "default"))
}

fn request() -> Result<Ready, kube::core::request::Error> {
    Request::new("/apis/x").get("a", &kube::api::GetParams::default())
}

#[tokio::test]
async fn a_refusal_is_one_line_of_bounded_length() {
    let long = "x".repeat(1 << 20);
    let body = format!(
        r#"{{"kind":"Status","message":"no\nsuch\u001b[31m {long}","reason":"Odd","code":500,"details":{}}}"#,
        "[".repeat(1000) + &"]".repeat(1000)
    );
    let error = nothing(&answering(500, body), request().unwrap())
        .await
        .unwrap_err();
    let words = words(&error);
    assert!(is(&error, 500));
    assert!(
        words.starts_with(r"HTTP 500 no\nsuch\u{1b}[31m xxx") || words.starts_with("HTTP 500 {"),
        "{words}"
    );
    assert!(
        words.chars().count() <= text::MOST && !words.contains(text::is_disruptive),
        "{words}"
    );
    let error = nothing(&answering(404, "404 page not found\n"), request().unwrap()).await;
    assert_eq!(
        super::words(&error.unwrap_err()),
        "HTTP 404 404 page not found"
    );
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read() {
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(LARGEST));
    let api = answering(200, large);
    let read = read(&api, request(), |_| Ok(())).await;
    assert!(words(&read.unwrap_err()).contains("10485760"));
    assert_eq!(api.larger.available_permits(), 2);
}

#[tokio::test]
async fn large_objects_wait_for_each_other_and_all_are_read() {
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
    let client = answering(200, large.clone());
    let all = (0..20).map(|_| read(&client, request(), |text| Ok(text.len())));
    let all = futures::future::join_all(all).await;
    assert!(all.into_iter().all(|length| length.unwrap() == large.len()));
}

/// kube itself reads the answers to discovery.
#[test]
fn a_refusal_that_somebody_else_has_read_is_one_line_too() {
    let status = Status {
        code: 403,
        message: format!(
            "no\n2026-01-01T00:00:00Z  INFO forged\u{1b}[2J {}",
            "x".repeat(5000)
        ),
        ..Status::default()
    };
    let words = words(&kube::Error::Api(status.boxed()));
    assert!(
        words.starts_with(r"HTTP 403 no\n2026-01-01T00:00:00Z  INFO forged\u{1b}[2J xxx"),
        "{words}"
    );
    assert_eq!(words.chars().count(), text::MOST);
}
