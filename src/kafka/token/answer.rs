//! The meaning of a token endpoint's answer (RFC 6749, 5.1 and 5.2). Pure. Of an answer it repeats
//! only the status and the error codes of the standard.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::{OauthError, Token, TokenError};

/// A longer lifetime is cut to this, so that no arithmetic overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Deserialize)]
struct Grant {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<Value>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Option<String>,
}

/// The claims of a token that is a JWT (RFC 7519, 4.1). The broker checks its signature.
#[derive(Default, Deserialize)]
struct Claims {
    #[serde(default)]
    exp: Value,
    #[serde(default)]
    sub: Value,
}

/// Reads the answer to a request that was made at `asked` for `client_id`.
pub(super) fn read(
    status: u16,
    body: &[u8],
    asked: SystemTime,
    client_id: &str,
) -> Result<Token, TokenError> {
    match status {
        200..=299 => granted(body, asked, client_id),
        300..=399 => Err(TokenError::Redirected { status }),
        400 | 401 | 403 => Err(TokenError::Refused {
            status,
            error: refusal(body),
        }),
        _ => Err(TokenError::Status { status }),
    }
}

fn refusal(body: &[u8]) -> OauthError {
    serde_json::from_slice::<Refusal>(body)
        .ok()
        .and_then(|refusal| refusal.error)
        .map_or(OauthError::Other, |code| OauthError::of(&code))
}

fn granted(body: &[u8], asked: SystemTime, client_id: &str) -> Result<Token, TokenError> {
    let unusable = |reason| TokenError::Unusable { reason };
    let grant: Grant = serde_json::from_slice(body).map_err(|_| {
        unusable("it is not the JSON of a token; check that the URL is that of a token endpoint")
    })?;
    let value = grant.access_token.ok_or_else(|| {
        unusable("it has no access_token; check that the URL is that of a token endpoint")
    })?;
    if grant
        .token_type
        .is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer"))
    {
        return Err(unusable(
            "its token is not of the type Bearer; configure the client for bearer tokens",
        ));
    }
    // Any other character would end or split the message to the broker (RFC 7628, 3.1).
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unusable(
            "its token has characters that a bearer token cannot have; check the endpoint",
        ));
    }
    let claims = claims(&value).unwrap_or_default();
    let expires = grant
        .expires_in
        .as_ref()
        .and_then(seconds)
        .map(|lifetime| asked + lifetime.min(LONGEST))
        .or_else(|| seconds(&claims.exp).map(|exp| wall_time(exp).min(asked + LONGEST)))
        .ok_or_else(|| {
            unusable(
                "neither expires_in nor the token says when it expires; make the endpoint send \
                 expires_in",
            )
        })?;
    if expires <= asked {
        return Err(unusable(
            "its token has expired already; compare the clocks of the endpoint and of the \
             operator's node",
        ));
    }
    let principal = claims
        .sub
        .as_str()
        .filter(|sub| !sub.is_empty() && !sub.contains(char::is_control))
        .unwrap_or(client_id)
        .to_owned();
    Ok(Token::new(value, expires, principal))
}

/// Whole seconds from a number, or from a text with one, as some endpoints send it.
fn seconds(value: &Value) -> Option<Duration> {
    let parsed = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }?;
    Duration::try_from_secs_f64(parsed.min(1e15))
        .ok()
        .map(|duration| Duration::from_secs(duration.as_secs()))
}

fn wall_time(since_epoch: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + since_epoch
}

fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// 2026-11-24T12:00:00Z.
    const ASKED: u64 = 1_795_521_600;

    fn read_ok(body: &str) -> Result<Token, TokenError> {
        let asked = SystemTime::UNIX_EPOCH + Duration::from_secs(ASKED);
        read(200, body.as_bytes(), asked, "shop")
    }

    fn lifetime(token: &Token) -> u64 {
        let since_epoch = token
            .expires
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        since_epoch.as_secs() - ASKED
    }

    /// A token in the form that servers send, with these claims.
    fn jwt(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let (header, claims) = (part(r#"{"alg":"RS256"}"#), part(claims));
        format!("{header}.{claims}.{}", part("signature"))
    }

    #[rstest]
    #[case("3600", 3600)]
    #[case("\"3599\"", 3599)]
    #[case("60.5", 60)]
    #[case("1e300", 365 * 24 * 3600)]
    fn expires_in_sets_the_lifetime(#[case] expires_in: &str, #[case] lives: u64) {
        let token = read_ok(&format!(
            r#"{{"access_token":"opaque","token_type":"bearer","expires_in":{expires_in}}}"#
        ))
        .unwrap();
        assert_eq!((lifetime(&token), token.value()), (lives, "opaque"));
        assert_eq!(token.principal, "shop");
    }

    #[rstest]
    #[case(r#"{"exp":1795521900,"sub":"orders"}"#, 300, "orders")]
    #[case(r#"{"exp":1795521900.9}"#, 300, "shop")]
    #[case(r#"{"exp":1e300,"sub":""}"#, 365 * 24 * 3600, "shop")]
    #[case(r#"{"exp":1795521900,"sub":"a\u0000b"}"#, 300, "shop")]
    #[case(r#"{"exp":1795521900,"sub":7}"#, 300, "shop")]
    fn the_claims_of_a_jwt_give_lifetime_and_principal(
        #[case] claims: &str,
        #[case] lives: u64,
        #[case] principal: &str,
    ) {
        let token = read_ok(&format!(r#"{{"access_token":"{}"}}"#, jwt(claims))).unwrap();
        assert_eq!((lifetime(&token), &*token.principal), (lives, principal));
    }

    #[test]
    fn expires_in_takes_precedence_over_the_claim() {
        let token = jwt(r#"{"exp":1795521900,"sub":"orders"}"#);
        let token = read_ok(&format!(r#"{{"access_token":"{token}","expires_in":60}}"#)).unwrap();
        assert_eq!((lifetime(&token), &*token.principal), (60, "orders"));
    }

    #[rstest]
    #[case::not_json("<html>marker</html>", "not the JSON")]
    #[case::not_text("\u{0}\u{1}", "not the JSON")]
    #[case::nothing("", "not the JSON")]
    #[case::no_token(r#"{"marker":1,"expires_in":60}"#, "no access_token")]
    #[case::an_error(
        r#"{"error":"invalid_client","error_description":"marker"}"#,
        "no access_token"
    )]
    #[case::another_type(
        r#"{"access_token":"marker","token_type":"mac","expires_in":60}"#,
        "Bearer"
    )]
    #[case::empty(r#"{"access_token":"","expires_in":60}"#, "characters")]
    #[case::with_a_separator(
        r#"{"access_token":"marker\u0001auth=x","expires_in":60}"#,
        "characters"
    )]
    #[case::of_two_lines(r#"{"access_token":"marker\nmarker","expires_in":60}"#, "characters")]
    #[case::without_expiry(r#"{"access_token":"marker"}"#, "when it expires")]
    #[case::expiry_is_a_word(
        r#"{"access_token":"marker","expires_in":"marker"}"#,
        "when it expires"
    )]
    #[case::expiry_is_negative(r#"{"access_token":"marker","expires_in":-1}"#, "when it expires")]
    #[case::no_claims(r#"{"access_token":"a.marker.b"}"#, "when it expires")]
    #[case::expiry_is_zero(r#"{"access_token":"marker","expires_in":0}"#, "expired already")]
    fn an_unusable_answer_is_refused_and_not_repeated(#[case] body: &str, #[case] reason: &str) {
        let error = read_ok(body).unwrap_err();
        assert!(!error.is_refusal());
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!format!("{error} {error:?}").contains("marker"), "{error}");
    }

    #[test]
    fn a_mangled_answer_gives_a_one_line_error() {
        let token = jwt(r#"{"exp":1795521900,"sub":"orders"}"#);
        let seeds = [
            format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}"#),
            r#"{"access_token":"opaque","expires_in":"60"}"#.to_owned(),
            r#"{"error":"invalid_client","error_description":"no"}"#.to_owned(),
        ];
        let asked = SystemTime::UNIX_EPOCH + Duration::from_secs(ASKED);
        lagrange_fuzz::fuzz(&seeds, |bytes| {
            for status in [200, 400, 500] {
                match read(status, bytes, asked, "shop") {
                    Ok(token) => {
                        assert!(lifetime(&token) <= 365 * 24 * 3600);
                        assert!(token.value().bytes().all(|byte| byte.is_ascii_graphic()));
                        assert!(!token.principal.contains(char::is_control));
                    }
                    Err(error) => lagrange_fuzz::assert_is_one_line(&error.to_string()),
                }
            }
        });
    }

    #[test]
    fn mangled_claims_do_not_panic() {
        let asked = SystemTime::UNIX_EPOCH + Duration::from_secs(ASKED);
        lagrange_fuzz::fuzz(&[r#"{"exp":1795521900,"sub":"orders"}"#], |bytes| {
            let claims = URL_SAFE_NO_PAD.encode(bytes);
            let body = format!(r#"{{"access_token":"a.{claims}.b"}}"#);
            let _ = read(200, body.as_bytes(), asked, "shop");
        });
    }

    #[test]
    fn an_expired_token_is_refused() {
        let token = jwt(r#"{"exp":1795521599}"#);
        let error = read_ok(&format!(r#"{{"access_token":"{token}"}}"#)).unwrap_err();
        assert!(error.to_string().contains("expired already"), "{error}");
    }

    #[rstest]
    #[case(301, false)]
    #[case(400, true)]
    #[case(401, true)]
    #[case(403, true)]
    #[case(404, false)]
    #[case(429, false)]
    #[case(503, false)]
    fn the_status_alone_tells_a_refusal_from_a_failure(#[case] status: u16, #[case] refusal: bool) {
        let error = read(status, b"marker", SystemTime::now(), "shop").unwrap_err();
        assert_eq!(error.is_refusal(), refusal);
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert!(!format!("{error} {error:?}").contains("marker"), "{error}");
    }
}
