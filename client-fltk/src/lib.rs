//! What people use to talk over a Samira cluster, without any window: a thread that keeps the connection, the profile on
//! disk, and a model of what is to be shown. The command line `chat` and the tests stand on it; nobody writes a second
//! client.
//!
//! Reading order:
//!
//! * [`link`]: where a cluster is, and how it is known again.
//! * [`command`]: what a program asks, and what it is told.
//! * [`net`]: [`net::driver::Driver`] is the door to everything: commands in, notes out, one thread behind it. [`net::tls`]
//!   says whom to trust.
//! * `engine`: what the thread does, without sockets.
//! * [`model`]: what the user sees, as plain data, and the rules by which it changes.
//! * [`store`], [`profile`]: what is kept on disk, and where. [`options`]: what programs take from their command line.
//! * [`harmless`]: what others have written, before it reaches a terminal, a screen or a clipboard.
//! * [`limits`], [`mod@env`]: bounds; time and randomness.
//!
//! # The contract
//!
//! *Nothing blocks the caller.* [`net::driver::Driver::send`] only queues; answers are notes.
//!
//! *What was told is on disk.* A note of changes comes after the commit that holds them and the cursor, and so does every
//! byte to the node that speaks of them: a message is marked as delivered once it is kept here, a write is sent once its
//! number is kept here. Kill the process at any moment, and the next one finds a whole state.
//!
//! *The client never lies.* A message of one's own is queued here, stored by the cluster, delivered, or read:
//! [`model::Delivery`].
//!
//! # A program
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use client_fltk::command::{Command, Note, Password};
//! use client_fltk::model::{Model, Target};
//! use client_fltk::net::driver::{Driver, Settings};
//!
//! let link = Some("127.0.0.1:5555".parse()?);
//! let driver = Driver::start(Settings { link, ..Settings::default() }, || ())?;
//! driver.send(Command::LogIn { username: "al".into(), password: Password::of("secret") })?;
//! driver.send(Command::Send { to: Target::Username("bo".into()), text: "hello".into() })?;
//! let mut model = Model::default();
//! while let Some(note) = driver.wait_note(Duration::from_secs(10)) {
//!     match note {
//!         Note::Model(first) => model = *first,
//!         Note::Changed(deltas) => model.apply_all(&deltas),
//!         Note::Answer { ticket, outcome } => println!("{ticket:?}: {outcome:?}"),
//!         Note::Broken(why) => panic!("{why}"),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod command;
mod engine;
pub mod env;
pub mod harmless;
pub mod limits;
pub mod link;
pub mod model;
pub mod net;
pub mod options;
pub mod profile;
pub mod store;
