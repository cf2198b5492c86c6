//! A world of one client and three nodes, with a clock and a network of its own: both sides' session machines talk over a
//! real codec, and time jumps to the next moment at which anything can happen. The seed decides everything.

use std::collections::{BTreeMap, VecDeque};

use wire::chat::item::Node;
use wire::chat::reply::{Error, Sent, Session, Welcome};
use wire::chat::request::{Login, Nothing, Send};
use wire::chat::{Code, Event, FromClient, FromNode, Reply, Request, event};
use wire::codec::Codec;
use wire::frame::{self, Splitter};
use wire::session::candidates::{Candidates, Next};
use wire::session::client::{Client, Entry, Heard, State};
use wire::session::server::{Identity, Server, Step};
use wire::session::writes::{self, Fate, Writes};
use wire::time::Millis;

/// The silence that these nodes ask for, milliseconds.
pub(crate) const SILENCE_MS: u64 = 30_000;

const ADDRESSES: [&str; 3] = ["one:1", "two:2", "three:3"];

/// A generator of which only the seed matters.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Up,
    /// It takes bytes and says nothing.
    Frozen,
    Down,
}

/// One direction of a connection.
struct Pipe {
    codec: Codec,
    splitter: Splitter,
    /// On the way, with the moments of their arrival, which never fall.
    chunks: VecDeque<(Millis, Vec<u8>)>,
    /// Arrived, and not taken yet.
    buffer: Vec<u8>,
    /// When the receiver sees that it is closed.
    closed: Option<Millis>,
}

impl Pipe {
    fn new(splitter: Splitter) -> Self {
        let codec = splitter.codec();
        Self { codec, splitter, chunks: VecDeque::new(), buffer: Vec::new(), closed: None }
    }

    /// Sends bytes in two pieces. A frame is whole only with the second, even where its end shows a byte early (a line
    /// feed follows in JSON/2), so that the same happens over both codecs.
    fn send(&mut self, bytes: &[u8], now: Millis, random: &mut Random) {
        let cut = 1 + random.below(1 << 30) as usize % (bytes.len() - 2);
        let (first, second) = bytes.split_at(cut);
        for piece in [first, second] {
            let arrival = self.last_arrival(now).max(now.after(1 + random.below(8)));
            self.chunks.push_back((arrival, piece.to_vec()));
        }
    }

    fn send_frame<T: serde::Serialize>(&mut self, frame: &T, now: Millis, random: &mut Random) {
        let mut bytes = Vec::new();
        self.codec.encode_frame_to_vec(frame, &mut bytes).expect("the frame has a form");
        self.send(&bytes, now, random);
    }

    fn close(&mut self, now: Millis) {
        self.closed = Some(self.last_arrival(now));
    }

    fn last_arrival(&self, now: Millis) -> Millis {
        self.chunks.back().map_or(now, |(arrival, _)| *arrival)
    }

    fn next_event(&self) -> Option<Millis> {
        self.chunks.front().map(|(arrival, _)| *arrival).or(self.closed)
    }

    /// Takes in what has arrived; whether there was anything.
    fn receive(&mut self, now: Millis) -> bool {
        let before = self.buffer.len();
        while let Some((_, chunk)) = self.chunks.pop_front_if(|(arrival, _)| *arrival <= now) {
            self.buffer.extend(chunk);
        }
        self.buffer.len() > before
    }

    /// The next whole frame's message; an error if there can be none.
    fn take(&mut self) -> Result<Option<Vec<u8>>, ()> {
        let Some(len) = self.splitter.push(&self.buffer).map_err(|_| ())? else { return Ok(None) };
        let mut frame: Vec<u8> = self.buffer.drain(..len).collect();
        Ok(Some(frame::body(self.codec, &mut frame).to_vec()))
    }
}

/// What a node will say, and what that does to its side.
struct Answer {
    due: Millis,
    id: u64,
    bytes: Vec<u8>,
    enters: Option<Identity>,
}

struct Connection {
    node: usize,
    server: Server,
    to_node: Pipe,
    to_client: Pipe,
    answers: Vec<Answer>,
    /// What the node's bye will say.
    farewell: Code,
    /// When the node last heard anything.
    heard: Millis,
}

/// How much can go wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// A write is refused for now, or its answer lost, once in so many times; 0: never.
    pub(crate) refusals: u64,
    /// Something happens to a node once in so many steps; 0: never.
    pub(crate) nodes: u64,
}

pub(crate) struct World {
    pub(crate) now: Millis,
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    pub(crate) secure: bool,
    pub(crate) nodes: [Mode; 3],
    pub(crate) client: Client<8>,
    pub(crate) writes: Writes<4>,
    pub(crate) candidates: Candidates<4, 16>,
    /// How many writes the user makes.
    pub(crate) wanted: u64,
    /// Unanswered texts, by number.
    outbox: BTreeMap<u64, String>,
    /// What was told of each write.
    pub(crate) told: BTreeMap<u64, Result<u64, Code>>,
    /// What the cluster has applied, in its order.
    pub(crate) applied: Vec<String>,
    /// What happened, a line each.
    pub(crate) trace: Vec<String>,
    codec: Codec,
    connection: Option<Connection>,
    /// When to look for another one.
    dial_at: Millis,
}

impl World {
    pub(crate) fn new(seed: u64, codec: Codec) -> Self {
        let mut candidates = Candidates::new();
        candidates.add(ADDRESSES[0]).expect("room");
        Self {
            now: Millis::from_ms(1_000),
            random: Random(seed),
            faults: Faults::default(),
            secure: true,
            nodes: [Mode::Up; 3],
            client: Client::new("test/1"),
            writes: Writes::new(),
            candidates,
            wanted: 0,
            outbox: BTreeMap::new(),
            told: BTreeMap::new(),
            applied: Vec::new(),
            trace: Vec::new(),
            codec,
            connection: None,
            dial_at: Millis::default(),
        }
    }

    /// Goes on until `done`.
    pub(crate) fn run_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..100_000 {
            if done(self) {
                return;
            }
            self.step();
        }
        let last = self.trace[self.trace.len().saturating_sub(30)..].join("\n");
        panic!("never: {what}\n{last}");
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.client.state() == State::Ready
    }

    /// The node that the client is connected to.
    pub(crate) fn connected_to(&self) -> Option<usize> {
        self.connection.as_ref().map(|connection| connection.node)
    }

    /// Sends bytes on the connection as if the client, or the node, had.
    pub(crate) fn inject(&mut self, from_client: bool, bytes: &[u8]) {
        let connection = self.connection.as_mut().expect("a connection");
        let pipe = if from_client { &mut connection.to_node } else { &mut connection.to_client };
        pipe.send(bytes, self.now, &mut self.random);
    }

    /// A node stops as it should.
    pub(crate) fn stop(&mut self, node: usize) {
        self.nodes[node] = Mode::Down;
        if let Some(connection) = self.connection.as_mut().filter(|connection| connection.node == node) {
            connection.server.end();
            connection.farewell = Code::Stopping;
        }
    }

    /// A node changes its mode with no word to anybody; unless it freezes, its connections break.
    pub(crate) fn set_mode(&mut self, node: usize, mode: Mode) {
        self.nodes[node] = mode;
        self.note(format!("node {node} {mode:?}"));
        if let Some(connection) = self.connection.as_mut().filter(|connection| connection.node == node)
            && mode != Mode::Frozen
        {
            connection.answers.clear();
            connection.to_node.chunks.clear();
            connection.to_client.close(self.now);
        }
    }

    fn note(&mut self, line: String) {
        self.trace.push(format!("{} {line}", self.now));
    }

    /// Lets everybody say what they have to say, then moves on to the next moment.
    fn step(&mut self) {
        if self.faults.nodes > 0 && self.random.one_in(self.faults.nodes) {
            let node = self.random.below(3) as usize;
            match self.random.below(6) {
                0 => self.set_mode(node, Mode::Down),
                1 => self.set_mode(node, Mode::Frozen),
                2 => self.stop(node),
                _ => self.set_mode(node, Mode::Up),
            }
        }
        self.connect();
        self.client_speaks();
        self.jump();
        self.node_turn();
        self.client_turn();
    }

    fn connect(&mut self) {
        while self.connection.is_none() {
            let random = self.random.below(1 << 30);
            let address = match self.candidates.next(self.now, random) {
                Next::Try(address) => address,
                Next::WaitUntil(until) => {
                    self.dial_at = until;
                    return;
                }
                Next::Nowhere => panic!("a given address is never forgotten"),
            };
            let node = ADDRESSES.iter().position(|known| *known == address).expect("one of ours");
            self.note(format!("dial {node} {:?}", self.nodes[node]));
            if self.nodes[node] == Mode::Down {
                self.candidates.failed(self.now);
                continue;
            }
            self.client.connected(self.now);
            self.connection = Some(Connection {
                node,
                server: Server::new(self.secure),
                to_node: Pipe::new(Splitter::new(self.codec)),
                to_client: Pipe::new(Splitter::of_node(self.codec)),
                answers: Vec::new(),
                farewell: Code::OutOfPlace,
                heard: self.now,
            });
        }
    }

    fn client_speaks(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        while let Some(frame) = self.client.poll_transmit(self.now) {
            self.trace.push(format!("{} client {}", self.now, frame.request.as_ref().expect("a request").name()));
            connection.to_node.send_frame(&frame, self.now, &mut self.random);
        }
        if self.client.state() == State::Ready {
            while (self.told.len() as u64 + self.writes.unanswered()) < self.wanted
                && self.writes.unanswered() < 6
                && let Some(seq) = self.writes.assign()
            {
                self.outbox.insert(seq, format!("text {seq}"));
            }
        }
        while self.client.room() > 0
            && let Some(due) = self.writes.poll_send(self.now)
        {
            let id = self.client.request(due.seq, self.now).expect("room");
            let request = if due.blank {
                writes::blank(due.seq)
            } else {
                Request::Send(Send { conversation: 1, text: &self.outbox[&due.seq], seq: due.seq, ..Send::default() })
            };
            self.trace.push(format!("{} client {id}: {} {}", self.now, request.name(), due.seq));
            connection.to_node.send_frame(&FromClient { id, request: Some(request) }, self.now, &mut self.random);
        }
    }

    /// Moves the clock.
    fn jump(&mut self) {
        let mut next = vec![self.client.poll_timeout(), self.writes.poll_timeout()];
        if let Some(connection) = &self.connection {
            next.push(connection.to_client.next_event());
            if self.nodes[connection.node] != Mode::Frozen {
                next.push(connection.to_node.next_event());
                next.extend(connection.answers.iter().map(|answer| Some(answer.due)));
                next.push(Some(connection.heard.after(SILENCE_MS)));
            }
        } else {
            next.push(Some(self.dial_at));
        }
        let next = next.into_iter().flatten().min().expect("something can happen");
        self.now = self.now.max(next);
    }

    fn node_turn(&mut self) {
        let now = self.now;
        let Some(mut connection) = self.connection.take() else { return };
        if self.nodes[connection.node] == Mode::Frozen {
            self.connection = Some(connection);
            return;
        }
        if connection.to_node.receive(now) {
            connection.heard = now;
        }
        if now.since(connection.heard) >= SILENCE_MS && !connection.server.is_ending() {
            self.note("node: silence".into());
            connection.server.end();
        }
        loop {
            let step = match connection.to_node.take() {
                Ok(None) => break,
                Ok(Some(mut message)) => match self.codec.decode::<FromClient<'_>>(&mut message) {
                    Ok(frame) => {
                        let step = connection.server.handle_frame(frame);
                        self.carry_out(&mut connection, step);
                        continue;
                    }
                    Err(_) => connection.server.handle_malformed(),
                },
                Err(()) => {
                    connection.to_node.buffer.clear();
                    connection.to_node.splitter.reset();
                    connection.server.handle_malformed()
                }
            };
            self.carry_out(&mut connection, step);
        }
        connection.answers.sort_by_key(|answer| answer.due);
        while connection.answers.first().is_some_and(|answer| answer.due <= now) {
            let Answer { id, bytes, enters, .. } = connection.answers.remove(0);
            if let Some(identity) = enters {
                connection.server.logged_in(identity);
            }
            connection.server.handle_answered(id);
            connection.to_client.send(&bytes, now, &mut self.random);
        }
        if connection.server.is_done() && connection.to_client.closed.is_none() {
            let bye = event::Bye { code: connection.farewell, text: "" };
            let frame = FromNode::Event(Some(Event::Bye(bye)));
            connection.to_client.send_frame(&frame, now, &mut self.random);
            connection.to_client.close(now);
        }
        self.connection = Some(connection);
    }

    fn carry_out(&mut self, connection: &mut Connection, step: Step<'_>) {
        let now = self.now;
        self.note(format!("node {}: {step:?}", connection.node));
        match step {
            Step::Ask { id, request } => {
                let (reply, enters) = self.serve(&request);
                let mut bytes = Vec::new();
                let frame = FromNode::Reply { re: id, reply: Some(reply) };
                self.codec.encode_frame_to_vec(&frame, &mut bytes).expect("the reply has a form");
                // Writes are answered in any order, and hello and login take their time too.
                let due = now.after(self.random.below(60));
                connection.answers.push(Answer { due, id, bytes, enters });
            }
            Step::Refuse { id, error } => {
                let frame = FromNode::Reply { re: id, reply: Some(Reply::Error(error)) };
                connection.to_client.send_frame(&frame, now, &mut self.random);
            }
            Step::Bye { id, error } => {
                connection.farewell = error.code;
                if let Some(re) = id {
                    let frame = FromNode::Reply { re, reply: Some(Reply::Error(error)) };
                    connection.to_client.send_frame(&frame, now, &mut self.random);
                }
            }
            Step::Drop => {}
        }
    }

    /// What the service behind the session does.
    fn serve(&mut self, request: &Request<'_>) -> (Reply<'static>, Option<Identity>) {
        let refused = |code, retry_ms| Reply::Error(Error { code, text: "", retry_ms });
        let reply = match request {
            Request::Hello(_) => {
                let nodes = ADDRESSES.map(|address| Node { address, ..Node::default() }).into_iter().collect();
                Reply::Welcome(Welcome { samira: 2, silence_ms: SILENCE_MS, nodes, pipeline: 6, ..Welcome::default() })
            }
            Request::Login(login) if login.password == "right" => {
                let session =
                    Session { user: 1, device: 10, last_seq: self.applied.len() as u64, ..Session::default() };
                return (Reply::Session(session), Some(Identity { user: 1, device: 10, read_only: false }));
            }
            Request::Login(_) => refused(Code::BadCredentials, 0),
            Request::Send(Send { seq, text, .. }) => {
                let fault = if self.faults.refusals > 0 { self.random.below(self.faults.refusals) } else { u64::MAX };
                match fault {
                    0 => return (refused(Code::Busy, self.random.below(300)), None),
                    1 => return (refused(Code::Undecided, 0), None),
                    _ => {}
                }
                if *seq == self.applied.len() as u64 + 1 {
                    self.applied.push((*text).to_owned());
                }
                match fault {
                    2 => refused(Code::Undecided, 0),
                    _ if *seq > self.applied.len() as u64 => refused(Code::OutOfOrder, 0),
                    _ => Reply::Sent(Sent { conversation: 1, number: *seq, id: *seq }),
                }
            }
            _ => Reply::Done(Nothing {}),
        };
        (reply, None)
    }

    fn client_turn(&mut self) {
        let now = self.now;
        let Some(mut connection) = self.connection.take() else { return };
        if connection.to_client.receive(now) {
            self.client.handle_bytes(now);
        }
        loop {
            match connection.to_client.take() {
                Ok(Some(mut message)) => match self.codec.decode::<FromNode<'_>>(&mut message) {
                    Ok(frame) => {
                        let heard = self.client.handle_frame(frame, now);
                        self.trace.push(format!("{now} heard {heard:?}"));
                        self.hear(heard, &mut connection);
                    }
                    Err(_) => self.client.handle_malformed(),
                },
                Ok(None) => break,
                Err(()) => {
                    self.client.handle_malformed();
                    break;
                }
            }
        }
        if connection.to_client.chunks.is_empty() && connection.to_client.closed.is_some_and(|closed| closed <= now) {
            self.client.handle_closed();
        }
        self.client.handle_timeout(now);
        if let State::Lost(why) = self.client.state() {
            self.note(format!("lost {why:?}"));
            let unanswered: Vec<u64> = std::iter::from_fn(|| self.client.poll_unanswered()).collect();
            assert!(unanswered.len() <= 4, "no more than the window: {unanswered:?}");
            self.writes.handle_lost();
            self.candidates.failed(now);
            return;
        }
        self.connection = Some(connection);
    }

    fn hear(&mut self, heard: Heard<'_>, connection: &mut Connection) {
        match heard {
            Heard::Welcome(welcome) => {
                self.candidates.succeeded(self.now);
                self.candidates.learn(&welcome.nodes);
                // People mistype.
                let password = if self.random.one_in(4) { "wrong" } else { "right" };
                self.enter(password, connection);
            }
            Heard::Refused(error) if error.code == Code::BadCredentials => self.enter("right", connection),
            Heard::Entered(session) => self.writes.handle_session(&session).expect("one history"),
            Heard::Reply { tag, reply } => {
                let (outcome, told) = match &reply {
                    Some(Reply::Error(error)) => (Err(error), Err(error.code)),
                    Some(Reply::Sent(sent)) => (Ok(()), Ok(sent.number)),
                    other => panic!("{other:?}"),
                };
                if self.writes.handle_answer(tag, outcome, self.now) == Fate::Final {
                    assert!(self.outbox.remove(&tag).is_some(), "write {tag} was answered before");
                    self.told.insert(tag, told);
                }
            }
            Heard::Refused(_) | Heard::Event(_) | Heard::Bye(_) | Heard::Nothing => {}
        }
    }

    fn enter(&mut self, password: &str, connection: &mut Connection) {
        let login = Login { username: "al", password, ..Login::default() };
        let frame = self.client.enter(Entry::Login(login), self.now).expect("greeted");
        connection.to_node.send_frame(&frame, self.now, &mut self.random);
    }
}
