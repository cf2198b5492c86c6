//! The node's side of one connection: which requests are carried out, which are refused at once, and when it ends.
//!
//! ```text
//!              hello           signup, login, resume
//!    Hello ───────────▶ Greeted ──────────────────────▶ Entering
//!      │                  ▲  ▲   handle_answered(its id)   │
//!      │                  │  └─────────────────────────────┤ logged_in
//!      │                  │          logged_out            ▼
//!      │                  └──────────────────────────── LoggedIn
//!      │ anything else
//!      ▼                  end(), handle_malformed(), in any state
//!    Ending  ◀───────────────────────────────────────────
//! ```
//!
//! Inputs are [`Server::handle_frame`], [`Server::handle_malformed`] and what came of the requests that were handed out
//! ([`Server::handle_answered`], [`Server::logged_in`], [`Server::logged_out`]). Each frame gives one [`Step`] to take at
//! once, so there is nothing to poll.
//!
//! Replies may be sent in any order. Ids are the client's own business: one that is used again while its request is open
//! is answered twice, and the client cannot tell which is which. Only the id of a request to log in is kept here.
//!
//! The end has an order too: when [`Step::Bye`] was taken or [`Server::end`] called, frames are dropped, open requests
//! are still answered, and once [`Server::is_done`] the node says bye and closes.

use core::fmt;

use super::rule::{Effect, Stage};
use crate::chat::reply::Error;
use crate::chat::{Code, FromClient, Request};
use crate::limits::{CHAT_VERSION, CHAT_VERSION_MIN, PIPELINE_MAX};

/// The node's side of one connection. A few words, nothing on the heap.
#[derive(Debug, Clone)]
pub struct Server {
    state: State,
    /// Requests handed out and not answered; `open <= PIPELINE_MAX`.
    open: u16,
    secure: bool,
    /// What was agreed on; 0 before.
    version: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Hello,
    Greeted,
    Entering { id: u64 },
    LoggedIn(Identity),
    Ending,
}

/// Who speaks on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub user: u64,
    /// Device id.
    pub device: u64,
    /// Logged in without a majority: what needs one is refused.
    pub read_only: bool,
}

/// What to do about a frame.
#[derive(Clone, PartialEq)]
pub enum Step<'a> {
    /// Carry it out, answer under `id`, and tell [`Server::handle_answered`].
    Ask {
        /// The request's id.
        id: u64,
        /// The request: in place here, not yet checked in itself.
        request: Request<'a>,
    },
    /// Answer at once.
    Refuse {
        /// The request's id.
        id: u64,
        /// The answer.
        error: Error<'static>,
    },
    /// Answer at once, then end the connection, as the module says.
    Bye {
        /// The request's id; `None` if it could not be read.
        id: Option<u64>,
        /// The answer, and what the bye says.
        error: Error<'static>,
    },
    /// Nothing: the connection is ending.
    Drop,
}

/// Names requests without showing what is in them.
impl fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask { id, request } => write!(f, "Ask {{ id: {id}, request: {} }}", request.name()),
            Self::Refuse { id, error } => write!(f, "Refuse {{ id: {id}, code: {:?} }}", error.code),
            Self::Bye { id, error } => write!(f, "Bye {{ id: {id:?}, code: {:?} }}", error.code),
            Self::Drop => f.write_str("Drop"),
        }
    }
}

impl Server {
    /// For a connection of which nothing was read yet. `secure`: nobody on a network can listen to it, because of TLS or
    /// because both ends are on this machine.
    #[must_use]
    pub const fn new(secure: bool) -> Self {
        Self { state: State::Hello, open: 0, secure, version: 0 }
    }

    /// For one that needs no greeting: a call of another protocol, by which each request comes with who asks it.
    #[must_use]
    pub const fn for_call(secure: bool, identity: Option<Identity>) -> Self {
        let state = match identity {
            Some(identity) => State::LoggedIn(identity),
            None => State::Greeted,
        };
        Self { state, open: 0, secure, version: CHAT_VERSION as u8 }
    }

    /// Who is logged in.
    #[must_use]
    pub const fn identity(&self) -> Option<Identity> {
        match self.state {
            State::LoggedIn(identity) => Some(identity),
            _ => None,
        }
    }

    /// The version that is spoken; `None` before the hello.
    #[must_use]
    pub const fn version(&self) -> Option<u64> {
        if self.version == 0 { None } else { Some(self.version as u64) }
    }

    /// Whether secrets may be sent to the client.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Requests that were handed out and not answered, at most [`PIPELINE_MAX`].
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open as usize
    }

    /// Whether the connection is ending.
    #[must_use]
    pub const fn is_ending(&self) -> bool {
        matches!(self.state, State::Ending)
    }

    /// Whether the connection is ending and every request was answered: say bye and close.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.is_ending() && self.open == 0
    }

    /// A frame has arrived.
    pub fn handle_frame<'a>(&mut self, frame: FromClient<'a>) -> Step<'a> {
        let FromClient { id, request } = frame;
        match (self.state, request) {
            (State::Ending, _) => Step::Drop,
            (State::Hello, Some(Request::Hello(hello))) => {
                if hello.samira < CHAT_VERSION_MIN {
                    return self.bye(Some(id), Code::Version);
                }
                self.version = hello.samira.min(CHAT_VERSION) as u8;
                self.state = State::Greeted;
                self.ask(id, Request::Hello(hello))
            }
            (State::Hello, _) => self.bye(Some(id), Code::OutOfPlace),
            // A frame without a request and one whose request is not known here look the same.
            (_, None) => Step::Refuse { id, error: refusal(Code::UnknownRequest) },
            (_, Some(request)) => match self.check(&request) {
                Err(code) => Step::Refuse { id, error: refusal(code) },
                Ok(()) => {
                    if request.rule().stage == Stage::Entry {
                        self.state = State::Entering { id };
                    }
                    self.ask(id, request)
                }
            },
        }
    }

    /// A frame has arrived that cannot be decoded, or bytes that are no frame. Without its id nobody can be told which
    /// request failed, so the connection ends.
    pub fn handle_malformed(&mut self) -> Step<'static> {
        if self.is_ending() { Step::Drop } else { self.bye(None, Code::Malformed) }
    }

    /// A request was answered, whatever the answer. If it was to log in and [`Server::logged_in`] was not called before,
    /// it failed, and another may be asked.
    pub fn handle_answered(&mut self, id: u64) {
        debug_assert!(self.open > 0, "an answer to nothing");
        self.open = self.open.saturating_sub(1);
        if self.state == (State::Entering { id }) {
            self.state = State::Greeted;
        }
    }

    /// The request to log in has succeeded; call it before [`Server::handle_answered`]. Nothing happens if the connection
    /// is not waiting for that any more.
    pub fn logged_in(&mut self, identity: Identity) {
        if matches!(self.state, State::Entering { .. }) {
            self.state = State::LoggedIn(identity);
        }
    }

    /// A majority answers again: a session that may only read may write from now on.
    pub fn majority_is_back(&mut self) {
        if let State::LoggedIn(identity) = &mut self.state {
            identity.read_only = false;
        }
    }

    /// The device was logged out, by itself or from elsewhere. The client may log in again.
    pub fn logged_out(&mut self) {
        if matches!(self.state, State::LoggedIn(_)) {
            self.state = State::Greeted;
        }
    }

    /// The connection is to end: the node stops, or the client has been silent or slow for too long.
    pub fn end(&mut self) {
        self.state = State::Ending;
    }

    /// Whether a request other than the first hello may be carried out now.
    fn check(&self, request: &Request<'_>) -> Result<(), Code> {
        let rule = request.rule();
        match (rule.stage, self.state) {
            (Stage::First, _) | (Stage::Entry, State::LoggedIn(_) | State::Entering { .. }) => {
                return Err(Code::OutOfPlace);
            }
            (Stage::LoggedIn, State::Greeted | State::Entering { .. }) => return Err(Code::NotLoggedIn),
            _ => {}
        }
        if rule.secret && !self.secure {
            return Err(Code::PlaintextRefused);
        }
        // Nothing can come before the first number, so that asking again would never help.
        if request.seq() == Some(0) {
            return Err(Code::Malformed);
        }
        if rule.effect != Effect::None && self.identity().is_some_and(|identity| identity.read_only) {
            return Err(Code::ReadOnly);
        }
        if self.open() >= PIPELINE_MAX {
            return Err(Code::TooManyRequests);
        }
        Ok(())
    }

    fn ask<'a>(&mut self, id: u64, request: Request<'a>) -> Step<'a> {
        self.open += 1;
        Step::Ask { id, request }
    }

    fn bye(&mut self, id: Option<u64>, code: Code) -> Step<'static> {
        self.state = State::Ending;
        Step::Bye { id, error: refusal(code) }
    }
}

/// The answer that refuses with one of the codes given in this module.
const fn refusal(code: Code) -> Error<'static> {
    let text = match code {
        Code::NotLoggedIn => "log in first",
        Code::ReadOnly => "there is no majority: this session may only read",
        Code::Malformed => "the request cannot be read",
        Code::UnknownRequest => "there is no such request",
        Code::Version => "no version is spoken on both sides",
        Code::PlaintextRefused => "secrets are not sent in the clear: connect with TLS",
        Code::TooManyRequests => "too many requests are open",
        _ => "not at this moment of a connection",
    };
    Error { code, text, retry_ms: 0 }
}

const _: () = assert!(size_of::<Server>() <= 64, "ten thousand idle connections cost little");
const _: () = assert!(PIPELINE_MAX <= u16::MAX as usize, "open requests are counted in 16 bits");
const _: () = assert!(CHAT_VERSION <= u8::MAX as u64, "the version is kept in 8 bits");

#[cfg(test)]
mod tests {
    use super::super::rule::tests::every_request;
    use super::*;
    use crate::chat::request;

    const USER: Identity = Identity { user: 7, device: 70, read_only: false };
    const READER: Identity = Identity { read_only: true, ..USER };

    fn frame(id: u64, request: Request<'_>) -> FromClient<'_> {
        FromClient { id, request: Some(request) }
    }

    fn greeted(secure: bool) -> Server {
        let mut server = Server::new(secure);
        let hello = Request::Hello(request::Hello { samira: CHAT_VERSION, client: "test" });
        assert_eq!(server.handle_frame(frame(1, hello.clone())), Step::Ask { id: 1, request: hello });
        server.handle_answered(1);
        server
    }

    fn entering() -> Server {
        let mut server = greeted(true);
        let step = server.handle_frame(frame(2, Request::Login(Default::default())));
        assert!(matches!(step, Step::Ask { id: 2, .. }));
        server
    }

    fn logged_in(identity: Identity) -> Server {
        let mut server = entering();
        server.logged_in(identity);
        server.handle_answered(2);
        assert_eq!(server.identity(), Some(identity));
        server
    }

    fn ending() -> Server {
        let mut server = logged_in(USER);
        server.end();
        server
    }

    /// The code of a refusal; `None` if it is to be carried out.
    fn code(step: &Step<'_>) -> Option<Code> {
        match step {
            Step::Ask { .. } | Step::Drop => None,
            Step::Refuse { error, .. } | Step::Bye { error, .. } => Some(error.code),
        }
    }

    #[test]
    fn every_request_in_every_state() {
        for request in every_request() {
            let rule = request.rule();
            let answer = |mut server: Server| {
                let open = server.open();
                let step = server.handle_frame(frame(9, request.clone()));
                assert_eq!(server.open() > open, matches!(step, Step::Ask { .. }), "{step:?}");
                step
            };
            let (first, entry, inside) =
                (rule.stage == Stage::First, rule.stage == Stage::Entry, rule.stage == Stage::LoggedIn);

            let step = answer(Server::new(true));
            assert_eq!(code(&step), (!first).then_some(Code::OutOfPlace), "{step:?}");
            assert_eq!(matches!(step, Step::Bye { .. }), !first, "{step:?}");

            let before = if first { Some(Code::OutOfPlace) } else { inside.then_some(Code::NotLoggedIn) };
            assert_eq!(code(&answer(greeted(true))), before, "{}", request.name());
            let clear = if entry { Some(Code::PlaintextRefused) } else { before };
            assert_eq!(code(&answer(greeted(false))), clear, "{}", request.name());
            let meanwhile = if entry { Some(Code::OutOfPlace) } else { before };
            assert_eq!(code(&answer(entering())), meanwhile, "{}", request.name());

            let after = (first || entry).then_some(Code::OutOfPlace);
            assert_eq!(code(&answer(logged_in(USER))), after, "{}", request.name());
            let read_only = if after.is_none() && rule.effect != Effect::None { Some(Code::ReadOnly) } else { after };
            assert_eq!(code(&answer(logged_in(READER))), read_only, "{}", request.name());
            assert_eq!(answer(ending()), Step::Drop);
        }
    }

    #[test]
    fn every_other_input_in_every_state() {
        let states = [Server::new(true), greeted(true), entering(), logged_in(USER), logged_in(READER), ending()];
        for state in states {
            let fresh = || state.clone();
            let (hello, ends) = (state.state == State::Hello, state.is_ending());

            let step = fresh().handle_frame(FromClient { id: 5, request: None });
            match step {
                Step::Bye { id: Some(5), error } if hello => assert_eq!(error.code, Code::OutOfPlace),
                Step::Drop if ends => {}
                Step::Refuse { id: 5, error } => assert_eq!(error.code, Code::UnknownRequest),
                other => panic!("{other:?} in {state:?}"),
            }

            let mut server = fresh();
            match server.handle_malformed() {
                Step::Bye { id: None, error } => assert_eq!(error.code, Code::Malformed),
                Step::Drop if ends => {}
                other => panic!("{other:?} in {state:?}"),
            }
            assert!(server.is_ending());

            let mut server = fresh();
            server.logged_in(USER);
            let becomes = matches!(state.state, State::Entering { .. } | State::LoggedIn(_));
            assert_eq!(server.identity().is_some(), becomes, "{state:?}");

            let mut server = fresh();
            server.logged_out();
            assert_eq!(server.identity(), None);
            assert_eq!(server.is_ending(), ends);

            let mut server = fresh();
            server.end();
            assert_eq!(server.is_done(), state.open() == 0);
        }
    }

    #[test]
    fn the_lower_version_is_spoken_and_one_too_low_is_not() {
        for (theirs, spoken) in [
            (0, None),
            (CHAT_VERSION_MIN - 1, None),
            (CHAT_VERSION_MIN, Some(CHAT_VERSION_MIN)),
            (CHAT_VERSION, Some(CHAT_VERSION)),
            (u64::MAX, Some(CHAT_VERSION)),
        ] {
            let mut server = Server::new(false);
            let step = server.handle_frame(frame(1, Request::Hello(request::Hello { samira: theirs, client: "" })));
            assert_eq!(server.version(), spoken);
            assert_eq!(code(&step), spoken.is_none().then_some(Code::Version), "{theirs}");
            assert_eq!(server.is_done(), spoken.is_none());
        }
    }

    #[test]
    fn a_login_that_failed_may_be_tried_again_and_one_that_succeeded_may_not() {
        let mut server = entering();
        server.handle_answered(2);
        assert!(matches!(server.handle_frame(frame(3, Request::Resume(Default::default()))), Step::Ask { .. }));
        server.logged_in(USER);
        server.handle_answered(3);
        assert_eq!(code(&server.handle_frame(frame(4, Request::Login(Default::default())))), Some(Code::OutOfPlace));
        server.logged_out();
        assert!(matches!(server.handle_frame(frame(5, Request::Login(Default::default()))), Step::Ask { .. }));
    }

    #[test]
    fn an_answer_to_something_else_does_not_end_a_login() {
        let mut server = greeted(true);
        let _ = server.handle_frame(frame(7, Request::Ping(Default::default())));
        let _ = server.handle_frame(frame(8, Request::Login(Default::default())));
        server.handle_answered(7);
        server.logged_in(USER);
        assert_eq!(server.identity(), Some(USER));
    }

    #[test]
    fn open_requests_are_bounded_and_refused_ones_do_not_count() {
        let mut server = logged_in(USER);
        for id in 0..PIPELINE_MAX as u64 {
            assert!(matches!(server.handle_frame(frame(id, Request::Ping(Default::default()))), Step::Ask { .. }));
        }
        for _ in 0..3 {
            let step = server.handle_frame(frame(9, Request::Ping(Default::default())));
            assert_eq!(code(&step), Some(Code::TooManyRequests));
        }
        server.handle_answered(0);
        assert_eq!(server.open(), PIPELINE_MAX - 1);
        assert!(matches!(server.handle_frame(frame(0, Request::Ping(Default::default()))), Step::Ask { .. }));
    }

    #[test]
    fn a_call_needs_no_greeting() {
        let mut server = Server::for_call(true, Some(USER));
        assert_eq!((server.identity(), server.version()), (Some(USER), Some(CHAT_VERSION)));
        assert!(matches!(server.handle_frame(frame(1, Request::Devices(Default::default()))), Step::Ask { .. }));
        let mut server = Server::for_call(true, None);
        assert!(matches!(server.handle_frame(frame(1, Request::Login(Default::default()))), Step::Ask { .. }));
    }

    #[test]
    fn the_number_0_is_no_number() {
        let step = logged_in(USER).handle_frame(frame(1, Request::Send(request::Send::default())));
        assert_eq!(code(&step), Some(Code::Malformed));
    }

    #[test]
    fn what_is_open_is_answered_before_the_end() {
        let mut server = logged_in(USER);
        let _ = server.handle_frame(frame(3, Request::Sync(Default::default())));
        server.end();
        assert!(server.is_ending() && !server.is_done());
        server.handle_answered(3);
        assert!(server.is_done());
    }

    #[cfg(feature = "std")]
    #[test]
    fn debug_output_shows_no_secrets() {
        let login = request::Login { username: "al", password: "hunter2", ..Default::default() };
        let step = greeted(true).handle_frame(frame(3, Request::Login(login)));
        assert_eq!(std::format!("{step:?}"), "Ask { id: 3, request: login }");
    }
}
