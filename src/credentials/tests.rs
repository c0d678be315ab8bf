//! What a connection needs, and the message when it is missing.

use std::collections::BTreeMap;

use lagrange_core::intent::InvalidSpec;
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

/// Values of objects, by names such as `Secret user/password`.
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

#[test]
fn an_identity_depends_on_the_source_of_credentials_not_on_their_values() {
    let scram = plan(&json!(null), &scram(), false).unwrap();
    let connect = |password: &str, revision| {
        let objects = [("Secret user/password", password.as_bytes().to_vec())].into();
        connection(&scram, "shop", held(&objects), None, revision, now()).unwrap()
    };
    let (one, two) = (connect("one", 1), connect("two", 2));
    assert_eq!(one.identity(), two.identity());
    assert_ne!(one, two);
    assert_eq!(one.identity(), identity(&scram, "shop"));
    assert_ne!(
        identity(&scram, "shop"),
        identity(&scram, "bank"),
        "another Secret of that name"
    );
    let plaintext = plan(&json!(null), &json!(null), false).unwrap();
    assert_eq!(identity(&plaintext, "shop"), identity(&plaintext, "bank"));
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
    "Secret user has an empty key password",
    "SecretInvalid"
)]
#[case::no_text(
    "Secret user/password",
    b"marker\xff",
    "Secret user has a value in key password that is not text",
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
fn a_message_names_the_secret_and_the_key(
    #[case] object: &str,
    #[case] value: &[u8],
    #[case] says: &str,
    #[case] reason: &str,
) {
    let objects = [(object, value.to_vec())].into();
    let plan = plan(&json!(null), &scram(), false).unwrap();
    let error = connection(&plan, "shop", held(&objects), None, 1, now()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(says), "{text}");
    assert!(!text.contains("marker"), "{text}");
    assert_eq!(error.reason().as_str(), reason);
}

#[test]
fn a_refused_ambient_identity_is_reported_with_what_to_do() {
    let error = Unusable::IdentityNotAllowed("n".repeat(63).into());
    assert_eq!(error.reason(), Reason::IdentityNotAllowed);
    let text = error.to_string();
    let longest = lagrange_core::api::condition::MAX_MESSAGE;
    assert!(
        text.len() <= longest && text.contains("ambientIdentity.namespaces"),
        "{text}"
    );
}

/// A PEM certificate, repeated up to about `bytes` bytes.
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
fn ca_certificates_are_bounded_at_half_a_mebibyte() {
    let part = authorities(180 << 10);
    let objects = ["a", "b", "c"].map(|name| (format!("ConfigMap {name}/ca.crt"), part.clone()));
    let objects = objects
        .iter()
        .map(|(name, value)| (&**name, value.clone()))
        .collect();
    let connect = |names: &[&str]| {
        connection(&trusting(names), "shop", held(&objects), None, 1, now())
            .map(|connection| connection.security().tls.clone().unwrap().authorities)
    };
    let both = connect(&["a", "b"]).unwrap();
    assert_eq!(both.bytes().len(), 2 * (part.len() + 1));
    let error = connect(&["a", "b", "c"]).unwrap_err();
    assert_eq!(error, Unusable::TooLong(512 << 10));
    assert_eq!(error.reason(), Reason::SecretInvalid);
    let text = error.to_string();
    assert!(text.contains("more than 524288 bytes"), "{text}");
}

#[test]
fn the_systems_ca_certificates_are_used_only_if_none_are_named() {
    let objects = BTreeMap::new();
    let system = Secret::new("the system's");
    let connect = |system| {
        connection(
            &plan(&json!({}), &json!(null), false).unwrap(),
            "shop",
            held(&objects),
            system,
            1,
            now(),
        )
    };
    let by_system = connect(Some(&system)).unwrap();
    assert_eq!(
        by_system.security().tls.clone().unwrap().authorities,
        system
    );
    let error = connect(None).unwrap_err();
    assert_eq!(error, Unusable::NoRoots);
    // Named certificates replace the system's.
    let of_map = authorities(2 << 10);
    let objects = [("ConfigMap a/ca.crt", of_map.clone())].into();
    let trusting = connection(
        &trusting(&["a"]),
        "shop",
        held(&objects),
        Some(&system),
        1,
        now(),
    )
    .unwrap();
    let authorities = trusting.security().tls.clone().unwrap().authorities;
    assert_eq!(authorities.bytes(), [of_map, b"\n".to_vec()].concat());
}

#[test]
fn a_mangled_cluster_fails_with_an_error() {
    let seeds = [
        json!({ "bootstrapServers": ["kafka:9093"], "tls": {}, "sasl": scram() }),
        json!({ "bootstrapServers": ["kafka:9093", "other"], "tls": { "trustedCertificates": [{ "secretName": "ca" }] } }),
    ]
    .map(|spec| spec.to_string());
    lagrange_fuzz::fuzz(&seeds, |bytes| {
        let Ok(spec) = serde_json::from_slice(bytes) else {
            return;
        };
        if let Ok(plan) = Plan::of_cluster(&spec) {
            plan.references();
            let mangled = Secret::new(bytes.to_vec());
            let held = |_: &Reference, _: &str| Held::Value(mangled.clone());
            let _ = connection(&plan, "shop", held, None, 1, now());
        }
    });
}
