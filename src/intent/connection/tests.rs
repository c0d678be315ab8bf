//! What a connection needs, and what is said when that is not there.

use std::collections::BTreeMap;

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

/// What objects hold: `Secret user/password` and so on.
fn held<'a>(objects: &'a BTreeMap<&str, Vec<u8>>) -> impl Fn(&Reference, &str) -> Held + 'a {
    move |reference, key| {
        let exists = |name: &&str| name.starts_with(&format!("{reference}/"));
        match objects.get(&*format!("{reference}/{key}")) {
            Some(value) => Held::Value(Secret::new(value.clone())),
            None if objects.keys().any(exists) => Held::NoKey,
            None => Held::NoObject,
        }
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

#[rstest]
#[case::plain_without_tls(json!(null), json!({ "mechanism": "PLAIN", "username": "u", "passwordSecret": { "secretName": "s" } }))]
#[case::token_over_http(json!({}), json!({ "mechanism": "OAUTHBEARER", "oauth": {
    "tokenEndpoint": "http://login/token", "clientId": "c", "clientSecret": { "secretName": "s" } } }))]
fn what_shows_a_password_or_token_to_the_network_has_to_be_allowed(
    #[case] tls: Value,
    #[case] sasl: Value,
) {
    let refused = plan(&tls, &sasl, false);
    assert_eq!(refused, Err(InvalidSpec::Insecure));
    plan(&tls, &sasl, true).unwrap();
}

#[rstest]
#[case(json!({ "mechanism": "PLAIN", "username": "u" }))]
#[case(json!({ "mechanism": "SCRAM-SHA-256", "passwordSecret": { "secretName": "s" } }))]
#[case(json!({ "mechanism": "OAUTHBEARER" }))]
#[case(json!({ "mechanism": "AWS_MSK_IAM" }))]
fn a_login_that_lacks_something_is_refused(#[case] sasl: Value) {
    let refused = plan(&json!({}), &sasl, false);
    assert!(
        matches!(refused, Err(InvalidSpec::Sasl { .. })),
        "{refused:?}"
    );
}

#[test]
fn every_object_that_has_a_part_is_named() {
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

#[test]
fn an_identity_is_where_credentials_come_from_and_not_what_they_are() {
    let scram = plan(&json!(null), &scram(), false).unwrap();
    let connect = |password: &str, revision| {
        let objects = [("Secret user/password", password.as_bytes().to_vec())].into();
        scram
            .connection("shop", held(&objects), None, revision, now())
            .unwrap()
    };
    let (one, two) = (connect("one", 1), connect("two", 2));
    assert_eq!(one.identity(), two.identity());
    assert_ne!(one, two);
    assert_eq!(one.identity(), scram.identity("shop"));
    assert_ne!(
        scram.identity("shop"),
        scram.identity("bank"),
        "another Secret of that name"
    );
    let plaintext = plan(&json!(null), &json!(null), false).unwrap();
    assert_eq!(plaintext.identity("shop"), plaintext.identity("bank"));
}

#[rstest]
#[case::no_object(
    "Secret other/password",
    b"x",
    "Secret user does not exist",
    "SecretNotFound"
)]
#[case::no_key(
    "Secret user/other",
    b"x",
    "Secret user has no key password",
    "SecretInvalid"
)]
#[case::empty(
    "Secret user/password",
    b"",
    "Secret user has nothing in key password",
    "SecretInvalid"
)]
#[case::no_text(
    "Secret user/password",
    b"marker\xff",
    "Secret user has something other than text in key password",
    "SecretInvalid"
)]
#[case::line_break(
    "Secret user/password",
    b"marker\n",
    "Secret user has a line break at the end of key password",
    "SecretInvalid"
)]
#[case::line_break_of_another_system(
    "Secret user/password",
    b"marker\r\n",
    "Secret user has a line break at the end of key password",
    "SecretInvalid"
)]
#[case::only_a_line_break(
    "Secret user/password",
    b"\n",
    "Secret user has a line break at the end of key password",
    "SecretInvalid"
)]
#[case::nul(
    "Secret user/password",
    b"mar\0ker",
    "Secret user has a NUL character in key password",
    "SecretInvalid"
)]
#[case::two_lines(
    "Secret user/password",
    b"marker\nmarker",
    "Secret user has a control character in key password",
    "SecretInvalid"
)]
#[case::escape(
    "Secret user/password",
    b"marker\x1b[2J",
    "Secret user has a control character in key password",
    "SecretInvalid"
)]
fn what_is_wrong_with_a_secret_is_said_by_its_name_and_key(
    #[case] object: &str,
    #[case] value: &[u8],
    #[case] says: &str,
    #[case] category: &str,
) {
    let objects = [(object, value.to_vec())].into();
    let plan = plan(&json!(null), &scram(), false).unwrap();
    let error = plan
        .connection("shop", held(&objects), None, 1, now())
        .unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(says), "{text}");
    assert!(!text.contains("marker"), "{text}");
    assert_eq!(error.category(), category);
}

#[rstest]
#[case::a_role(json!({ "mechanism": "AWS_MSK_IAM", "aws": { "region": "eu-central-1" } }), true)]
#[case::a_key(json!({ "mechanism": "AWS_MSK_IAM", "aws": { "region": "eu-central-1", "credentialsSecret": { "secretName": "s" } } }), false)]
#[case::a_password(scram(), false)]
fn a_login_that_names_no_secret_is_by_the_operators_own_identity(
    #[case] sasl: Value,
    #[case] own: bool,
) {
    let plan = plan(&json!({}), &sasl, false).unwrap();
    assert_eq!(plan.is_by_own_identity(), own);
    assert_eq!(plan.references().is_empty(), own);
    assert_ne!(
        plan.identity("lagrange"),
        plan.identity("shop"),
        "who may use it is a matter of the namespace"
    );
}

#[rstest]
#[case(json!({ "mechanism": "GSSAPI" }))]
#[case(json!({ "mechanism": "GSSAPI", "kerberos": { "serviceName": "broker" } }))]
fn kerberos_is_the_operators_own_identity_in_builds_that_have_it(#[case] sasl: Value) {
    // A ticket is no password: it needs no TLS.
    let own = plan(&json!(null), &sasl, false).map(|plan| plan.is_by_own_identity());
    let expected = if KERBEROS {
        Ok(true)
    } else {
        Err(InvalidSpec::NoKerberos)
    };
    assert_eq!(own, expected);
}

#[test]
fn who_may_not_log_in_as_the_operator_is_told_what_to_do() {
    let error = Unusable::IdentityNotAllowed("n".repeat(63).into());
    assert_eq!(error.category(), "IdentityNotAllowed");
    let text = error.to_string();
    let longest = crate::api::condition::MAX_MESSAGE;
    assert!(
        text.len() <= longest && text.contains("ambientIdentity.namespaces"),
        "{text}"
    );
}

/// A certificate in PEM, again and again up to about so many bytes.
fn authorities(bytes: usize) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["authority".to_owned()]).unwrap();
    let pem = parameters.self_signed(&key).unwrap().pem();
    pem.repeat(bytes / pem.len()).into_bytes()
}

fn trusting(names: &[&str]) -> Plan {
    let sources: Vec<_> = (names.iter())
        .map(|name| json!({ "configMapName": name, "key": "ca.crt" }))
        .collect();
    plan(
        &json!({ "trustedCertificates": sources }),
        &json!(null),
        false,
    )
    .unwrap()
}

#[test]
fn authorities_are_as_many_as_fill_half_a_mebibyte_and_no_more() {
    let part = authorities(180 << 10);
    let objects = ["a", "b", "c"].map(|name| (format!("ConfigMap {name}/ca.crt"), part.clone()));
    let objects = objects
        .iter()
        .map(|(name, value)| (&**name, value.clone()))
        .collect();
    let connect = |names: &[&str]| {
        trusting(names)
            .connection("shop", held(&objects), None, 1, now())
            .map(|connection| connection.security().tls.clone().unwrap().authorities)
    };
    let both = connect(&["a", "b"]).unwrap();
    assert_eq!(both.bytes().len(), 2 * (part.len() + 1));
    let error = connect(&["a", "b", "c"]).unwrap_err();
    assert_eq!(error, Unusable::TooLong(512 << 10));
    assert_eq!(error.category(), "SecretInvalid");
    let text = error.to_string();
    assert!(text.contains("more than 524288 bytes"), "{text}");
}

#[test]
fn whom_the_system_trusts_counts_where_nobody_is_named() {
    let objects = BTreeMap::new();
    let system = Secret::new("the system's");
    let connect = |system| {
        plan(&json!({}), &json!(null), false).unwrap().connection(
            "shop",
            held(&objects),
            system,
            1,
            now(),
        )
    };
    let connection = connect(Some(&system)).unwrap();
    assert_eq!(
        connection.security().tls.clone().unwrap().authorities,
        system
    );
    let error = connect(None).unwrap_err();
    assert_eq!(error, Unusable::NoRoots);
    // Those that are named stand alone.
    let of_map = authorities(2 << 10);
    let objects = [("ConfigMap a/ca.crt", of_map.clone())].into();
    let connection = trusting(&["a"])
        .connection("shop", held(&objects), Some(&system), 1, now())
        .unwrap();
    let authorities = connection.security().tls.clone().unwrap().authorities;
    assert_eq!(authorities.bytes(), [of_map, b"\n".to_vec()].concat());
}

#[test]
fn a_mangled_cluster_fails_by_an_error_alone() {
    let seeds = [
        json!({ "bootstrapServers": ["kafka:9093"], "tls": {}, "sasl": scram() }),
        json!({ "bootstrapServers": ["kafka:9093", "other"], "tls": { "trustedCertificates": [{ "secretName": "ca" }] } }),
    ]
    .map(|spec| spec.to_string());
    crate::fuzz::fuzz(&seeds, |bytes| {
        let Ok(spec) = serde_json::from_slice(bytes) else {
            return;
        };
        if let Ok(plan) = Plan::of_cluster(&spec) {
            plan.references();
            let mangled = Secret::new(bytes.to_vec());
            let held = |_: &Reference, _: &str| Held::Value(mangled.clone());
            let _ = plan.connection("shop", held, None, 1, now());
        }
    });
}
