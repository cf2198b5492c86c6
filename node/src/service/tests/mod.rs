//! The service on a cluster of one, without consensus and without sockets.

mod account;
mod conversation;
mod limits;
mod order;
mod v2;
mod without_quorum;

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use wire::codec::Codec;
use wire::replication::command::{Chat, Outcome, Writer};

use super::*;
use crate::bridge::{ConnId, Security};
use crate::chat::tests::Machine;
use crate::storage::query::{Page, StateReader};
use crate::storage::state::StateDb;
use crate::storage::trouble::Alarm;

/// What the tests use for the hexadecimal SHA-256 of a password.
const PASSWORD: &str = "03ac674216f3e15c761ee1a5e255f067953623c8b388b4459e13f978d7c846f4";

/// A connection of this machine that begins.
fn opened(conn: ConnId, codec: Codec) -> Event {
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    Event::Opened { conn, codec, peer, secure: Security::Loopback, own_dialect: false }
}

/// A cluster that applies at once, or when it is told to.
#[derive(Clone)]
struct FakeCluster {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    machine: Machine,
    next_seq: u64,
    completions: mpsc::Sender<Vec<Completion>>,
    held: Option<VecDeque<(Vec<u8>, Ticket)>>,
    failing: Option<ProposeError>,
    freshness: Freshness,
    submitted: usize,
}

impl Inner {
    fn apply(&mut self, command: &[u8], ticket: Ticket) {
        let command = postcard::from_bytes(command).unwrap();
        let outcome = self.machine.run(Writer { device: 77, epoch: 1 }, self.next_seq, &[command]).remove(0);
        self.next_seq += 1;
        self.answer(ticket, Ok(outcome));
    }

    fn answer(&self, ticket: Ticket, result: Result<Outcome, ProposeError>) {
        match ticket {
            Ticket::Service(ticket) => self.completions.try_send(vec![Completion { ticket, result }]).unwrap(),
            Ticket::Waiter(waiter) => drop(waiter.send(result)),
        }
    }
}

impl Cluster for FakeCluster {
    fn submit(&self, command: &Command<'_>, ticket: Ticket) -> Result<(), ProposeError> {
        let mut inner = self.inner.lock().unwrap();
        inner.submitted += 1;
        if let Some(error) = inner.failing.clone() {
            // Overload is said at once, everything else after a while.
            if error == ProposeError::Overloaded {
                return Err(error);
            }
            inner.answer(ticket, Err(error));
            return Ok(());
        }
        let command = postcard::to_allocvec(command).unwrap();
        match &mut inner.held {
            Some(held) => held.push_back((command, ticket)),
            None => inner.apply(&command, ticket),
        }
        Ok(())
    }

    async fn barrier(&self) -> Freshness {
        self.inner.lock().unwrap().freshness
    }

    fn rules(&self) -> u16 {
        crate::chat::apply::rule_level()
    }

    fn nodes(&self) -> Vec<NodeAddress> {
        vec![NodeAddress { name: "alpha".into(), address: "127.0.0.1:5555".into(), leader: true }]
    }

    fn whisper(&self, _: Vec<Whisper>) {}
}

/// A running service and what its clients have received.
struct Server {
    cluster: FakeCluster,
    turns: mpsc::Sender<Turn>,
    outgoing: mpsc::Receiver<Vec<Outgoing>>,
    received: HashMap<ConnId, VecDeque<Outgoing>>,
    next_slot: u32,
    directory: TempDir,
}

impl Server {
    async fn start() -> Server {
        Server::start_with(true).await
    }

    async fn start_with(signup_open: bool) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let (completed, completions) = mpsc::channel(4096);
        let (told, applied) = applied_queue();
        let mut state = StateDb::open(&path).unwrap();
        state.tell(told);
        let inner = Inner {
            machine: Machine::on(state),
            next_seq: 1,
            completions: completed,
            held: None,
            failing: None,
            freshness: Freshness::Linearizable,
            submitted: 0,
        };
        let cluster = FakeCluster { inner: Arc::new(Mutex::new(inner)) };
        let backend = backend(&cluster, &path);
        let (turns, turned) = mpsc::channel(16);
        let (send, outgoing) = mpsc::channel(65_536);
        let whom = Whom { cluster: "cluster".into(), node: "alpha".into() };
        let audience = applied.audience.clone();
        let service = Service::new(backend, whom, signup_open, audience, move |batch: Vec<Outgoing>| {
            if !batch.is_empty() {
                // The test may have ended.
                let _ = send.try_send(batch);
            }
        });
        let (_, whispered) = mpsc::channel(1);
        let (_, called) = mpsc::channel(1);
        tokio::spawn(service.run(Inputs { turns: turned, called, completions, applied, whispered }, None));
        Server { cluster, turns, outgoing, received: HashMap::new(), next_slot: 0, directory }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.cluster.inner.lock().unwrap())
    }

    /// Keeps writes from being applied until [`Server::release`].
    fn hold(&self) {
        self.with(|inner| inner.held = Some(VecDeque::new()));
    }

    /// Applies the writes that were held back, oldest first.
    fn release(&self) {
        self.with(|inner| {
            for (command, ticket) in inner.held.take().unwrap_or_default() {
                inner.apply(&command, ticket);
            }
        });
    }

    /// One turn of the poll loop.
    async fn turn(&self, events: Vec<Event>, bytes: Vec<u8>) {
        self.turns.send(Turn { bytes, events }).await.unwrap();
    }

    /// Sends requests of one connection in one turn.
    async fn send(&self, client: Client, requests: &[Value]) {
        let mut bytes = Vec::new();
        let mut events = Vec::new();
        for request in requests {
            let from = bytes.len();
            client.codec.encode_to_vec(request, &mut bytes).unwrap();
            events.push(Event::Frame { conn: client.conn, range: from..bytes.len() });
        }
        self.turn(events, bytes).await;
    }

    /// The next reply on a connection.
    async fn receive(&mut self, client: Client) -> Outgoing {
        loop {
            if let Some(next) = self.received.entry(client.conn).or_default().pop_front() {
                return next;
            }
            for one in self.outgoing.recv().await.expect("the service runs") {
                self.received.entry(one.conn).or_default().push_back(one);
            }
        }
    }

    async fn reply(&mut self, client: Client) -> Value {
        let mut bytes = self.receive(client).await.bytes;
        assert!(bytes.len() <= wire::limits::LEGACY_REPLY_BYTES_MAX, "{} bytes", bytes.len());
        decode(client.codec, &mut bytes)
    }

    /// Sends one request and waits for its reply.
    async fn ask(&mut self, client: Client, request: Value) -> Value {
        self.send(client, &[request]).await;
        self.reply(client).await
    }

    /// A new connection that has shaken hands.
    async fn connect(&mut self, codec: Codec) -> Client {
        let conn = ConnId { slot: self.next_slot, generation: 0 };
        self.next_slot += 1;
        let client = Client { conn, codec };
        self.turn(vec![opened(conn, codec)], Vec::new()).await;
        let hello = json!({"client_id": "test", "message": "connection_request"});
        let welcome = json!({"status": "connected", "message": "Successfully connected as test"});
        assert_eq!(self.ask(client, hello).await, welcome);
        client
    }

    /// A new connection with a new account that is logged in.
    async fn join(&mut self, name: &str) -> Client {
        let client = self.connect(Codec::Json).await;
        let request = json!({"action": "signup", "username": name, "nickname": name, "password": PASSWORD});
        assert_eq!(self.ask(client, request).await, done());
        client
    }

    /// The texts of a conversation that exist, newest first.
    fn texts(&self, conversation: u64) -> Vec<String> {
        let reader = StateReader::open(&self.directory.path().join("state.db")).unwrap();
        let all = Page { messages_max: 1000, text_chars_max: 1000, bytes_max: usize::MAX };
        let messages = reader.newest(conversation, 0..u64::MAX, all).unwrap();
        messages.into_iter().map(|message| message.text).collect()
    }

    async fn say(&mut self, client: Client, name: &str, chat: &str, text: &str) -> Value {
        self.ask(client, say(name, chat, text)).await
    }

    async fn messages(&mut self, client: Client, name: &str, chat: &str) -> Value {
        self.ask(client, messages(name, chat)).await
    }
}

/// SAMIRA has no value type of its own in tests: a reply is decoded as the keys say.
fn decode(codec: Codec, bytes: &mut [u8]) -> Value {
    codec.decode::<Value>(bytes).unwrap()
}

fn backend(cluster: &FakeCluster, path: &Path) -> Backend<FakeCluster> {
    Backend {
        cluster: cluster.clone(),
        queries: Queries::start(path, 2, Alarm::default()).unwrap(),
        passwords: Passwords::start().unwrap(),
    }
}

/// One client connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Client {
    conn: ConnId,
    codec: Codec,
}

fn say(name: &str, chat: &str, text: &str) -> Value {
    json!({"action": "send_chat_message", "chat_id": chat, "sender": name, "content": text})
}

fn messages(name: &str, chat: &str) -> Value {
    json!({"action": "get_messages", "chat_id": chat, "current_user": name})
}

fn chats(name: &str) -> Value {
    json!({"action": "get_chats", "user_id": name})
}

fn login(name: &str) -> Value {
    json!({"action": "login", "username": name, "password": PASSWORD})
}

fn done() -> Value {
    json!({"success": true, "error_message": ""})
}

fn refused(why: &str) -> Value {
    json!({"success": false, "error_message": why})
}

/// The texts of a `get_messages` reply.
fn contents(reply: &Value) -> Vec<&str> {
    reply["messages"].as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap()).collect()
}

/// The read flags of a `get_messages` reply.
fn flags(reply: &Value) -> Vec<u64> {
    reply["messages"].as_array().unwrap().iter().map(|message| message["read"].as_u64().unwrap()).collect()
}

/// Runs a test on the runtime that the service has in production.
fn run<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}
