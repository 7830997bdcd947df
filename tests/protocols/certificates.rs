//! Certificates that are made for a test.

use std::{fs, path::Path};

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// An authority that clients and gateways of a test believe.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(crate) struct Pair {
    pub(crate) cert: CertificateDer<'static>,
    pub(crate) cert_pem: String,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for these names and addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (params, key) = (CertificateParams::new(names).unwrap(), KeyPair::generate().unwrap());
        let issued = params.signed_by(&key, &self.0).unwrap();
        Pair { cert: issued.der().clone(), cert_pem: issued.pem(), key }
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// Writes it as `name.pem`; gives the path.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> String {
        let path = folder.join(format!("{name}.pem"));
        fs::write(&path, self.0.pem()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Pair {
    /// Writes it as `name.pem` and `name.key`; gives both as TOML.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> String {
        let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&cert, &self.cert_pem).unwrap();
        fs::write(&key, self.key.serialize_pem()).unwrap();
        format!("{{ cert = {cert:?}, key = {key:?} }}")
    }

    pub(crate) fn secret(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}
