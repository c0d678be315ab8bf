//! Checks certificates and keys in PEM before they are used, so that a fault gets a clear message:
//! librdkafka and brokers report it in OpenSSL's terms, late, or not at all. Connects to nothing.

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

/// Why a certificate or key cannot be used. The messages repeat nothing of the input.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadCertificate {
    /// There is no certificate in it.
    #[error("it has no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// The text between two PEM marks is not a certificate.
    #[error("certificate {number} in it cannot be decoded")]
    Undecodable {
        /// Its number, from 1.
        number: usize,
    },
    /// It has expired.
    #[error("the certificate expired at {at}: renew it")]
    Expired {
        /// When it expired.
        at: Timestamp,
    },
    /// There is no key in it.
    #[error("it has no private key in PEM (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// The key needs a passphrase.
    #[error("the private key is encrypted: store it without a passphrase")]
    EncryptedKey,
    /// The key cannot be decoded, or its kind is not known.
    #[error("the private key cannot be decoded")]
    UndecodableKey,
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    OtherKey,
}

/// The CA certificates that the operator's system trusts, in PEM; `None` if it has none. Reads them
/// from disk.
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

/// Checks CA certificates. While one is replaced by another, expired ones may stand beside valid
/// ones.
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

/// Checks a client certificate and its chain to an authority.
pub fn check_chain(chain: &Secret, now: Timestamp) -> Result<(), BadCertificate> {
    let certificates = decoded(chain)?;
    let own = certificates.first().ok_or(BadCertificate::NoCertificate)?;
    let at = end(0, own)?;
    if at < now {
        return Err(BadCertificate::Expired { at });
    }
    Ok(())
}

/// Checks that the key belongs to the first certificate of `chain`.
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
    // OpenSSL may know what this library does not, such as a curve: leave it to the broker.
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

/// When a certificate expires. The start of its validity is left to those who verify it: their
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
