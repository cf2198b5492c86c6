//! Doors between machines that do not trust each other yet: what a code opens, what an impostor learns.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, EndpointConfig, TokioRuntime};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use serde_json::json;
use tests::cluster::{Cluster, Join};
use tests::{PATIENCE, wait_for, wait_until};
use wire::replication::encode;
use wire::replication::entry::Member;
use wire::replication::join::JoinRequest;
use wire::replication::rpc::{Hello, Life};

#[test]
fn a_code_whose_time_is_over_lets_nobody_in() {
    let mut cluster = Cluster::start(1);
    let short = cluster.nodes[0].ask(&json!({ "command": "join-code", "valid_s": 1 })).unwrap();
    assert_eq!(short["expires_in_s"], 1);
    let join = Join { peer: cluster.nodes[0].address().to_string(), code: short["code"].as_str().unwrap().into() };
    // Its end is looked at when it is used, so a node that comes a second later is late. One that came in time would be
    // let in, which is no fault; so it is asked as a code that is over for certain.
    let made = tests::now();
    wait_until("the code's time to be over", || made.elapsed() > Duration::from_millis(1_500));
    let said = cluster.new_node("late").refused(&join);
    assert!(said.contains("has expired") && said.contains("node join-code"), "{said}");

    for wrong in [0, 25 * 60 * 60] {
        let error = cluster.nodes[0].ask(&json!({ "command": "join-code", "valid_s": wrong })).unwrap_err();
        assert!(error.to_string().contains("24h"), "{error}");
    }
    // The command line says the same before it asks.
    let output = std::process::Command::new(tests::cluster::built("node"))
        .args(["join-code", "--valid", "25h", "--data-dir"])
        .arg(&cluster.nodes[0].dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("24h"), "{said}");

    let fresh = cluster.nodes[0].invite();
    let node = cluster.new_node("n2");
    node.start(Some(&fresh));
    cluster.nodes.push(node);
    cluster.wait_voters(2);
    cluster.stop();
}

#[test]
fn servers_join_after_the_founder_died_for_good_and_was_removed() {
    let mut cluster = Cluster::start(3);
    cluster.nodes[0].kill();
    let founder = cluster.nodes.remove(0);
    std::fs::remove_dir_all(&founder.dir).unwrap();
    cluster.wait_voters(3);
    // The key that signs newcomers did not die with it.
    let fourth = cluster.new_node("n4");
    fourth.start(Some(&cluster.nodes[1].invite()));
    cluster.nodes.push(fourth);
    cluster.wait_voters(4);
    cluster.nodes[2].ask(&json!({ "command": "remove-member", "member": founder.name })).unwrap();
    cluster.wait_voters(3);
    let fifth = cluster.new_node("n5");
    fifth.start(Some(&cluster.nodes[2].invite()));
    cluster.nodes.push(fifth);
    cluster.wait_voters(4);
    cluster.settle();
    cluster.stop();
}

/// An authority that nobody trusts, and what it signs.
struct Impostor {
    ca: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Impostor {
    fn new(names: &[String]) -> Self {
        let ca_key = KeyPair::generate().expect("randomness");
        let mut params = CertificateParams::new(vec!["impostor.samira".to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).expect("a certificate").der().clone();
        let issuer = Issuer::from_ca_cert_der(&ca, &ca_key).expect("an authority");
        let key = KeyPair::generate().expect("randomness");
        let params = CertificateParams::new(names.to_vec()).expect("names");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate").der().clone();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
        Impostor { ca, certificate, key }
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A server on loopback that shows `chain` to whoever comes and notes every byte it is told, and that somebody came.
struct FalseServer {
    address: SocketAddr,
    visits: Receiver<Result<Vec<u8>, String>>,
}

impl FalseServer {
    fn start(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("the key fits");
        config.alpn_protocols = vec![b"samira-join/1".to_vec(), b"samira-peer/1".to_vec()];
        let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config).expect("QUIC")));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = socket.local_addr().expect("bound");
        let (told, visits) = channel();
        std::thread::spawn(move || {
            runtime().block_on(async move {
                let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime));
                let endpoint = endpoint.expect("an endpoint");
                while let Some(incoming) = endpoint.accept().await {
                    let visit = match incoming.await {
                        Ok(connection) => Ok(everything_said(&connection).await),
                        Err(error) => Err(error.to_string()),
                    };
                    if told.send(visit).is_err() {
                        return;
                    }
                }
            });
        });
        FalseServer { address, visits }
    }

    /// What the next visitor said, or why it would not talk.
    fn next(&self) -> Result<Vec<u8>, String> {
        self.visits.recv_timeout(PATIENCE).expect("somebody comes")
    }
}

/// All bytes of the first stream, until the other side ends it or the connection.
async fn everything_said(connection: &Connection) -> Vec<u8> {
    let mut said = Vec::new();
    if let Ok((_send, mut recv)) = connection.accept_bi().await {
        while let Ok(Some(chunk)) = recv.read_chunk(64 << 10, true).await {
            said.extend_from_slice(&chunk.bytes);
        }
    }
    said
}

#[test]
fn a_false_server_is_told_nothing() {
    let cluster = Cluster::start(1);
    let good = cluster.nodes[0].invite();
    let impostor = Impostor::new(&["join.samira".to_owned()]);
    // Its own chain; and the cluster's certificates, which anybody can see, but not their keys.
    let file = |name: &str| {
        let pem = std::fs::read(cluster.nodes[0].dir.join(name)).expect("the node has certificates");
        CertificateDer::from_pem_slice(&pem).expect("a certificate")
    };
    let own = vec![impostor.certificate.clone(), impostor.ca.clone()];
    let borrowed = vec![impostor.certificate.clone(), file("ca.crt")];
    let both = vec![impostor.certificate.clone(), impostor.ca.clone(), file("ca.crt")];
    for (i, chain) in [own, borrowed, both].into_iter().enumerate() {
        let server = FalseServer::start(chain, impostor.key.clone_key());
        let join = Join { peer: server.address.to_string(), code: good.code.clone() };
        let said = cluster.new_node(&format!("fooled{i}")).refused(&join);
        assert!(said.contains("does not belong to the cluster this join code is for"), "{said}");
        match server.next() {
            Err(error) => assert!(error.contains("does not belong to the cluster"), "{error}"),
            Ok(said) => panic!("it was told {} bytes", said.len()),
        }
    }
    // The code was not used up by that, nor seen.
    let mut cluster = cluster;
    let node = cluster.new_node("n2");
    node.start(Some(&good));
    cluster.nodes.push(node);
    cluster.wait_voters(2);
    cluster.stop();
}

/// Takes any server for the right one: who attacks does not ask for proof.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Connects to a real node and says `frame` on a stream; returns all that comes back, which ends when the node closes.
fn say(to: SocketAddr, alpn: &[u8], impostor: Option<&Impostor>, frame: &[u8]) -> Vec<u8> {
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3");
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match impostor {
        None => config.with_no_client_auth(),
        Some(impostor) => config
            .with_client_auth_cert(vec![impostor.certificate.clone(), impostor.ca.clone()], impostor.key.clone_key())
            .expect("the key fits"),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).expect("QUIC")));
    runtime().block_on(async {
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let Ok(connecting) = endpoint.connect_with(config, to, "join.samira") else { return Vec::new() };
        // Refusals may come here or at any later step: all that counts is what is heard.
        let Ok(connection) = connecting.await else { return Vec::new() };
        let Ok((mut send, mut recv)) = connection.open_bi().await else { return Vec::new() };
        let mut heard = Vec::new();
        if send.write_all(frame).await.is_ok() {
            while let Ok(Some(chunk)) = recv.read_chunk(64 << 10, true).await {
                heard.extend_from_slice(&chunk.bytes);
            }
        }
        heard
    })
}

/// As nodes frame what they say.
fn frame(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short");
    [&length.to_be_bytes(), content].concat()
}

#[test]
fn an_impostor_hears_nothing_and_changes_nothing() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    let status = node.admin("status").unwrap();
    let (cluster_id, node_id) = (status["cluster_id"].as_str().unwrap(), status["node_id"].as_str().unwrap());
    cluster.settle();
    let before = node.status().unwrap();
    // Names as the cluster's own certificates have them, of a stranger and of the node itself.
    let hello = |id: u64| {
        let life = Life { incarnation: 9, id: [9; 16] };
        frame(&encode(&Hello { node: id, rule_level: 1, life, end: None, remembered: None, trusted: true }))
    };
    let victim = u64::from_str_radix(node_id, 16).unwrap();
    for id in [7, victim] {
        let names = [format!("{cluster_id}.samira"), format!("n{id:016x}.{cluster_id}.samira")];
        let impostor = Impostor::new(&names);
        assert_eq!(say(node.address(), b"samira-peer/1", Some(&impostor), &hello(id)), b"");
        // A newcomer needs no certificate, but one that shows a false one is no newcomer.
        assert_eq!(say(node.address(), b"samira-join/1", Some(&impostor), &hello(id)), b"");
    }
    // Without any certificate only a join request is understood, and without a code it is refused.
    assert_eq!(say(node.address(), b"samira-peer/1", None, &hello(7)), b"");
    // The bytes of something else may happen to read as a request, which is refused then.
    let reply = say(node.address(), b"samira-join/1", None, &hello(7));
    assert!(reply.len() < 16, "a refusal is a few bytes: {reply:?}");
    assert_eq!(say(node.address(), b"samira-join/1", None, &u32::MAX.to_be_bytes()), b"");
    let member = Member { id: 7, address: "127.0.0.1:1".into(), name: "x".into() };
    let request = JoinRequest { secret: vec![0; 10], csr: vec![0x30; 100], member, named: true };
    let reply = say(node.address(), b"samira-join/1", None, &frame(&encode(&request)));
    assert!(!reply.is_empty() && reply.len() < 16, "a refusal is a few bytes: {reply:?}");

    let after = wait_for("the node to answer", || node.status());
    assert_eq!(after.members.len(), 1);
    assert_eq!((after.term, after.applied, after.state_hash), (before.term, before.applied, before.state_hash));
    cluster.stop();
}
