//! Both sides' session machines behind their splitters and codecs: whatever a peer sends, they keep their bounds.
//!
//! The first byte of the input chooses the codec, the side, and whether the connection is secure; the second how the
//! side's own half goes on. The rest is what the peer sends.

use wire::chat::reply::{Changes, Error, Sent, Session, Welcome};
use wire::chat::request::{Clear, Hello, Login, Nothing, Send, Sync};
use wire::chat::{Code, Event, FromClient, FromNode, Reply, Request, event, item};
use wire::codec::Codec;
use wire::frame::{self, Splitter};
use wire::limits::PIPELINE_MAX;
use wire::session::candidates::{Candidates, Next};
use wire::session::client::{Client, Entry, Heard, State};
use wire::session::server::{Identity, Server, Step};
use wire::session::writes::{self, Writes};
use wire::time::Millis;

/// Plays one side.
pub fn run(data: &[u8]) {
    let [settings, choices, stream @ ..] = data else { return };
    let codec = Codec::CHAT[usize::from(settings & 1)];
    if settings & 2 == 0 {
        server(codec, settings & 4 != 0, *choices, stream);
    } else {
        client(codec, *choices, stream);
    }
}

/// Whole and broken conversations with either side, in both codecs.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (bit, codec) in (0..).zip(Codec::CHAT) {
        for choices in [0x00, 0x5a, 0xff] {
            for secure in [0, 4] {
                seeds.push(seed([bit | secure, choices], codec, &from_client()));
            }
            for frames in from_node() {
                seeds.push(seed([bit | 2, choices], codec, &frames));
            }
        }
    }
    seeds
}

/// What is left to chance, from one byte.
struct Choices(u8);

impl Choices {
    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(37).wrapping_add(11);
        self.0 >> 4
    }
}

fn server(codec: Codec, secure: bool, choices: u8, stream: &[u8]) {
    let mut choices = Choices(choices);
    let mut server = Server::new(secure);
    let mut open = Vec::new();
    frames(codec, Splitter::new(codec), stream, |message| {
        let before = server.open();
        let step = match message.map(|message| codec.decode::<FromClient<'_>>(message)) {
            Some(Ok(frame)) => server.handle_frame(frame),
            Some(Err(_)) | None => server.handle_malformed(),
        };
        assert_eq!(server.open(), before + usize::from(matches!(step, Step::Ask { .. })));
        assert!(server.open() <= PIPELINE_MAX);
        match step {
            Step::Ask { id, request } => {
                assert!(!request.rule().secret || secure, "{} in the clear", request.name());
                open.push((id, request.name()));
            }
            Step::Refuse { error, .. } => assert!(!error.text.is_empty()),
            Step::Bye { .. } | Step::Drop => assert!(server.is_ending()),
        }
        // Some are answered soon, some late, some logins succeed.
        while choices.next() < 8
            && let Some((id, name)) = open.pop()
        {
            if choices.next() < 12 && ["login", "signup", "resume"].contains(&name) {
                server.logged_in(Identity { user: 1, device: 2, read_only: choices.next() < 4 });
            }
            server.handle_answered(id);
            if name == "logout" {
                server.logged_out();
            }
        }
    });
    let ended = server.is_ending();
    server.end();
    for (id, _) in open {
        assert!(!server.is_done());
        server.handle_answered(id);
    }
    assert!(server.is_done());
    assert!(!ended || server.identity().is_none());
}

const WINDOW: usize = 4;
const COUNT: usize = 4;

fn client(codec: Codec, choices: u8, stream: &[u8]) {
    let mut choices = Choices(choices);
    let mut now = Millis::from_ms(0);
    let mut client = Client::<8>::new("fuzz/1");
    let mut writes = Writes::<WINDOW>::new();
    let mut candidates = Candidates::<COUNT, 32>::new();
    candidates.add("given:1").expect("room");
    client.connected(now);
    let mut last_id = 0;
    frames(codec, Splitter::of_node(codec), stream, |message| {
        now = now.after(u64::from(choices.next()) * 500);
        let mut said = |id| {
            assert!(id > last_id, "{id} behind {last_id}");
            last_id = id;
        };
        while let Some(frame) = client.poll_transmit(now) {
            said(frame.id);
        }
        if client.state() == State::Greeted && choices.next() < 12 {
            said(client.enter(Entry::Login(Login::default()), now).expect("greeted").id);
        }
        let _unknown_before_a_session = writes.assign();
        while client.room() > 0
            && let Some(due) = writes.poll_send(now)
        {
            said(client.request(due.seq, now).expect("room"));
        }
        match message.map(|message| codec.decode::<FromNode<'_>>(message)) {
            Some(Ok(frame)) => match client.handle_frame(frame, now) {
                Heard::Welcome(Welcome { nodes, .. }) | Heard::Event(Event::Nodes(event::Nodes { nodes })) => {
                    candidates.learn(&nodes);
                }
                Heard::Entered(session) => drop(writes.handle_session(&session)),
                Heard::Reply { tag, reply: Some(Reply::Error(error)) } => {
                    writes.handle_answer(tag, Err(&error), now);
                }
                Heard::Reply { tag, .. } => {
                    writes.handle_answer(tag, Ok(()), now);
                }
                _ => {}
            },
            Some(Err(_)) | None => client.handle_malformed(),
        }
        client.handle_timeout(now);
        assert!(writes.in_flight() <= WINDOW);
        assert!(candidates.addresses().count() <= COUNT && candidates.addresses().any(|known| known == "given:1"));
        if client.poll_timeout().is_none() {
            assert!(matches!(client.state(), State::Lost(_)));
            assert!(std::iter::from_fn(|| client.poll_unanswered()).count() <= WINDOW);
            writes.handle_lost();
            candidates.failed(now);
            assert_ne!(candidates.next(now, u64::from(choices.next())), Next::Nowhere);
            client.connected(now);
        }
    });
    // Left alone, a client does not wait for ever.
    while let Some(deadline) = client.poll_timeout() {
        client.handle_timeout(deadline);
        if let Some(frame) = client.poll_transmit(deadline) {
            assert!(frame.id > last_id);
            last_id = frame.id;
        } else {
            assert!(client.poll_timeout().is_none_or(|next| next > deadline), "{:?} at {deadline}", client.state());
        }
    }
    assert!(matches!(client.state(), State::Lost(_)));
}

/// Hands over each frame's message, and `None` where the stream is none.
fn frames(codec: Codec, mut splitter: Splitter, stream: &[u8], mut handle: impl FnMut(Option<&mut [u8]>)) {
    let mut rest = stream.to_vec();
    loop {
        match splitter.push(&rest) {
            Ok(Some(len)) => {
                handle(Some(frame::body(codec, &mut rest[..len])));
                rest.drain(..len);
            }
            Ok(None) => return,
            Err(_) => return handle(None),
        }
    }
}

/// The bytes of a seed.
fn seed(settings: [u8; 2], codec: Codec, frames: &[impl serde::Serialize]) -> Vec<u8> {
    let mut bytes = settings.to_vec();
    for frame in frames {
        codec.encode_frame_to_vec(frame, &mut bytes).expect("a form");
    }
    bytes
}

/// A client that does a bit of everything.
fn from_client() -> Vec<FromClient<'static>> {
    let requests = [
        Request::Hello(Hello { samira: 2, client: "seed" }),
        Request::Ping(Nothing {}),
        Request::Login(Login { username: "al", password: "00", ..Login::default() }),
        Request::Sync(Sync { cursor: 7, ..Sync::default() }),
        Request::Send(Send { conversation: 3, text: "hi", seq: 1, ..Send::default() }),
        Request::Clear(Clear { conversation: 3, upto: 1, seq: 2 }),
        writes::blank(3),
        Request::Logout(Nothing {}),
    ];
    let known = (1..).zip(requests).map(|(id, request)| FromClient { id, request: Some(request) });
    known.chain([FromClient { id: 9, request: None }]).collect()
}

/// Nodes that answer well, refuse, and say goodbye.
fn from_node() -> Vec<Vec<FromNode<'static>>> {
    let reply = |re, reply| FromNode::Reply { re, reply: Some(reply) };
    let refusal = |code| Reply::Error(Error { code, text: "no", retry_ms: 100 });
    let node = item::Node { name: "one", address: "one:1", leader: true };
    let welcome = || {
        let nodes = std::iter::once(node).collect();
        Reply::Welcome(Welcome { samira: 2, silence_ms: 30_000, pipeline: 16, nodes, ..Welcome::default() })
    };
    let session = || Reply::Session(Session { user: 1, device: 2, last_seq: 4, ..Session::default() });
    let sent = |number| Reply::Sent(Sent { conversation: 3, number, id: number });
    let begin = || vec![reply(1, welcome()), reply(2, session())];
    let mut conversations = vec![
        vec![reply(1, refusal(Code::Version))],
        vec![reply(1, welcome()), reply(2, refusal(Code::BadToken)), reply(3, session()), reply(4, sent(1))],
    ];
    for code in [Code::Busy, Code::OutOfOrder, Code::Revoked, Code::UnknownRequest, Code::PeerGone] {
        let mut frames = begin();
        frames.extend([reply(3, sent(1)), reply(4, refusal(code)), reply(5, refusal(Code::OutOfOrder))]);
        frames.push(reply(6, Reply::Changes(Changes { cursor: 9, ..Changes::default() })));
        conversations.push(frames);
    }
    let mut frames = begin();
    frames.push(FromNode::Event(Some(Event::Nodes(event::Nodes { nodes: [node; 3].into_iter().collect() }))));
    frames.push(FromNode::Event(None));
    frames.push(FromNode::Event(Some(Event::Bye(event::Bye { code: Code::Stopping, text: "bye" }))));
    conversations.push(frames);
    conversations
}
