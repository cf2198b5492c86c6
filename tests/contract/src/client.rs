//! A small blocking client of our own dialect, for measurements and for tests of the protocol itself. What people use is
//! `client-fltk`, and tests of what they experience use its library.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use wire::chat::item::Node;
use wire::chat::request::{Hello, Login, Open, Signup};
use wire::chat::{Code, Event, FromClient, FromNode, List, Reply, Request};
use wire::codec::Codec;
use wire::frame::{self, Splitter};
use wire::samira2;

/// What stands on the wire for the password of `name`: 64 hexadecimal digits, as clients send them.
#[must_use]
pub fn password(name: &str) -> String {
    let mut digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(64);
    format!("{digits:0<64}")
}

/// What has come, at most a buffer full; 0 at the end. A read with a time limit ends early when the process is stopped and goes
/// on, as a machine does that sleeps or moves, and then has to be begun again: signal(7).
///
/// # Errors
/// The stream's.
pub fn read_some(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// For one reply. Longer than the server holds a write while nobody leads.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// One connection.
pub struct Client {
    stream: TcpStream,
    codec: Codec,
    splitter: Splitter,
    input: Vec<u8>,
    next_id: u64,
    next_seq: u64,
    /// Whole frames of events that came while a reply was waited for.
    events: VecDeque<Vec<u8>>,
    /// Name of the leader, as the welcome told it.
    pub leader: Option<String>,
}

impl Client {
    /// Connects and says hello.
    ///
    /// # Errors
    /// When nobody answers, or not as expected.
    pub fn connect(address: SocketAddr, codec: Codec) -> Result<Self> {
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        let splitter = Splitter::of_node(codec);
        let (input, events) = (Vec::new(), VecDeque::new());
        let mut client = Self { stream, codec, splitter, input, next_id: 1, next_seq: 1, events, leader: None };
        if codec == Codec::Samira2 {
            client.stream.write_all(&samira2::PREFACE)?;
            let mut preface = samira2::PREFACE;
            client.stream.read_exact(&mut preface).context("reading the preface")?;
            if preface != samira2::PREFACE {
                bail!("the node answers with the preface {preface:02x?}");
            }
        }
        let hello = Request::Hello(Hello { samira: wire::limits::CHAT_VERSION, client: "tests" });
        client.leader = client.ask(hello, |reply| match reply {
            Reply::Welcome(welcome) => Ok(leader_of(&welcome.nodes)),
            other => bail!("to the hello: {}", other.name()),
        })?;
        Ok(client)
    }

    /// Connects and logs in; makes the account if there is none.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn logged_in(address: SocketAddr, codec: Codec, name: &str) -> Result<Self> {
        let mut client = Self::connect(address, codec)?;
        let password = password(name);
        let signup = Request::Signup(Signup { username: name, password: &password, ..Signup::default() });
        let made = client.ask(signup, |reply| match reply {
            Reply::Session(_) => Ok(true),
            Reply::Error(error) if error.code == Code::NameTaken => Ok(false),
            other => bail!("to the signup: {other:?}"),
        })?;
        if !made {
            let login = Request::Login(Login { username: name, password: &password, ..Login::default() });
            client.ask(login, |reply| match reply {
                Reply::Session(_) => Ok(()),
                other => bail!("to the login: {other:?}"),
            })?;
        }
        Ok(client)
    }

    /// The id of the direct conversation with somebody, which is made if there is none.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn open(&mut self, username: &str) -> Result<u64> {
        self.ask(Request::Open(Open { username }), |reply| match reply {
            Reply::Opened(conversation) => Ok(conversation.conversation),
            other => bail!("to the opening: {other:?}"),
        })
    }

    /// The number for the next write of this device.
    pub fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// Sends a request and hands its reply to `look`. Events that come before it are kept.
    ///
    /// # Errors
    /// When the connection fails, or those of `look`.
    pub fn ask<T>(&mut self, request: Request<'_>, look: impl FnOnce(Reply<'_>) -> Result<T>) -> Result<T> {
        let id = self.send(request)?;
        self.answer(id, look)
    }

    /// Waits for the reply to a request and hands it to `look`. Events that come before it are kept.
    ///
    /// # Errors
    /// When the connection fails, or those of `look`.
    pub fn answer<T>(&mut self, id: u64, look: impl FnOnce(Reply<'_>) -> Result<T>) -> Result<T> {
        loop {
            let mut frame = self.frame()?;
            let copy = frame.clone();
            match self.codec.decode(frame::body(self.codec, &mut frame))? {
                FromNode::Reply { re, reply } if re == id => return look(reply.context("an unknown reply")?),
                FromNode::Reply { .. } => {}
                FromNode::Event(_) => self.events.push_back(copy),
            }
        }
    }

    /// Sends a request without waiting; returns its id.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send(&mut self, request: Request<'_>) -> Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let mut bytes = Vec::new();
        self.codec.encode_frame_to_vec(&FromClient { id, request: Some(request) }, &mut bytes)?;
        self.stream.write_all(&bytes).context("sending")?;
        Ok(id)
    }

    /// Hands the next event to `look`; waits for it.
    ///
    /// # Errors
    /// When the connection fails, or those of `look`.
    pub fn event<T>(&mut self, look: impl FnOnce(Event<'_>) -> Result<T>) -> Result<T> {
        loop {
            let mut frame = match self.events.pop_front() {
                Some(frame) => frame,
                None => self.frame()?,
            };
            if let FromNode::Event(event) = self.codec.decode(frame::body(self.codec, &mut frame))? {
                return look(event.context("an unknown event")?);
            }
        }
    }

    /// The next whole frame.
    fn frame(&mut self) -> Result<Vec<u8>> {
        let mut chunk = [0; 16 << 10];
        loop {
            if let Some(end) = self.splitter.push(&self.input)? {
                return Ok(self.input.drain(..end).collect());
            }
            match read_some(&mut self.stream, &mut chunk).context("receiving")? {
                0 => bail!("the node closed the connection"),
                count => self.input.extend_from_slice(&chunk[..count]),
            }
        }
    }

    /// The connection, for whoever goes on alone; ids and numbers below those returned are used.
    #[must_use]
    pub fn into_stream(self) -> (TcpStream, u64, u64) {
        (self.stream, self.next_id, self.next_seq)
    }
}

/// Name of the leader in a list of nodes.
#[must_use]
pub fn leader_of(nodes: &List<Node<'_>>) -> Option<String> {
    nodes.iter().find(|node| node.leader).map(|node| node.name.to_owned())
}
