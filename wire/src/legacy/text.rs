//! Every sentence a client of the original protocol may be told.
//!
//! The first part is the original's, to the letter: clients show these, and the desktop client goes back to its first
//! page when it reads [`PeerGone::MARK`]. The second part is ours, for cases in which the original closed the
//! connection, failed, or did not exist.

use core::fmt::{self, Display};

use crate::error::DecodeError;

// ---- the original's ----------------------------------------------------------------------------------------

/// To a `signup` with an empty value.
pub const ALL_FIELDS_REQUIRED: &str = "All fields are required.";

/// To a `signup` under a name that exists.
pub const USERNAME_TAKEN: &str = "Username already taken.";

/// To a `login` that lacks one of both.
pub const CREDENTIALS_REQUIRED: &str = "Username and password are required.";

/// To a `login` with an unknown name or a wrong password: which, is nobody's business.
pub const CREDENTIALS_INVALID: &str = "Invalid username or password.";

/// To a `get_messages` that lacks a key.
pub const INVALID_PAYLOAD: &str = "Invalid payload.";

/// To a `send_chat_message` that lacks a value.
pub const MISSING_FIELDS: &str = "Missing required fields.";

/// To everything that is no action.
pub const INVALID_ACTION: &str = "Invalid action";

/// To a connection for which there is no room.
pub const AT_CAPACITY: &str = "Server at maximum capacity";

/// To a handshake.
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

/// To a message for somebody who has no account.
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

// ---- ours --------------------------------------------------------------------------------------------------

/// To a handshake without a usable `client_id`.
pub const CLIENT_ID_REQUIRED: &str = "A client_id is required.";

/// To a request with a value of the wrong type; see
/// [`Request::wrong_key`](super::Request::wrong_key).
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

/// To bytes that are no message. The connection is closed behind it.
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
