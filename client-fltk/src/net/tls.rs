//! How a cluster is known again: by the public key of its own authority, which the client link pins, and by the cluster's
//! id, which stands in every server's certificate. Addresses are in neither, so they may change.
//!
//! At first contact the id is not known yet: the one the certificate names is remembered with the pin ([`Seen`]) and
//! expected from then on.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::link::Pin;

/// ALPN of a client that speaks our own dialect, in either codec.
pub const ALPN: &[u8] = b"samira/2";

/// Behind the cluster's id in the names of its certificates.
const SUFFIX: &str = ".samira";

/// Sent as the server's name while the cluster's id is unknown. Servers have one certificate and do not look at it.
const ANY_CLUSTER: &str = "cluster.samira";

/// The moment at which a certificate is looked at. A cluster's certificates do not expire, and what counts is the pin: a
/// machine whose clock is wrong must be able to talk, most of all to be told so.
const LOOKED_AT: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));

/// The id of the cluster a certificate spoke of, once the handshake is through.
pub type Seen = Arc<OnceLock<String>>;

/// A TLS connection to begin with, and where the cluster's id will be found.
///
/// # Errors
/// The cryptography of this build does not work, or `cluster` cannot be a part of a name.
pub fn connect(pin: Pin, cluster: Option<&str>) -> Result<(ClientConnection, Seen), rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let seen = Seen::default();
    let verifier =
        Verifier { pin, cluster: cluster.map(str::to_owned), seen: seen.clone(), provider: provider.clone() };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A ticket of another connection would skip the verifier, and with it the cluster's id.
    config.resumption = rustls::client::Resumption::disabled();
    let name = cluster.map_or_else(|| ANY_CLUSTER.to_owned(), |id| format!("{id}{SUFFIX}"));
    let name = ServerName::try_from(name)
        .map_err(|_| rustls::Error::General("the remembered cluster id cannot stand in a certificate".into()))?;
    Ok((ClientConnection::new(Arc::new(config), name)?, seen))
}

/// What the person reads when the certificate is not the right one; `None` for other troubles of TLS.
#[must_use]
pub fn explain(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadEncoding) => Some(
            "this server does not belong to the cluster the client link is for: check the address, or get a new link",
        ),
        rustls::Error::InvalidCertificate(CertificateError::NotValidForName) => Some(
            "this server's cluster has another id than the one remembered: if it was recovered or founded anew, use another profile",
        ),
        rustls::Error::InvalidCertificate(_) => {
            Some("the server's certificate is none that a cluster makes: check the address, or get a new link")
        }
        _ => None,
    }
}

/// Accepts a server whose certificate was issued by the CA with the pinned key and names the cluster.
#[derive(Debug)]
struct Verifier {
    pin: Pin,
    /// The id to expect, if one is known.
    cluster: Option<String>,
    seen: Seen,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let ca = intermediates
            .last()
            .filter(|ca| pin_of(ca) == Some(self.pin))
            .ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let malformed = |_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
        let anchor = anchor_from_trusted_cert(ca).map_err(malformed)?;
        let leaf = EndEntityCert::try_from(end_entity).map_err(malformed)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        leaf.verify_for_usage(algorithms, &[anchor], &[], LOOKED_AT, KeyUsage::server_auth(), None, None).map_err(
            |error| {
                rustls::Error::InvalidCertificate(match error {
                    webpki::Error::CertExpired { .. } => CertificateError::Expired,
                    webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
                    _ => CertificateError::UnknownIssuer,
                })
            },
        )?;
        let wrong_name = rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
        // The cluster's name is one label and the suffix; a node's own name has one label more.
        let mut ids = leaf
            .valid_dns_names()
            .filter_map(|name| name.strip_suffix(SUFFIX))
            .filter(|id| !id.is_empty() && !id.contains(['.', '*']));
        let id = match (&self.cluster, ids.next(), ids.next()) {
            (None, Some(id), None) => id,
            (Some(expected), Some(id), None) if id == expected => id,
            _ => return Err(wrong_name),
        };
        // A connection is verified once, so nothing else was seen on it.
        let _ = self.seen.set(id.to_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The pin of the key in a certificate; `None` if it cannot be parsed.
fn pin_of(certificate: &CertificateDer<'_>) -> Option<Pin> {
    let anchor = anchor_from_trusted_cert(certificate).ok()?;
    // webpki hands out the content of the SEQUENCE; the pin is over the whole.
    let content = anchor.subject_public_key_info.as_ref();
    let mut spki = vec![0x30];
    match content.len() {
        short @ 0..=0x7f => spki.push(short as u8),
        byte @ 0x80..=0xff => spki.extend([0x81, byte as u8]),
        long @ 0x100..=0xffff => spki.extend([0x82, (long >> 8) as u8, long as u8]),
        _ => return None,
    }
    spki.extend_from_slice(content);
    Some(Pin::of_key(&spki))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PublicKeyData,
        date_time_ymd,
    };
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    /// A cluster's authority, as the node makes it.
    pub(crate) struct Authority {
        ca: CertificateDer<'static>,
        key: KeyPair,
    }

    /// One server's certificates, its CA's behind its own.
    pub(crate) struct Server {
        pub(crate) chain: Vec<CertificateDer<'static>>,
        pub(crate) key: PrivateKeyDer<'static>,
    }

    impl Authority {
        pub(crate) fn found(id: &str) -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![format!("{id}.samira")]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            let ca = params.self_signed(&key).unwrap().der().clone();
            Self { ca, key }
        }

        pub(crate) fn pin(&self) -> Pin {
            Pin::of_key(&self.key.subject_public_key_info())
        }

        pub(crate) fn server(&self, names: &[&str]) -> Server {
            self.server_with(names, |_| {})
        }

        fn server_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Server {
            let key = KeyPair::generate().unwrap();
            let issuer = Issuer::from_ca_cert_der(&self.ca, &self.key).unwrap();
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            change(&mut params);
            let leaf = params.signed_by(&key, &issuer).unwrap().der().clone();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            Server { chain: vec![leaf, self.ca.clone()], key }
        }
    }

    fn now() -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_millis(crate::env::Clock::start().unix_ms()))
    }

    /// What the verifier says, and which cluster it saw.
    fn verify(pin: Pin, cluster: Option<&str>, server: &Server) -> Result<String, rustls::Error> {
        let seen = Seen::default();
        let verifier = Verifier {
            pin,
            cluster: cluster.map(str::to_owned),
            seen: seen.clone(),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
        };
        let name = ServerName::try_from(ANY_CLUSTER).unwrap();
        verifier.verify_server_cert(&server.chain[0], &server.chain[1..], &name, &[], now())?;
        Ok(seen.get().unwrap().clone())
    }

    fn invalid<T>(error: CertificateError) -> Result<T, rustls::Error> {
        Err(rustls::Error::InvalidCertificate(error))
    }

    #[test]
    fn the_right_cluster_is_known_and_remembered() {
        let authority = Authority::found("c1");
        let server = authority.server(&["c1.samira", "n1.c1.samira"]);
        assert_eq!(verify(authority.pin(), None, &server), Ok("c1".into()));
        assert_eq!(verify(authority.pin(), Some("c1"), &server), Ok("c1".into()));
    }

    #[test]
    fn another_key_is_another_cluster() {
        let (authority, other) = (Authority::found("c1"), Authority::found("c1"));
        let server = authority.server(&["c1.samira"]);
        assert_eq!(verify(other.pin(), Some("c1"), &server), invalid(CertificateError::UnknownIssuer));
        // A leaf of another authority that shows the pinned one's certificate, which everybody may have.
        let mut forged = other.server(&["c1.samira"]);
        forged.chain[1] = server.chain[1].clone();
        assert_eq!(verify(authority.pin(), None, &forged), invalid(CertificateError::UnknownIssuer));
        // No CA at all, or not at the end.
        let alone = Server { chain: vec![server.chain[0].clone()], key: server.key.clone_key() };
        assert_eq!(verify(authority.pin(), None, &alone), invalid(CertificateError::UnknownIssuer));
        let mut turned = authority.server(&["c1.samira"]);
        turned.chain.push(turned.chain[0].clone());
        assert_eq!(verify(authority.pin(), None, &turned), invalid(CertificateError::UnknownIssuer));
    }

    #[test]
    fn a_name_is_checked_and_an_unclear_one_is_not_remembered() {
        let authority = Authority::found("c1");
        let check = |names: &[&str], cluster, expected: Result<&str, CertificateError>| {
            let expected = expected.map(str::to_owned).map_err(rustls::Error::InvalidCertificate);
            assert_eq!(verify(authority.pin(), cluster, &authority.server(names)), expected, "{names:?}");
        };
        let wrong = Err(CertificateError::NotValidForName);
        check(&["c1.samira"], Some("c2"), wrong.clone());
        check(&["n1.c1.samira"], None, wrong.clone());
        check(&["c1.samira", "c2.samira"], None, wrong.clone());
        check(&["*.samira"], None, wrong.clone());
        check(&["c1.example"], None, wrong.clone());
        check(&["samira"], None, wrong);
        check(&["c2.samira", "other.example"], None, Ok("c2"));
    }

    #[test]
    fn time_and_purpose_are_checked() {
        let authority = Authority::found("c1");
        let check = |change: fn(&mut CertificateParams), expected| {
            let server = authority.server_with(&["c1.samira"], change);
            assert_eq!(verify(authority.pin(), None, &server), invalid(expected));
        };
        check(|params| params.not_after = date_time_ymd(2001, 1, 1), CertificateError::Expired);
        check(|params| params.not_before = date_time_ymd(2999, 1, 1), CertificateError::NotValidYet);
        check(
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            CertificateError::UnknownIssuer,
        );
    }

    #[test]
    fn a_handshake_agrees_on_the_dialect() {
        let authority = Authority::found("c1");
        let Server { chain, key } = authority.server(&["c1.samira", "n1.c1.samira"]);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![ALPN.to_vec()];
        let mut server = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let (mut client, seen) = connect(authority.pin(), None).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        assert_eq!(client.alpn_protocol(), Some(ALPN));
        assert_eq!(seen.get().map(String::as_str), Some("c1"));
    }
}
