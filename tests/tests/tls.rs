//! Clients within TLS, who know of a cluster what its link says: an address and a pin.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use proto::v2::chat_client::ChatClient;
use proto::v2::{GetAccountRequest, SignUpRequest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::cluster::{Cluster, Node};
use tests::legacy_client::{CallError, Client, password};
use tests::netns::{Lan, on_separate_machines};
use tests::{PATIENCE, wait_until};
use tonic::transport::{Channel, Endpoint};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use wire::codec::Codec;
use wire::frame::Splitter;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Accepts servers whose certificate was issued by the authority of this pin: what a client link asks for.
#[derive(Debug)]
struct Pinned {
    pin: String,
    provider: Arc<CryptoProvider>,
}

/// Half of the hash over the public key, in letters.
fn pin_of(certificate: &CertificateDer<'_>) -> String {
    let anchor = anchor_from_trusted_cert(certificate).unwrap();
    let key = anchor.subject_public_key_info.as_ref();
    // webpki gives the content of the structure without its head, which the keys of this cluster are short enough for.
    assert!(key.len() < 0x80);
    let hash = Sha256::digest([&[0x30, key.len() as u8], key].concat());
    data_encoding::BASE32_NOPAD.encode(&hash[..16]).to_lowercase()
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = || rustls::Error::General("not the pinned cluster".into());
        let ca = intermediates.iter().find(|ca| pin_of(ca) == self.pin).ok_or_else(refused)?;
        let anchors = [anchor_from_trusted_cert(ca).map_err(|_| refused())?];
        let algorithms = self.provider.signature_verification_algorithms.all;
        let certificate = EndEntityCert::try_from(end_entity).map_err(|_| refused())?;
        certificate
            .verify_for_usage(algorithms, &anchors, &[], now, KeyUsage::server_auth(), None, None)
            .map_err(|_| refused())?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".into()))
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

/// Knows a pin.
fn pinning(pin: &str) -> Arc<ClientConfig> {
    let verifier = Pinned { pin: pin.into(), provider: provider() };
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13]);
    Arc::new(builder.unwrap().dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// A gRPC channel within TLS that offers these protocols.
async fn grpc(address: SocketAddr, pin: &str, alpn: &[&[u8]]) -> Result<Channel, tonic::transport::Error> {
    let mut config = (*pinning(pin)).clone();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let connect = tower::service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let socket = tokio::net::TcpStream::connect(address).await?;
            let name = ServerName::try_from("the-pin-decides").unwrap();
            Ok::<_, io::Error>(hyper_util::rt::TokioIo::new(connector.connect(name, socket).await?))
        }
    });
    Endpoint::from_shared(format!("http://{address}"))?.connect_with_connector(connect).await
}

#[test]
fn grpc_within_tls_is_asked_for_by_name_and_tokens_travel_there() {
    // Nobody may speak in the clear here.
    let cluster = Cluster::start_prepared(1, |node| node.args = vec!["--plaintext".into(), "off".into()]);
    let node = &cluster.nodes[0];
    let (address, pin) = (node.address(), pin(node));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut calls = ChatClient::new(grpc(address, &pin, &[b"h2"]).await.unwrap());
        let request = SignUpRequest { username: "alice".into(), password: password("alice"), ..Default::default() };
        let session = calls.sign_up(request).await.unwrap().into_inner();
        let mut request = tonic::Request::new(GetAccountRequest {});
        request.metadata_mut().insert("authorization", format!("Bearer {}", session.token).parse().unwrap());
        assert_eq!(calls.get_account(request).await.unwrap().into_inner().username, "alice");

        // Without its name HTTP/2 is spoken to somebody who does not understand it; a wrong pin gets no connection.
        for (pin, alpn) in [(pin.as_str(), &[][..]), (&"a".repeat(26), &[b"h2".as_slice()][..])] {
            let refused = match grpc(address, pin, alpn).await {
                Ok(channel) => ChatClient::new(channel).get_account(GetAccountRequest {}).await.is_err(),
                Err(_) => true,
            };
            assert!(refused, "{alpn:?}");
        }
    });
    cluster.stop();
}

/// Speaks the original's JSON within TLS.
struct Tls {
    stream: StreamOwned<ClientConnection, TcpStream>,
    splitter: Splitter,
    input: Vec<u8>,
}

impl Tls {
    /// Connects and shakes hands, in TLS and then inside.
    fn connect(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), socket);
        let mut client = Self { stream, splitter: Splitter::new(Codec::Json), input: Vec::new() };
        let welcome = client.call(&json!({"client_id": "e2e", "message": "connection_request"}))?;
        assert_eq!(welcome["status"], "connected", "{welcome}");
        Ok(client)
    }

    fn call(&mut self, request: &Value) -> io::Result<Value> {
        self.stream.write_all(request.to_string().as_bytes())?;
        loop {
            if let Some(end) = self.splitter.push(&self.input).map_err(io::Error::other)? {
                let rest = self.input.split_off(end);
                let reply = std::mem::replace(&mut self.input, rest);
                return serde_json::from_slice(&reply).map_err(io::Error::other);
            }
            let mut chunk = [0; 4096];
            match tests::read_some(&mut self.stream, &mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.input.extend_from_slice(&chunk[..count]),
            }
        }
    }

    fn granted(&mut self, request: &Value) -> Value {
        let reply = self.call(request).unwrap();
        assert_eq!(reply["success"], true, "{request}: {reply}");
        reply
    }

    /// Who is logged in gets an answer out of the database.
    fn is_served(&mut self) {
        let reply = self.call(&json!({"action": "get_user_message_limit", "username": "ann"})).unwrap();
        assert_eq!(reply["message_limit"], "6", "{reply}");
    }

    fn sign_up(&mut self, name: &str) {
        let password = password(name);
        self.granted(&json!({"action": "signup", "username": name, "nickname": name, "password": password}));
        self.granted(&json!({"action": "login", "username": name, "password": password}));
    }
}

/// The pin in a node's client link.
fn pin(node: &Node) -> String {
    let status = node.admin("status").unwrap();
    status["client_link"].as_str().unwrap().rsplit_once('#').unwrap().1.to_owned()
}

#[test]
fn the_link_is_all_a_client_needs() {
    let cluster = Cluster::start(2);
    let pin = pin(&cluster.nodes[0]);
    assert_eq!(pin, self::pin(&cluster.nodes[1]), "one pin for the whole cluster");
    let config = pinning(&pin);
    let mut clients: Vec<Tls> =
        cluster.nodes.iter().map(|node| Tls::connect(node.address(), &config, "localhost").unwrap()).collect();
    clients[0].sign_up("ann");
    clients[1].sign_up("bob");
    let chat = clients[0].granted(&json!({"action": "start_chat", "current_user": "ann", "other_user": "bob"}));
    let text = "x".repeat(wire::limits::MESSAGE_TEXT_BYTES_MAX);
    let send = json!({"action": "send_chat_message", "chat_id": chat["chat_id"], "sender": "ann", "content": text});
    clients[0].granted(&send);
    let get = json!({"action": "get_messages", "chat_id": chat["chat_id"], "current_user": "bob"});
    let got = clients[1].granted(&get);
    let shown = got["messages"][0]["content"].as_str().unwrap();
    assert!(shown.starts_with("xxxx"), "{got}");

    // Without TLS on the same port, as before.
    let mut plain = Client::connect(cluster.nodes[0].address(), Codec::Samira1).unwrap();
    plain.login("bob").unwrap();
    cluster.stop();
    for mut client in clients {
        let mut rest = Vec::new();
        client.stream.read_to_end(&mut rest).expect("a stopping node says goodbye");
        assert_eq!(rest, b"");
    }
}

#[test]
fn the_wrong_pin_ends_before_anything_is_said() {
    let mut cluster = Cluster::empty();
    let node = cluster.add_node();
    let mut wrong = pin(node);
    wrong.replace_range(..1, if wrong.starts_with('a') { "b" } else { "a" });
    let error = Tls::connect(node.address(), &pinning(&wrong), "localhost").err().expect("it is refused");
    assert!(error.to_string().contains("not the pinned cluster"), "{error}");
    wait_until("it has left", || node.status().is_some_and(|status| status.clients == 0));
    assert!(!node.printed().contains("panicked at"));
    node.stop();
}

#[test]
fn the_certificate_carries_the_name_of_the_cluster() {
    let mut cluster = Cluster::empty();
    let node = cluster.add_node();
    let id = node.admin("status").unwrap()["cluster_id"].as_str().unwrap().to_owned();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(node.dir.join("ca.crt")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13]);
    let config = Arc::new(config.unwrap().with_root_certificates(roots).with_no_client_auth());
    Tls::connect(node.address(), &config, &format!("{id}.samira")).unwrap();
    let error = Tls::connect(node.address(), &config, "0123456789abcdef.samira").err().expect("another name");
    assert!(error.to_string().contains("certificate"), "{error}");
    node.stop();
}

#[test]
fn tls_comes_in_from_other_machines_whatever_the_policy() {
    on_separate_machines("tls_comes_in_from_other_machines_whatever_the_policy", || {
        let lan = Lan::new(2);
        let mut cluster = Cluster::empty();
        for (number, policy) in ["loopback", "off"].into_iter().enumerate() {
            let mut node = cluster.new_node(&format!("n{number}"));
            let port = 5555 + u16::try_from(number).unwrap();
            let at = SocketAddr::from((lan.machines[0].ip(), port));
            node.machine = Some(lan.machines[0].clone());
            node.typed = Some(vec!["--listen".into(), format!("0.0.0.0:{port}"), "--plaintext".into(), policy.into()]);
            cluster.nodes.push(node);
            let node = &cluster.nodes[number];
            node.start(None);
            let config = pinning(&pin(node));
            let mut remote = lan.machines[1].run(|| Tls::connect(at, &config, "localhost")).unwrap();
            remote.sign_up("ann");
            let refused = lan.machines[1].run(|| Client::connect(at, Codec::Json));
            assert!(matches!(refused, Err(CallError::Refused(_))), "{policy}: plaintext from another machine");
            let local = SocketAddr::from(([127, 0, 0, 1], port));
            let plain = lan.machines[0].run(|| Client::connect(local, Codec::Json));
            assert_eq!(plain.is_ok(), policy == "loopback", "{policy}: plaintext from this machine");
            remote.is_served();
            node.stop();
        }
    });
}

/// Connections of each kind whose memory is compared.
const CROWD: usize = 1_000;

/// Resident bytes of the node for an idle connection within TLS: keys, both ciphers' tables, and the connection's own.
const BYTES_PER_TLS_CONNECTION_MAX: u64 = 8192;

fn rss_bytes(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_crowd_within_tls_costs_little() {
    let mut cluster = Cluster::empty();
    let node = cluster.add_node();
    let config = pinning(&pin(node));
    // What the first of each kind sets up once and for all.
    drop((Tls::connect(node.address(), &config, "localhost"), Client::connect(node.address(), Codec::Json)));
    let empty = rss_bytes(node);
    let plain: Vec<_> = (0..CROWD).map(|_| Client::connect(node.address(), Codec::Json).unwrap()).collect();
    let with_plain = rss_bytes(node);
    let mut inside: Vec<_> = (0..CROWD).map(|_| Tls::connect(node.address(), &config, "localhost").unwrap()).collect();
    let with_both = rss_bytes(node);
    let each = |more: u64, less: u64| more.saturating_sub(less) / CROWD as u64;
    let (plain_bytes, tls_bytes) = (each(with_plain, empty), each(with_both, with_plain));
    println!("an idle connection takes {plain_bytes} bytes without TLS, {tls_bytes} within");
    assert!(tls_bytes < BYTES_PER_TLS_CONNECTION_MAX, "{tls_bytes} bytes for each");
    inside[CROWD / 2].sign_up("ann");
    assert_eq!(node.status().unwrap().clients, 2 * CROWD as u64);
    drop((plain, inside));
    wait_until("they have left", || node.status().is_some_and(|status| status.clients == 0));
    assert!(!node.printed().contains("panicked at"));
    node.stop();
}

#[test]
fn silent_handshakes_are_closed_in_time_and_others_are_served_meanwhile() {
    let mut cluster = Cluster::empty();
    let node = cluster.add_node();
    let config = pinning(&pin(node));
    let mut client = Tls::connect(node.address(), &config, "localhost").unwrap();
    client.sign_up("ann");
    let mut hello = Vec::new();
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(config.clone(), name).unwrap().write_tls(&mut hello).unwrap();
    let silent: Vec<TcpStream> = (0..300)
        .map(|number| {
            let mut stream = TcpStream::connect(node.address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&hello[..[1, hello.len() / 2, hello.len()][number % 3]]).unwrap();
            stream
        })
        .collect();
    client.is_served();
    drop(Tls::connect(node.address(), &config, "localhost").unwrap());
    for mut stream in silent {
        // A flight of the server's may come first.
        let end = stream.read_to_end(&mut Vec::new());
        assert!(end.is_ok() || end.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset));
    }
    client.is_served();
    wait_until("one is left", || node.status().is_some_and(|status| status.clients == 1));
    assert!(!node.printed().contains("panicked at"));
    node.stop();
}
