//! Every sentence a client of the original protocol may be told.
//!
//! The original's are kept to the letter: clients show them, and the original desktop client goes back to its first page
//! when it reads [`PeerGone::MARK`]. Ours are for cases in which the original closed the connection or failed, and for
//! rules it did not have.

use core::fmt::{self, Display};

use crate::error::DecodeError;

/// Declares constants, and [`ALL`] of them, so that none is left out of the goldens.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// Every fixed text with the name of its constant.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

texts! {
    // ---- the original's ----

    /// To a `signup` with an empty value.
    ALL_FIELDS_REQUIRED = "All fields are required.";

    /// To a `signup` under a name that exists.
    USERNAME_TAKEN = "Username already taken.";

    /// To a `login` that lacks one of both.
    CREDENTIALS_REQUIRED = "Username and password are required.";

    /// To a `login` with an unknown name or a wrong password: which, is nobody's business.
    CREDENTIALS_INVALID = "Invalid username or password.";

    /// To a `get_messages` that lacks a key.
    INVALID_PAYLOAD = "Invalid payload.";

    /// To a `send_chat_message` that lacks a value.
    MISSING_FIELDS = "Missing required fields.";

    /// To everything that is no action.
    INVALID_ACTION = "Invalid action";

    /// To a connection for which there is no room.
    AT_CAPACITY = "Server at maximum capacity";

    // ---- ours ----

    /// To a handshake without a usable `client_id`.
    CLIENT_ID_REQUIRED = "A client_id is required.";

    /// To an unencrypted connection from another machine.
    PLAINTEXT_REMOTE = "Unencrypted connections from other machines are refused; start the node with --plaintext any";

    /// To every unencrypted connection.
    PLAINTEXT_OFF = "Unencrypted connections are refused; start the node with --plaintext any";
}

/// To a handshake. The original's.
#[derive(Debug, Clone, Copy)]
pub struct Welcome<'a>(
    /// What the client calls itself.
    pub &'a str,
);

impl Display for Welcome<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Successfully connected as {}", self.0)
    }
}

/// To a message for somebody who has no account. The original's.
#[derive(Debug, Clone, Copy)]
pub struct PeerGone<'a>(
    /// Name of the receiver.
    pub &'a str,
);

impl PeerGone<'_> {
    /// What clients look for.
    pub const MARK: &'static str = "has deleted their account";
}

impl Display for PeerGone<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cannot send message. User '{}' {}.", self.0, Self::MARK)
    }
}

/// To a request with a value of the wrong type, see [`Request::wrong_key`](super::Request::wrong_key). Ours.
#[derive(Debug, Clone, Copy)]
pub struct WrongKey<'a>(
    /// The key.
    pub &'a str,
);

impl Display for WrongKey<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Invalid value for '{}'.", self.0)
    }
}

/// To bytes that are no message. The connection is closed behind it. Ours.
#[derive(Debug, Clone, Copy)]
pub struct Malformed(
    /// What was wrong.
    pub DecodeError,
);

impl Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Malformed message: {}.", self.0)
    }
}
