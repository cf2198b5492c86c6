//! What happens on a connection in our own dialect, on either side, as state machines without sockets or a clock.
//!
//! A caller reads bytes, finds frames ([`crate::frame`]), decodes them ([`crate::codec`]) and hands them in; what comes
//! out it encodes and sends. Time comes in as [`crate::time::Millis`], randomness as a number. Nothing here allocates,
//! and no peer's frame can make it panic, wait for ever or grow.
//!
//! * [`rule`]: what each request needs; the one table about it.
//! * [`server`]: the node's side: hello, login, open requests.
//! * [`client`]: the client's side: hello, login, request ids, pings, and when a connection is dead.
//! * [`writes`]: numbered writes, sent until they are answered, each done once.
//! * [`candidates`]: which node to connect to next, and when.
//!
//! Methods fall in four groups: getters; inputs (`handle_…`, and what has happened); commands of the caller; outputs
//! (`poll_…`). After each input or command, take the outputs until there is nothing more.
//!
//! # A client's turn
//!
//! ```
//! use wire::chat::{FromNode, Reply, Request, reply, request};
//! use wire::session::client::{Client, Entry, Heard, State};
//! use wire::session::writes::Writes;
//! use wire::time::Millis;
//!
//! let now = Millis::from_ms(0);
//! let mut client = Client::<4>::new("example/1");
//! let mut writes = Writes::<4>::new();
//!
//! client.connected(now);
//! let hello = client.poll_transmit(now).expect("the hello");
//! let welcome = reply::Welcome { samira: 2, ..Default::default() };
//! client.handle_frame(FromNode::Reply { re: hello.id, reply: Some(Reply::Welcome(welcome)) }, now);
//!
//! let login = request::Login { username: "al", ..Default::default() };
//! let login = client.enter(Entry::Login(login), now)?;
//! let session = reply::Session { user: 7, device: 70, last_seq: 11, ..Default::default() };
//! let heard = client.handle_frame(FromNode::Reply { re: login.id, reply: Some(Reply::Session(session)) }, now);
//! let Heard::Entered(session) = heard else { panic!("not logged in") };
//! writes.handle_session(&session)?;
//!
//! // The caller keeps "hello" under this number until it is answered.
//! assert_eq!(writes.assign(), Some(12));
//! while client.room() > 0
//!     && let Some(due) = writes.poll_send(now)
//! {
//!     let _id = client.request(due.seq, now)?;
//!     let _send = Request::Send(request::Send { conversation: 3, text: "hello", seq: due.seq, ..Default::default() });
//! }
//! assert_eq!(client.state(), State::Ready);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod candidates;
pub mod client;
pub mod rule;
pub mod server;
pub mod writes;

pub use candidates::Candidates;
pub use client::Client;
pub use server::Server;
pub use writes::Writes;
