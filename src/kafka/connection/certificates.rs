//! Certificates and keys in PEM, looked at before they are used, so that what is wrong with them
//! can be said by name: librdkafka and brokers say it in OpenSSL's words, late, or not at all.
//! Connects to nothing.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::secret::Secret;

/// Why a certificate or key is of no use. Words of our own: nothing of what was given is in them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadCertificate {
    /// There is no certificate in it.
    #[error("no certificate in PEM (-----BEGIN CERTIFICATE-----) is in it")]
    NoCertificate,
    /// Something between the marks is no certificate.
    #[error("certificate {number} in it cannot be decoded")]
    Undecodable {
        /// Which, from 1.
        number: usize,
    },
    /// Its time is over.
    #[error("the certificate expired at {at}: renew it")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// There is no key in it.
    #[error("no private key in PEM (-----BEGIN PRIVATE KEY-----) is in it")]
    NoKey,
    /// The key needs a passphrase.
    #[error("the private key is encrypted: give it without a passphrase")]
    EncryptedKey,
    /// The key cannot be decoded, or is of a kind that is not known.
    #[error("the private key cannot be decoded")]
    UndecodableKey,
    /// The key belongs to another certificate.
    #[error("the private key does not fit the certificate")]
    OtherKey,
}

/// The authorities that the operator's system trusts, in PEM; `None`: it has none. Reads them from
/// its disk.
pub fn system_authorities() -> Option<Secret> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!("some of the system's certificates cannot be read: {error}");
    }
    let pem: String = found
        .certs
        .iter()
        .map(|certificate| pem(certificate))
        .collect();
    (!pem.is_empty()).then(|| Secret::new(pem))
}

fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (number, character) in text.chars().enumerate() {
        if number > 0 && number % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}

/// Certificates of authorities: while one is replaced by another, those whose time is over stand
/// beside the others.
pub fn check_authorities(authorities: &Secret, now: Timestamp) -> Result<(), BadCertificate> {
    let ends: Vec<_> = decoded(authorities)?
        .iter()
        .enumerate()
        .map(|(number, certificate)| end(number, certificate))
        .collect::<Result<_, _>>()?;
    match ends.into_iter().max() {
        Some(at) if at < now => Err(BadCertificate::Expired { at }),
        Some(_) => Ok(()),
        None => Err(BadCertificate::NoCertificate),
    }
}

/// A certificate of our own, and what leads from it to an authority.
pub fn check_chain(chain: &Secret, now: Timestamp) -> Result<(), BadCertificate> {
    let certificates = decoded(chain)?;
    let own = certificates.first().ok_or(BadCertificate::NoCertificate)?;
    let at = end(0, own)?;
    if at < now {
        return Err(BadCertificate::Expired { at });
    }
    Ok(())
}

/// The key of the first certificate in `chain`.
pub fn check_key(key: &Secret, chain: &Secret) -> Result<(), BadCertificate> {
    let key = match PrivateKeyDer::from_pem_slice(key.bytes()) {
        Ok(key) => key,
        Err(PemError::NoItemsFound) => {
            let text = key.text().unwrap_or_default();
            return Err(if is_encrypted(text) {
                BadCertificate::EncryptedKey
            } else {
                BadCertificate::NoKey
            });
        }
        Err(_) if key.text().is_some_and(is_encrypted) => return Err(BadCertificate::EncryptedKey),
        Err(_) => return Err(BadCertificate::UndecodableKey),
    };
    // What this library does not know, such as a curve, OpenSSL may: the broker will say.
    let Ok(signer) = any_supported_type(&key) else {
        return Ok(());
    };
    let certified = CertifiedKey::new(decoded(chain)?, Arc::clone(&signer));
    match certified.keys_match() {
        Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(BadCertificate::OtherKey)
        }
        _ => Ok(()),
    }
}

fn decoded(pem: &Secret) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let mut certificates = Vec::new();
    for (number, certificate) in CertificateDer::pem_slice_iter(pem.bytes()).enumerate() {
        let number = number + 1;
        certificates.push(certificate.map_err(|_| BadCertificate::Undecodable { number })?);
    }
    if certificates.is_empty() {
        return Err(BadCertificate::NoCertificate);
    }
    Ok(certificates)
}

fn is_encrypted(key: &str) -> bool {
    key.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || key.contains("Proc-Type: 4,ENCRYPTED")
}

/// When a certificate's time is over. When it begins is left to those who are shown it: their
/// clocks count.
fn end(number: usize, certificate: &CertificateDer<'_>) -> Result<Timestamp, BadCertificate> {
    let number = number + 1;
    let (_, certificate) = X509Certificate::from_der(certificate)
        .map_err(|_| BadCertificate::Undecodable { number })?;
    let seconds = certificate.validity().not_after.timestamp();
    Ok(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests;
