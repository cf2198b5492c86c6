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

    /// To every action but `signup` and `login` on a connection on which nobody is logged in.
    LOG_IN_FIRST = "Please log in first.";

    /// To every action of an account that was deleted meanwhile, from another connection.
    ACCOUNT_GONE = "This account has been deleted.";

    /// To a `signup` where the operator allows none.
    SIGNUP_CLOSED = "This server takes no new accounts.";

    /// To a `signup` with something else than clients make of a password.
    PASSWORD_NOT_HASHED = "A password is sent as 64 lowercase hexadecimal digits, its SHA-256, and never in clear.";

    /// To a `signup` or `login` with a password longer than its bound.
    PASSWORD_TOO_LONG = "The password is too long.";

    /// To a request about a chat that the user is not in.
    NO_SUCH_CHAT = "You are not part of such a chat.";

    /// To a `delete_messages` that names somebody else's message. Nothing was deleted.
    NOT_YOUR_MESSAGE = "You can only delete messages that you have sent.";

    /// To a `delete_messages` with an index that could mean two messages: below one that was deleted a moment ago, or on a
    /// page that has been full once. Nothing was deleted.
    PLACE_AMBIGUOUS = "Nothing was deleted, for it is not certain which message is meant. Please try again in a moment; if that does not help, leave this chat and open it again.";

    /// To a `delete_messages` with a negative index.
    INDEX_NEGATIVE = "Message indices count from 0.";

    /// To a `delete_chats`.
    DELETE_CHATS = "A chat belongs to both sides and cannot be deleted. Delete your own messages in it instead.";

    /// To a `save_settings` or `update_view_limit` outside of its bounds.
    LIMIT_OUT_OF_RANGE = "The message limit must be a whole number from 1 to 100000.";

    /// To a message text longer than its bound.
    MESSAGE_TOO_LONG = "The message is longer than 65536 bytes.";

    /// To a message text with a control character. White space alone gets [`MISSING_FIELDS`].
    MESSAGE_CONTROL = "The message contains a control character; only line breaks and tabs are allowed.";

    /// To a search pattern longer than its bound.
    PATTERN_TOO_LONG = "The search pattern is too long.";

    /// To a request for which there is no room now. It had no effect.
    BUSY = "The server is busy and has done nothing. Please try again in a moment.";

    /// To a write on a connection that was logged in without a quorum, while there still is none.
    READ_ONLY = "Nothing was stored: too few servers of the cluster can be reached. Until they can, you can only read.";

    /// To a write that the server, while stopping, does not take any more.
    STOPPING = "The server is stopping. Please connect again.";

    /// To a read when the server's own database fails.
    READ_FAILED = "The server cannot read its data.";

    /// To a write that the rules refuse for a reason which clients of this protocol cannot bring about.
    REFUSED = "The server refuses this request.";

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

/// To a request in the name of somebody else. Ours.
#[derive(Debug, Clone, Copy)]
pub struct NotYou<'a>(
    /// Who is logged in.
    pub &'a str,
);

impl Display for NotYou<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "You are logged in as '{}'; this can only be done for oneself.", self.0)
    }
}

/// To a `signup` or `start_chat` with a name that cannot be taken. Ours.
#[derive(Debug, Clone, Copy)]
pub struct NameRefused<R> {
    /// Which name: `user name` or `nickname`.
    pub which: &'static str,
    /// What is wrong with it, as the end of a sentence.
    pub reason: R,
}

impl<R: Display> Display for NameRefused<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "This {} {}.", self.which, self.reason)
    }
}

/// To a write that is certainly not stored. Ours.
#[derive(Debug, Clone, Copy)]
pub struct NotStored<'a>(
    /// What is missing.
    pub &'a str,
);

impl Display for NotStored<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Nothing was stored: {}.", self.0)
    }
}

/// To a write that may or may not be stored. Ours.
#[derive(Debug, Clone, Copy)]
pub struct OutcomeUnknown<'a>(
    /// What is missing.
    pub &'a str,
);

impl Display for OutcomeUnknown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "This may or may not have been stored, look before you try again: {}.", self.0)
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

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::string::ToString as _;

    use super::*;
    use crate::limits::{LEGACY_REPLY_BYTES_MAX, MESSAGE_TEXT_BYTES_MAX, VIEW_LIMIT_MAX};

    #[test]
    fn texts_name_the_bounds_that_hold() {
        assert!(LIMIT_OUT_OF_RANGE.contains(&VIEW_LIMIT_MAX.to_string()));
        assert!(MESSAGE_TOO_LONG.contains(&MESSAGE_TEXT_BYTES_MAX.to_string()));
    }

    #[test]
    fn texts_are_one_line_and_differ() {
        for (index, (name, text)) in ALL.iter().enumerate() {
            assert!(!text.is_empty() && text.len() < LEGACY_REPLY_BYTES_MAX / 8, "{name}");
            assert!(!text.contains(char::is_control), "{name}");
            assert!(ALL[..index].iter().all(|(_, other)| other != text), "{name} says the same as another");
        }
    }
}
