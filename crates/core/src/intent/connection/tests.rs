//! Which connections are refused, and which objects they refer to.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const SCRAM: &str = r#"{ "mechanism": "SCRAM-SHA-512", "username": "lagrange", "passwordSecret": { "secretName": "user" } }"#;

fn plan(tls: &Value, sasl: &Value, allow_insecure: bool) -> Result<Plan, InvalidSpec> {
    let spec = json!({
        "bootstrapServers": ["kafka:9093"], "tls": tls, "sasl": sasl, "allowInsecure": allow_insecure,
    });
    let spec = serde_json::from_value(spec);
    Plan::of_cluster(&spec.unwrap_or_else(|error| panic!("{error}")))
}

fn scram() -> Value {
    serde_json::from_str(SCRAM).unwrap()
}

/// SAFE-37.
#[rstest]
#[case::plain_without_tls(json!(null), json!({ "mechanism": "PLAIN", "username": "u", "passwordSecret": { "secretName": "s" } }))]
#[case::token_over_http(json!({}), json!({ "mechanism": "OAUTHBEARER", "oauth": {
    "tokenEndpoint": "http://login/token", "clientId": "c", "clientSecret": { "secretName": "s" } } }))]
fn an_unencrypted_password_or_token_has_to_be_allowed(#[case] tls: Value, #[case] sasl: Value) {
    let refused = plan(&tls, &sasl, false);
    assert_eq!(refused, Err(InvalidSpec::Insecure));
    plan(&tls, &sasl, true).unwrap();
}

#[rstest]
#[case(json!({ "mechanism": "PLAIN", "username": "u" }))]
#[case(json!({ "mechanism": "SCRAM-SHA-256", "passwordSecret": { "secretName": "s" } }))]
#[case(json!({ "mechanism": "OAUTHBEARER" }))]
#[case(json!({ "mechanism": "AWS_MSK_IAM" }))]
fn an_incomplete_login_is_refused(#[case] sasl: Value) {
    let refused = plan(&json!({}), &sasl, false);
    assert!(
        matches!(refused, Err(InvalidSpec::Sasl { .. })),
        "{refused:?}"
    );
}

#[test]
fn every_object_of_a_connection_is_referred_to() {
    let tls = json!({
        "trustedCertificates": [{ "secretName": "ca" }, { "configMapName": "old-ca", "key": "bundle" }],
        "clientCertificate": { "secretName": "user" },
    });
    let sasl = json!({ "mechanism": "OAUTHBEARER", "oauth": {
        "tokenEndpoint": "https://login/token", "clientId": "c", "clientSecret": { "secretName": "client" },
        "trustedCertificates": [{ "configMapName": "login-ca" }] } });
    let references = plan(&tls, &sasl, false).unwrap().references();
    let names: Vec<_> = references.keys().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "Secret ca",
            "Secret client",
            "Secret user",
            "ConfigMap login-ca",
            "ConfigMap old-ca"
        ]
    );
}

#[rstest]
#[case::a_role(json!({ "mechanism": "AWS_MSK_IAM", "aws": { "region": "eu-central-1" } }), true)]
#[case::a_key(json!({ "mechanism": "AWS_MSK_IAM", "aws": { "region": "eu-central-1", "credentialsSecret": { "secretName": "s" } } }), false)]
#[case::a_password(scram(), false)]
fn a_login_without_a_secret_uses_the_operators_identity(#[case] sasl: Value, #[case] own: bool) {
    let plan = plan(&json!({}), &sasl, false).unwrap();
    assert_eq!(plan.is_by_own_identity(), own);
    assert_eq!(plan.references().is_empty(), own);
    assert_ne!(
        plan.origin("lagrange"),
        plan.origin("shop"),
        "the namespace decides who may use it"
    );
}

#[rstest]
#[case(json!({ "mechanism": "GSSAPI" }))]
#[case(json!({ "mechanism": "GSSAPI", "kerberos": { "serviceName": "broker" } }))]
fn kerberos_is_the_operators_own_identity_in_builds_that_have_it(#[case] sasl: Value) {
    // A ticket is not a password: it needs no TLS.
    let own = plan(&json!(null), &sasl, false).map(|plan| plan.is_by_own_identity());
    let expected = if KERBEROS {
        Ok(true)
    } else {
        Err(InvalidSpec::NoKerberos)
    };
    assert_eq!(own, expected);
}
