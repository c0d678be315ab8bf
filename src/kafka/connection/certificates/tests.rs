//! Faults of certificates and keys, in messages of our own.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

struct Issued {
    certificate: String,
    key: String,
}

/// Self-signed, valid in these years.
fn issued(from: i32, until: i32) -> Issued {
    let mut params = CertificateParams::new(vec!["kafka".to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

#[test]
fn a_certificate_and_its_key_fit() {
    let Issued { certificate, key } = issued(2020, 2030);
    let chain = secret(&certificate);
    assert_eq!(check_chain(&chain, now()), Ok(()));
    assert_eq!(check_key(&secret(&key), &chain), Ok(()));
    assert_eq!(check_authorities(&chain, now()), Ok(()));
}

#[test]
fn an_expired_certificate_is_refused() {
    let at = |text: &str| text.parse().unwrap();
    let old = secret(&issued(2010, 2020).certificate);
    let expired = BadCertificate::Expired {
        at: at("2020-01-01T00:00:00Z"),
    };
    assert_eq!(check_chain(&old, now()), Err(expired.clone()));
    assert_eq!(check_authorities(&old, now()), Err(expired));
    let next = secret(&issued(2028, 2030).certificate);
    assert_eq!(
        check_chain(&next, now()),
        Ok(()),
        "only the brokers check when it becomes valid"
    );
}

#[test]
fn an_expired_authority_beside_a_valid_one_is_accepted() {
    let both = issued(2010, 2020).certificate + &issued(2020, 2030).certificate;
    assert_eq!(check_authorities(&secret(&both), now()), Ok(()));
    let broken = both + "-----BEGIN CERTIFICATE-----\nbWFya2Vy\n-----END CERTIFICATE-----\n";
    let number = 3;
    let undecodable = BadCertificate::Undecodable { number };
    assert_eq!(check_authorities(&secret(&broken), now()), Err(undecodable));
}

#[test]
fn text_without_a_certificate_is_refused() {
    let nothing = secret("marker");
    assert_eq!(
        check_chain(&nothing, now()),
        Err(BadCertificate::NoCertificate)
    );
    let broken = "-----BEGIN CERTIFICATE-----\nbWFya2Vy\n-----END CERTIFICATE-----\n";
    let number = 1;
    let error = check_authorities(&secret(broken), now()).unwrap_err();
    assert_eq!(error, BadCertificate::Undecodable { number });
    assert!(!error.to_string().contains("marker"));
}

#[test]
fn a_missing_or_wrong_key_is_refused() {
    let (one, other) = (issued(2020, 2030), issued(2020, 2030));
    let chain = secret(&one.certificate);
    let of = |key: &str| check_key(&secret(key), &chain);
    assert_eq!(of(&other.key), Err(BadCertificate::OtherKey));
    assert_eq!(of(&one.certificate), Err(BadCertificate::NoKey));
    let encrypted = one.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(of(&encrypted), Err(BadCertificate::EncryptedKey));
    let traditional = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nbWFya2Vy\n-----END RSA PRIVATE KEY-----\n";
    assert_eq!(of(traditional), Err(BadCertificate::EncryptedKey));
    let cut = "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n";
    assert_eq!(of(cut), Err(BadCertificate::UndecodableKey));
}

#[test]
fn the_system_authorities_are_valid_pem() {
    if let Some(authorities) = system_authorities() {
        assert_eq!(check_authorities(&authorities, now()), Ok(()));
    }
}

#[test]
fn a_mangled_certificate_gives_a_one_line_error() {
    let Issued { certificate, key } = issued(2020, 2030);
    let seeds = [
        certificate.clone() + &key,
        certificate.clone() + &certificate,
        key,
    ];
    lagrange_fuzz::fuzz(&seeds, |bytes| {
        let given = Secret::new(bytes.to_vec());
        let found = [
            check_authorities(&given, now()),
            check_chain(&given, now()),
            check_key(&given, &given),
            check_key(&given, &secret(&certificate)),
        ];
        for error in found.into_iter().filter_map(Result::err) {
            lagrange_fuzz::assert_is_one_line(&error.to_string());
        }
    });
}

#[test]
fn mangled_der_does_not_panic() {
    let pem = issued(2020, 2030).certificate;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    lagrange_fuzz::fuzz(&[der.as_ref()], |bytes| {
        let given = Secret::new(super::pem(bytes));
        let _ = check_authorities(&given, now());
        let _ = check_key(&given, &given);
    });
}
