//! The cluster's certificate authority: one key, made by the first node, kept by every voter (mode 0600), so that
//! machines can join after the first node died for good. Never in a log entry, a snapshot or a log line.
//!
//! Certificates do not expire: a ship has no administrator to renew them and possibly no right clock. Removing a node
//! is a committed decision, not a date.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};

use crate::quic::tls::{Pin, cluster_name, node_name};

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate: {0}")]
pub struct CaError(#[from] rcgen::Error);

/// A key and a certificate in the making or taking over.
#[derive(Debug)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    /// A new cluster's.
    ///
    /// # Errors
    /// The random source failed.
    pub fn found(cluster_id: &str) -> Result<Self, CaError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![cluster_name(cluster_id)])?;
        params.distinguished_name = name(&format!("Samira cluster {cluster_id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Authority { certificate, key })
    }

    /// From what the data directory holds.
    pub fn from_parts(certificate: CertificateDer<'static>, key: KeyPair) -> Self {
        Authority { certificate, key }
    }

    /// The certificate everybody trusts.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The private key. For the data directory and for other voters only.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// A certificate for the key behind `request` under the names of `node`. What the request itself asks for is
    /// ignored: only its key counts, and that it is signed by it.
    ///
    /// # Errors
    /// The request is damaged or not signed by its own key.
    pub fn sign(&self, request: &[u8], node: u64, cluster_id: &str) -> Result<CertificateDer<'static>, CaError> {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key)?;
        let mut params = CertificateParams::new(vec![cluster_name(cluster_id), node_name(node, cluster_id)])?;
        params.distinguished_name = name(&format!("Samira node {node:016x}"));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params.signed_by(&request.public_key, &issuer)?.der().clone())
    }
}

/// A certificate request for `key`.
///
/// # Errors
/// The key cannot sign.
pub fn request(key: &KeyPair) -> Result<Vec<u8>, CaError> {
    Ok(CertificateParams::default().serialize_request(key)?.der().to_vec())
}

/// A certificate for `key` that nobody else has signed: all it proves is the key.
///
/// # Errors
/// The key cannot sign.
pub fn self_signed(key: &KeyPair) -> Result<CertificateDer<'static>, CaError> {
    let params = CertificateParams::new(vec!["newcomer.samira".to_owned()])?;
    Ok(params.self_signed(key)?.der().clone())
}

/// The hash of the key behind a certificate request; `None` if the request is damaged.
pub fn key_of_request(request: &[u8]) -> Option<Pin> {
    let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request)).ok()?;
    Some(Pin::of_key(&request.public_key.subject_public_key_info()))
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}
