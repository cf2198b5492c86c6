//! The client's side of one connection after the other: hello, login, request ids, keep-alive, and when to give up.
//!
//! ```text
//!                 connected             welcome              enter            session
//!  Disconnected ────────────▶ Greeting ─────────▶ Greeted ─────────▶ Entering ─────────▶ Ready
//!                  ▲                                 ▲                  │                  │
//!                  │                                 └──────────────────┴──────────────────┘
//!                  │                                   refused               logged out by the node
//!                  │ connected      in any state: bye, closed, silence, no reply, nonsense
//!                Lost(why) ◀──────────────────────────────────────────────────────────────────
//! ```
//!
//! *Inputs*: [`Client::connected`], [`Client::handle_bytes`], [`Client::handle_frame`], [`Client::handle_malformed`],
//! [`Client::handle_closed`], [`Client::handle_timeout`]. *Commands*: [`Client::enter`], [`Client::request`]. *Outputs*:
//! [`Client::poll_transmit`], [`Client::poll_timeout`], [`Client::poll_unanswered`].
//!
//! The contract: after each input or command, take [`Client::poll_transmit`] until there is nothing more and send it;
//! when the state is [`State::Lost`], close the socket and take [`Client::poll_unanswered`]; then call
//! [`Client::handle_timeout`] no later than [`Client::poll_timeout`] says.
//!
//! A connection is dead when nothing was heard for as long as the node's welcome says or, if that is less, for as long as
//! [`Client::patience`] says; or when a request has been open for [`REPLY_TIMEOUT_MS`]. While a request to log in is open
//! only the latter counts: no ping goes beside it, and a node lets logins queue. Only one of the client's own requests (hello, login, ping) is open at a time, beside up to
//! `PENDING` of the caller's. Their ids rise over all connections, so that none is ever mistaken for another.

use core::fmt;

use heapless::Vec;

use crate::chat::code::Remedy;
use crate::chat::reply::{Error, Session, Welcome};
use crate::chat::request::{Hello, Login, Nothing, Resume, Signup};
use crate::chat::{Code, Event, FromClient, FromNode, Reply, Request, event};
use crate::limits::{CHAT_VERSION, CHAT_VERSION_MIN, REPLY_TIMEOUT_MS, SILENCE_MS_MAX, SILENCE_MS_MIN};
use crate::time::Millis;

/// The client's side. `PENDING` is how many requests of the caller's may be open at once.
#[derive(Debug, Clone)]
pub struct Client<const PENDING: usize> {
    name: &'static str,
    state: State,
    /// What the next request is called; never 0, which a frame without an id has.
    next_id: u64,
    /// The one request of our own that is open.
    own: Option<Own>,
    /// The caller's open requests, ids and times rising.
    pending: Vec<Pending, PENDING>,
    /// How many of them the node allows; `allowed <= PENDING`.
    allowed: usize,
    silence_ms: u64,
    /// The longest `silence_ms` that the caller wants.
    patience_ms: u64,
    sent: Millis,
    heard: Millis,
}

#[derive(Debug, Clone, Copy)]
struct Own {
    id: u64,
    since: Millis,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    id: u64,
    tag: u64,
    since: Millis,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There never was a connection.
    Disconnected,
    /// The hello is on its way.
    Greeting,
    /// The node has said welcome, and nobody is logged in.
    Greeted,
    /// A request to log in is on its way.
    Entering,
    /// Logged in.
    Ready,
    /// The connection is of no use any more.
    Lost(Why),
}

/// Why a connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was closed, by the other side or on the way.
    Closed,
    /// The node said bye.
    Bye(Code),
    /// The node refused the hello.
    Refused(Code),
    /// Nothing was heard for longer than agreed.
    Silence,
    /// A request was not answered in time.
    NoReply,
    /// The node said something that cannot be understood.
    Nonsense,
}

/// How to log in.
#[derive(Clone, PartialEq)]
pub enum Entry<'a> {
    /// With a new account.
    Signup(Signup<'a>),
    /// With a password.
    Login(Login<'a>),
    /// With a token.
    Resume(Resume),
}

impl<'a> From<Entry<'a>> for Request<'a> {
    fn from(entry: Entry<'a>) -> Self {
        match entry {
            Entry::Signup(signup) => Self::Signup(signup),
            Entry::Login(login) => Self::Login(login),
            Entry::Resume(resume) => Self::Resume(resume),
        }
    }
}

/// What a frame means.
#[derive(Clone, PartialEq)]
pub enum Heard<'a> {
    /// The node's answer to the hello: now [`Client::enter`].
    Welcome(Welcome<'a>),
    /// Logged in. Keep the token on disk before anything else.
    Entered(Session<'a>),
    /// Not logged in, and why; or, if [`State::Lost`] says so, not even welcome.
    Refused(Error<'a>),
    /// The answer to a request of the caller's.
    Reply {
        /// What the caller gave with the request.
        tag: u64,
        /// The answer; `None` if this build does not know it.
        reply: Option<Reply<'a>>,
    },
    /// Something that nobody asked for.
    Event(Event<'a>),
    /// The connection ends. Open requests will not be answered.
    Bye(event::Bye<'a>),
    /// Nothing for the caller.
    Nothing,
}

/// Names messages without showing what is in them.
impl fmt::Debug for Heard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Welcome(welcome) => write!(f, "Welcome {{ samira: {} }}", welcome.samira),
            Self::Entered(session) => write!(f, "Entered {{ user: {}, last_seq: {} }}", session.user, session.last_seq),
            Self::Refused(error) => write!(f, "Refused {{ code: {:?} }}", error.code),
            Self::Reply { tag, reply: Some(Reply::Error(error)) } => write!(f, "Reply {{ {tag}: {:?} }}", error.code),
            Self::Reply { tag, reply } => write!(f, "Reply {{ {tag}: {:?} }}", reply.as_ref().map(Reply::name)),
            Self::Event(event) => write!(f, "Event {{ {} }}", event.name()),
            Self::Bye(bye) => write!(f, "Bye {{ code: {:?} }}", bye.code),
            Self::Nothing => f.write_str("Nothing"),
        }
    }
}

/// Why a request cannot be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// This is not the moment: see [`Client::state`].
    #[error("the connection is not ready for that")]
    State,
    /// As many requests are open as may be: wait for a reply.
    #[error("too many requests are open")]
    Full,
}

impl<const PENDING: usize> Client<PENDING> {
    /// For a program of that name and version, not connected yet.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            state: State::Disconnected,
            next_id: 1,
            own: None,
            pending: Vec::new(),
            allowed: PENDING,
            silence_ms: SILENCE_MS_MAX,
            patience_ms: SILENCE_MS_MAX,
            sent: Millis::from_ms(0),
            heard: Millis::from_ms(0),
        }
    }

    /// The same for somebody who looks at a screen: a connection on which nothing was heard for `patience_ms` is dead even
    /// if the node would wait longer, and a ping goes out at half of it. A device on a battery leaves that to the node.
    #[must_use]
    pub const fn patience(mut self, patience_ms: u64) -> Self {
        self.patience_ms = if patience_ms < SILENCE_MS_MIN { SILENCE_MS_MIN } else { patience_ms };
        self
    }

    // ---- getters -------------------------------------------------------------------------------------------

    /// How far the connection has come.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// How many requests the caller may make now.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.state == State::Ready { self.allowed.saturating_sub(self.pending.len()) } else { 0 }
    }

    // ---- inputs --------------------------------------------------------------------------------------------

    /// A connection was made, TLS included. What was open on the one before is forgotten; take
    /// [`Client::poll_unanswered`] first.
    pub fn connected(&mut self, now: Millis) {
        self.state = State::Greeting;
        self.own = None;
        self.pending.clear();
        self.allowed = PENDING;
        self.silence_ms = self.patience_ms.min(SILENCE_MS_MAX);
        self.sent = now;
        self.heard = now;
    }

    /// Bytes have arrived, and are no whole frame yet.
    pub fn handle_bytes(&mut self, now: Millis) {
        self.heard = self.heard.max(now);
    }

    /// A frame has arrived.
    pub fn handle_frame<'a>(&mut self, frame: FromNode<'a>, now: Millis) -> Heard<'a> {
        if !self.is_connected() {
            return Heard::Nothing;
        }
        self.handle_bytes(now);
        match frame {
            FromNode::Reply { re, reply } if self.own.is_some_and(|own| own.id == re) => {
                self.own = None;
                self.answered(reply)
            }
            FromNode::Reply { re, reply } => match self.pending.binary_search_by_key(&re, |pending| pending.id) {
                Ok(at) => {
                    let Pending { tag, .. } = self.pending.remove(at);
                    if let (State::Ready, Some(Reply::Error(error))) = (self.state, &reply)
                        && error.code.remedy() == Remedy::LogIn
                    {
                        self.state = State::Greeted;
                    }
                    Heard::Reply { tag, reply }
                }
                // Answered twice, or never asked: not worth a connection.
                Err(_) => Heard::Nothing,
            },
            FromNode::Event(Some(Event::Bye(bye))) => {
                self.state = State::Lost(Why::Bye(bye.code));
                Heard::Bye(bye)
            }
            FromNode::Event(Some(event)) => Heard::Event(event),
            FromNode::Event(None) => Heard::Nothing,
        }
    }

    /// Bytes have arrived that are no frame, or a frame that cannot be decoded.
    pub fn handle_malformed(&mut self) {
        self.lose(Why::Nonsense);
    }

    /// The connection was closed, or could not be read or written any more.
    pub fn handle_closed(&mut self) {
        self.lose(Why::Closed);
    }

    /// Time has passed. Whether the connection is lost then shows in [`Client::state`].
    pub fn handle_timeout(&mut self, now: Millis) {
        if !self.is_connected() {
            return;
        }
        if self.reply_deadline().is_some_and(|deadline| now >= deadline) {
            self.lose(Why::NoReply);
        } else if self.silence_deadline().is_some_and(|deadline| now >= deadline) {
            self.lose(Why::Silence);
        }
    }

    // ---- commands ------------------------------------------------------------------------------------------

    /// Logs in: the frame to send.
    ///
    /// # Errors
    /// The node has not said welcome yet, or somebody is logged in or about to be.
    pub fn enter<'a>(&mut self, entry: Entry<'a>, now: Millis) -> Result<FromClient<'a>, NotNow> {
        if self.state != State::Greeted {
            return Err(NotNow::State);
        }
        self.state = State::Entering;
        // A ping that is open is forgotten: this request shows as well whether the node is alive.
        Ok(self.own_request(entry.into(), now))
    }

    /// Makes a request: the id to send it under. `tag` comes back with the reply.
    ///
    /// # Errors
    /// Nobody is logged in, or as many requests are open as the node allows or there is room for.
    pub fn request(&mut self, tag: u64, now: Millis) -> Result<u64, NotNow> {
        if self.state != State::Ready {
            return Err(NotNow::State);
        }
        if self.room() == 0 {
            return Err(NotNow::Full);
        }
        let id = self.next_id();
        // A clock that goes back must not break the order of times.
        self.sent = self.sent.max(now);
        self.pending.push(Pending { id, tag, since: self.sent }).map_err(|_| NotNow::Full)?;
        Ok(id)
    }

    // ---- outputs -------------------------------------------------------------------------------------------

    /// What the client has to say by itself: the hello, and pings when they are due.
    pub fn poll_transmit(&mut self, now: Millis) -> Option<FromClient<'static>> {
        if self.own.is_some() {
            return None;
        }
        match self.state {
            State::Greeting => {
                let hello = Hello { samira: CHAT_VERSION, client: self.name };
                Some(self.own_request(Request::Hello(hello), now))
            }
            State::Greeted | State::Ready if now >= self.ping_due() => {
                Some(self.own_request(Request::Ping(Nothing {}), now))
            }
            _ => None,
        }
    }

    /// When to call [`Client::handle_timeout`], and [`Client::poll_transmit`] behind it; `None` while there is no
    /// connection.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Millis> {
        if !self.is_connected() {
            return None;
        }
        let ping = (self.own.is_none()).then(|| self.ping_due());
        [self.reply_deadline(), ping, self.silence_deadline()].into_iter().flatten().min()
    }

    /// Once the connection is lost: the tag of a request that was open, in the order in which they were made. Whether it
    /// was carried out is unknown.
    pub fn poll_unanswered(&mut self) -> Option<u64> {
        if self.is_connected() || self.pending.is_empty() {
            return None;
        }
        Some(self.pending.remove(0).tag)
    }

    // ---- inside --------------------------------------------------------------------------------------------

    const fn is_connected(&self) -> bool {
        !matches!(self.state, State::Disconnected | State::Lost(_))
    }

    fn lose(&mut self, why: Why) {
        if self.is_connected() {
            self.state = State::Lost(why);
        }
    }

    /// The node has answered what the client asked by itself.
    fn answered<'a>(&mut self, reply: Option<Reply<'a>>) -> Heard<'a> {
        match (self.state, reply) {
            (State::Greeting, Some(Reply::Welcome(welcome)))
                if (CHAT_VERSION_MIN..=CHAT_VERSION).contains(&welcome.samira) =>
            {
                self.state = State::Greeted;
                let silence_ms = if welcome.silence_ms == 0 { SILENCE_MS_MAX } else { welcome.silence_ms };
                self.silence_ms = silence_ms.clamp(SILENCE_MS_MIN, SILENCE_MS_MAX).min(self.patience_ms);
                // One is kept for the pings. Left out: as many as there is room for.
                let pipeline = usize::try_from(welcome.pipeline).unwrap_or(usize::MAX);
                self.allowed = if pipeline == 0 { PENDING } else { PENDING.min((pipeline - 1).max(1)) };
                Heard::Welcome(welcome)
            }
            (State::Greeting, Some(Reply::Error(error))) => {
                self.state = State::Lost(Why::Refused(error.code));
                Heard::Refused(error)
            }
            (State::Entering, Some(Reply::Session(session))) => {
                self.state = State::Ready;
                Heard::Entered(session)
            }
            (State::Entering, Some(Reply::Error(error))) => {
                self.state = State::Greeted;
                Heard::Refused(error)
            }
            (State::Greeting | State::Entering, _) => {
                self.lose(Why::Nonsense);
                Heard::Nothing
            }
            // A ping, and any answer shows that the node is alive.
            _ => Heard::Nothing,
        }
    }

    fn own_request<'a>(&mut self, request: Request<'a>, now: Millis) -> FromClient<'a> {
        self.sent = self.sent.max(now);
        let id = self.next_id();
        self.own = Some(Own { id, since: self.sent });
        FromClient { id, request: Some(request) }
    }

    const fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn ping_due(&self) -> Millis {
        self.sent.after(self.silence_ms / 2)
    }

    /// `None` where only the reply is waited for.
    fn silence_deadline(&self) -> Option<Millis> {
        let is_asked = matches!(self.state, State::Greeting | State::Entering);
        (!is_asked).then(|| self.heard.after(self.silence_ms))
    }

    fn reply_deadline(&self) -> Option<Millis> {
        let own = self.own.map(|own| own.since);
        let oldest = self.pending.first().map(|pending| pending.since);
        own.into_iter().chain(oldest).min().map(|since| since.after(REPLY_TIMEOUT_MS))
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
