//! Who may talk to whom.
//!
//! Every node holds a certificate from the cluster's CA with two names: the cluster's and its own
//! ([`cluster_name`], [`node_name`]). A node that dials another checks the other's own name, so that a wrong address
//! is found at once; addresses are not in certificates and may change. A newcomer has only a pin, the hash of the
//! CA's public key, and checks that before it says anything.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// ALPN of links between admitted nodes.
pub const ALPN_PEER: &[u8] = b"samira-peer/1";
/// ALPN of a newcomer that asks to join.
pub const ALPN_JOIN: &[u8] = b"samira-join/1";
/// ALPN of the way back to a newcomer, see [`super::probe`].
pub const ALPN_PROBE: &[u8] = b"samira-probe/1";
/// ALPN of clients that speak our own dialect, over TCP.
pub const ALPN_CLIENT: &[u8] = b"samira/2";

/// Clients that speak gRPC.
const ALPN_GRPC: &[u8] = b"h2";

/// The name of the whole cluster in its certificates.
pub fn cluster_name(cluster_id: &str) -> String {
    format!("{cluster_id}.samira")
}

/// The name of one node in its certificate.
pub fn node_name(node: u64, cluster_id: &str) -> String {
    format!("n{node:016x}.{cluster_id}.samira")
}

/// What a node proves itself with.
#[derive(Debug)]
pub struct Credentials {
    /// Id of the cluster, part of every name in it.
    pub cluster_id: String,
    /// The CA's certificate.
    pub ca: CertificateDer<'static>,
    /// This node's certificate.
    pub certificate: CertificateDer<'static>,
    /// Its key. Never logged: rustls' own type hides it.
    pub key: PrivateKeyDer<'static>,
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls does not accept the key or a certificate.
    #[error("the certificates in the data directory do not work: {0}")]
    Rustls(#[from] rustls::Error),
    /// The verifier could not be built.
    #[error("the cluster's CA certificate does not work: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The cipher suites QUIC needs are missing.
    #[error("the cryptography of this build cannot do QUIC: {0}")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// The moment at which every certificate is looked at: within the years that the authority writes into its certificates
/// (`cluster/ca.rs`: 1975 to 4096), whatever this machine's clock says. They do not expire, so a clock can only be wrong about
/// them: a board without a battery begins in 1970, and its data is good.
const LOOKED_AT: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));

/// [`LOOKED_AT`] for rustls.
#[derive(Debug)]
struct NoClock;

impl TimeProvider for NoClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(LOOKED_AT)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(ca: &CertificateDer<'static>) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone())?;
    Ok(Arc::new(roots))
}

/// For the accepting side. A certificate is asked for and checked if given; [`ALPN_JOIN`] does without.
///
/// # Errors
/// The credentials do not work.
pub fn server(credentials: &Credentials) -> Result<QuicServerConfig, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(&credentials.ca)?, provider())
        .allow_unauthenticated()
        .build()?;
    let mut config = rustls::ServerConfig::builder_with_details(provider(), Arc::new(NoClock))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![credentials.certificate.clone(), credentials.ca.clone()], credentials.key.clone_key())?;
    config.alpn_protocols = vec![ALPN_PEER.to_vec(), ALPN_JOIN.to_vec()];
    Ok(config.try_into()?)
}

/// For clients, over TCP. They show no certificate, and check that the node's was issued by the authority that they have
/// the pin of, under the name of the cluster: addresses may change.
///
/// Nothing is kept to resume sessions with. A client that comes back after a failover comes to another node, which could
/// not know the session without a key that all nodes share, and a full handshake costs a fraction of a millisecond. TLS 1.2
/// is off: nobody needs it, since the original's clients speak no TLS at all.
///
/// # Errors
/// The credentials do not work.
pub fn client_server(credentials: &Credentials) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let mut config = rustls::ServerConfig::builder_with_details(provider(), Arc::new(NoClock))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![credentials.certificate.clone(), credentials.ca.clone()], credentials.key.clone_key())?;
    config.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The same for clients that ask for HTTP/2.
///
/// # Errors
/// The credentials do not work.
pub fn grpc_server(credentials: &Credentials) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let mut config = (*client_server(credentials)?).clone();
    config.alpn_protocols = vec![ALPN_GRPC.to_vec()];
    Ok(Arc::new(config))
}

/// For dialling admitted nodes.
///
/// # Errors
/// The credentials do not work.
pub fn peer_client(credentials: &Credentials) -> Result<QuicClientConfig, TlsError> {
    let mut config = rustls::ClientConfig::builder_with_details(provider(), Arc::new(NoClock))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(&credentials.ca)?)
        .with_client_auth_cert(
            vec![credentials.certificate.clone(), credentials.ca.clone()],
            credentials.key.clone_key(),
        )?;
    config.alpn_protocols = vec![ALPN_PEER.to_vec()];
    Ok(config.try_into()?)
}

/// For a newcomer that knows nothing but the pin.
///
/// # Errors
/// The cryptography of this build cannot do QUIC.
pub fn join_client(pin: Pin) -> Result<QuicClientConfig, TlsError> {
    pinned_client(pin, Pinned::Authority, ALPN_JOIN)
}

/// For the way back to a newcomer, which must prove the key of its certificate request.
///
/// # Errors
/// The cryptography of this build cannot do QUIC.
pub fn probe_client(key: Pin) -> Result<QuicClientConfig, TlsError> {
    pinned_client(key, Pinned::Itself, ALPN_PROBE)
}

fn pinned_client(pin: Pin, pinned: Pinned, alpn: &[u8]) -> Result<QuicClientConfig, TlsError> {
    let provider = provider();
    let mut config = rustls::ClientConfig::builder_with_details(provider.clone(), Arc::new(NoClock))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinVerifier { pin, pinned, provider }))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config.try_into()?)
}

/// For a newcomer that answers probes under a certificate that it has signed itself.
///
/// # Errors
/// The key or the certificate does not work.
pub fn probe_server(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<QuicServerConfig, TlsError> {
    let mut config = rustls::ServerConfig::builder_with_details(provider(), Arc::new(NoClock))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![ALPN_PROBE.to_vec()];
    Ok(config.try_into()?)
}

/// Whether a certificate, already known to come from the cluster's CA, belongs to this node of this cluster.
pub fn is_node(certificate: &CertificateDer<'_>, node: u64, cluster_id: &str) -> bool {
    let Ok(name) = ServerName::try_from(node_name(node, cluster_id)) else { return false };
    EndEntityCert::try_from(certificate).is_ok_and(|parsed| parsed.verify_is_valid_for_subject_name(&name).is_ok())
}

/// The id of the cluster that a node's certificate, already known to come from its authority, is for.
pub fn cluster_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    let id = parsed.valid_dns_names().find_map(|name| name.strip_suffix(".samira").filter(|id| !id.contains('.')));
    id.map(ToOwned::to_owned)
}

/// The node that a certificate of this cluster, already known to come from its CA, belongs to.
pub fn node_in(certificate: &CertificateDer<'_>, cluster_id: &str) -> Option<u64> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    let suffix = format!(".{}", cluster_name(cluster_id));
    let id = |name: &str| u64::from_str_radix(name.strip_suffix(&suffix)?.strip_prefix('n')?, 16).ok();
    parsed.valid_dns_names().find_map(id).filter(|&id| is_node(certificate, id, cluster_id))
}

/// Whether a node's certificate was issued by the CA of this certificate. No clock is asked.
pub fn is_issued_by(certificate: &CertificateDer<'_>, ca: &CertificateDer<'_>) -> bool {
    verify(certificate, ca, &provider())
}

fn verify(certificate: &CertificateDer<'_>, ca: &CertificateDer<'_>, provider: &CryptoProvider) -> bool {
    let Ok(anchor) = anchor_from_trusted_cert(ca) else { return false };
    let algorithms = provider.signature_verification_algorithms.all;
    EndEntityCert::try_from(certificate).is_ok_and(|certificate| {
        let usage = KeyUsage::server_auth();
        certificate.verify_for_usage(algorithms, &[anchor], &[], LOOKED_AT, usage, None, None).is_ok()
    })
}

/// The first half of SHA-256 over the CA's public key (SubjectPublicKeyInfo, DER): 128 bits stand against a second
/// key with the same pin, and a code stays short enough to read out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin(pub [u8; 16]);

impl Pin {
    /// Of a public key in DER.
    pub fn of_key(spki: &[u8]) -> Self {
        let mut pin = [0; 16];
        pin.copy_from_slice(&Sha256::digest(spki)[..16]);
        Pin(pin)
    }

    /// Of the key in a certificate; `None` if it cannot be parsed.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
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
        Some(Self::of_key(&spki))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_lowercase())
    }
}

/// Text that is no pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a pin: 26 letters and digits (a-z, 2-7) are expected")]
pub struct PinError;

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let bytes = BASE32_NOPAD_NOCASE.decode(text.as_bytes()).map_err(|_| PinError)?;
        bytes.try_into().map(Pin).map_err(|_| PinError)
    }
}

/// The owner of a pinned key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pinned {
    /// The authority that issued the server's certificate.
    Authority,
    /// The server.
    Itself,
}

/// Accepts a server by a pinned key: its own, or that of its authority.
#[derive(Debug)]
struct PinVerifier {
    pin: Pin,
    pinned: Pinned,
    provider: Arc<CryptoProvider>,
}

/// Said of an address that a newcomer gave for its own, and where something else of this program answers.
pub const ANOTHER: &str = "another server answers there";

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.pinned == Pinned::Itself {
            let proven = Pin::of_certificate(end_entity) == Some(self.pin);
            let other = || rustls::Error::General(ANOTHER.into());
            return proven.then(ServerCertVerified::assertion).ok_or_else(other);
        }
        let refuse = || rustls::Error::General("this server does not belong to the cluster the code is for".into());
        let ca = intermediates
            .iter()
            .find(|certificate| Pin::of_certificate(certificate) == Some(self.pin))
            .ok_or_else(refuse)?;
        if !verify(end_entity, ca, &self.provider) {
            return Err(refuse());
        }
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
