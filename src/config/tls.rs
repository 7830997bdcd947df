//! Certificates, keys and authorities: read with the configuration that names them, so that a bad one is a bad
//! configuration, and a reload brings all of it or nothing.

use std::{fmt, sync::Arc};

use rustls::{
    Error, InconsistentKeys, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{check::Checker, error::At};

/// A text of the configuration and its place.
type Named<'t> = (&'t str, &'t At);

/// A certificate with its key.
#[derive(Clone)]
pub struct Certificate {
    /// The file of the certificate, as the configuration names it.
    pub cert: String,
    /// The file of its key, as the configuration names it.
    pub key: String,
    /// The names of hosts that it is for, in lower case, perhaps with `*.` in front.
    pub names: Vec<String>,
    /// Until when it holds, in seconds since 1970.
    pub expires_at: i64,
    /// The certificate, those between it and its root, and its key.
    pub pair: Arc<CertifiedKey>,
    /// The same key as it stood in the file.
    pub(super) secret: Arc<PrivateKeyDer<'static>>,
}

/// Certificates of authorities that are believed: one or more, and each can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Each certificate in DER.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// The same, to hold others' certificates against.
    #[must_use]
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.0.iter().cloned());
        roots
    }
}

impl Certificate {
    /// The certificate and those between it and its root, in DER.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.pair.cert.iter().map(AsRef::as_ref)
    }

    /// The key in DER.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        self.secret.secret_der()
    }
}

/// A certificate has one key: where it is the same, so is the key.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        let names = |of: &Self| (of.cert.clone(), of.key.clone());
        names(self) == names(other) && self.pair.cert == other.pair.cert
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cert, key, names, expires_at, pair: _, secret: _ } = self;
        let mut shown = out.debug_struct("Certificate");
        shown.field("cert", cert).field("key", key).field("names", names).field("expires_at", expires_at);
        shown.finish_non_exhaustive()
    }
}

impl Checker<'_> {
    /// Reads a certificate and its key, and holds one against the other.
    pub(super) fn certificate(&mut self, cert: Named<'_>, key: Named<'_>) -> Option<Certificate> {
        let (chain, secret) = (self.certificates(cert), self.secret_key(key));
        let (chain, secret) = (chain?, secret?);
        let Ok((_, leaf)) = X509Certificate::from_der(&chain[0]) else {
            self.problem(cert.1, format!("the first certificate in {:?} cannot be read", cert.0));
            return None;
        };
        let (names, expires_at) = (names(&leaf), leaf.validity().not_after.timestamp());
        let pair = CertifiedKey::from_der(chain.clone(), secret.clone_key(), &ring::default_provider());
        let pair = pair.map_err(|error| {
            let message = if error == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
                format!("the key in {:?} does not belong to the certificate in {:?}", key.0, cert.0)
            } else {
                format!("the key in {:?} cannot be used: {error}", key.0)
            };
            self.problem(key.1, message);
        });
        let (cert, key, secret) = (cert.0.to_owned(), key.0.to_owned(), Arc::new(secret));
        Some(Certificate { cert, key, names, expires_at, pair: Arc::new(pair.ok()?), secret })
    }

    /// Reads the certificates of authorities.
    pub(super) fn authorities(&mut self, file: Named<'_>) -> Option<Authorities> {
        let all = self.certificates(file)?;
        // pingora reads them with a parser of its own, and takes for granted that it can.
        let is_usable = |one: &CertificateDer<'static>| {
            X509Certificate::from_der(one).is_ok() && RootCertStore::empty().add(one.clone()).is_ok()
        };
        if !all.iter().all(is_usable) {
            self.problem(file.1, format!("a certificate in {:?} cannot be read", file.0));
            return None;
        }
        Some(Authorities(all))
    }

    fn certificates(&mut self, (name, at): Named<'_>) -> Option<Vec<CertificateDer<'static>>> {
        let text = self.read((name, at))?;
        match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
            Ok(all) if !all.is_empty() => Some(all),
            Ok(_) | Err(_) => {
                self.problem(at, format!("there is no certificate in {name:?}, or one that is not PEM"));
                None
            }
        }
    }

    fn secret_key(&mut self, (name, at): Named<'_>) -> Option<PrivateKeyDer<'static>> {
        let text = self.read((name, at))?;
        // What is wrong with a key is told without any of it.
        let key = PrivateKeyDer::from_pem_slice(&text).ok();
        if key.is_none() {
            self.problem(at, format!("there is no private key in {name:?}, or one that is not PEM or has a password"));
        }
        key
    }

    fn read(&mut self, (name, at): Named<'_>) -> Option<Vec<u8>> {
        self.files.read(name).map_err(|error| self.problem(at, format!("failed to read {name:?}: {error}"))).ok()
    }
}

/// The names of hosts that a certificate is for.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let all = alternative.iter().flat_map(|extension| &extension.value.general_names);
    all.filter_map(|name| if let GeneralName::DNSName(name) = name { Some(name.to_ascii_lowercase()) } else { None })
        .collect()
}
