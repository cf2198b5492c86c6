//! From results to frames.

use std::borrow::Cow;

use wire::chat::reply::{Count, Error, Sent};
use wire::chat::request::Nothing;
use wire::chat::{Code, Event, FromNode, Reply};
use wire::codec::Codec;
use wire::limits::DEVICES_PER_USER_MAX;
use wire::replication::command::{Outcome, Refusal};

use crate::chat::state::Revocation;
use crate::raft::propose::ProposeError;
use crate::service::backend::ReadError;
use crate::service::passwords::PasswordError;
use crate::storage::query::QueryError;

/// Try again no earlier than this, where waiting is all that helps: an election takes about as long.
const RETRY_SOON_MS: u64 = 100;

/// The same for what outlasts an election.
const RETRY_LATER_MS: u64 = 1000;

/// Why something was not done, for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct No {
    pub(super) code: Code,
    pub(super) text: Cow<'static, str>,
    pub(super) retry_ms: u64,
}

impl No {
    pub(super) fn new(code: Code, text: impl Into<Cow<'static, str>>) -> No {
        No { code, text: text.into(), retry_ms: 0 }
    }

    fn later(code: Code, text: impl Into<Cow<'static, str>>, retry_ms: u64) -> No {
        No { code, text: text.into(), retry_ms }
    }

    /// This node lags behind the others, and cannot tell how far: nothing is said about whether the account exists.
    pub(super) fn not_heard() -> No {
        No::later(Code::Unavailable, "this server has not heard of the account yet", RETRY_SOON_MS)
    }

    /// Whoever is connected as a device is told why it was logged out.
    pub(super) fn revoked(why: Revocation) -> No {
        No::new(
            Code::Revoked,
            match why {
                Revocation::Asked => "this device was logged out by its user, here or on another device".into(),
                Revocation::PasswordChanged => "the password was changed: log in with the new one".into(),
                Revocation::AccountDeleted => "this account was deleted".into(),
                Revocation::MadeRoom => Cow::Owned(format!(
                    "an account has at most {DEVICES_PER_USER_MAX} devices: this one was silent longest, and made room for \
                     a new one"
                )),
                Revocation::TokenReused => {
                    "an old token of this device was used again, and somebody may have copied it: log in".into()
                }
            },
        )
    }

    /// Nobody has this name, or not any more: which of both is nowhere kept.
    pub(super) fn nobody(name: &str) -> No {
        No::new(Code::NoSuchUser, format!("nobody is called {name}"))
    }

    /// Without a majority this node may have missed what would make it right: nothing is said for good.
    pub(super) fn unconfirmed(what: &str) -> No {
        let text = format!("without a majority this server cannot tell whether {what}");
        No::later(Code::Unavailable, text, RETRY_LATER_MS)
    }

    /// The device or its account is gone: whoever is logged in as it is logged out.
    pub(super) fn is_revocation(&self) -> bool {
        self.code == Code::Revoked
    }

    pub(super) fn reply(&self) -> Reply<'_> {
        Reply::Error(Error { code: self.code, text: &self.text, retry_ms: self.retry_ms })
    }
}

impl From<&Refusal> for No {
    fn from(refusal: &Refusal) -> No {
        let (code, text): (Code, Cow<'static, str>) = match refusal {
            Refusal::NameTaken => (
                Code::NameTaken,
                "somebody has this user name, or one that people would take for it, or had it until a short while ago"
                    .into(),
            ),
            Refusal::NoSuchUser => (Code::Revoked, "this account was deleted".into()),
            Refusal::NoSuchConversation => (Code::NoSuchConversation, "you have no such conversation".into()),
            Refusal::PeerGone { name } => (Code::PeerGone, format!("{name} has deleted the account").into()),
            Refusal::NotYours => (Code::NotYours, "people delete what they sent themselves".into()),
            Refusal::DeviceSequenceGap => (Code::OutOfOrder, "a write before this one has not arrived".into()),
            Refusal::AlreadyApplied => (Code::AlreadyDone, "this was done long ago".into()),
            Refusal::DeviceGone => (
                Code::Revoked,
                "this device was logged out: by its user, by a new password, or to make room for a newer device".into(),
            ),
            Refusal::TokenUnknown => (Code::BadToken, "this token is not valid any more: log in".into()),
            Refusal::TokenReused => (
                Code::TokenReused,
                "this token was replaced before and somebody may have copied it: the device was logged out, log in"
                    .into(),
            ),
            Refusal::Overtaken => {
                (Code::Unavailable, "a later request of this device was carried out before this one".into())
            }
            Refusal::Malformed => (Code::Malformed, "a value is missing or breaks a bound".into()),
            // Of commands that no client can cause.
            Refusal::CodeUnknown
            | Refusal::CodeExpired
            | Refusal::CodeUsed
            | Refusal::SequenceGap
            | Refusal::StaleEpoch
            | Refusal::NodeRemoved
            | Refusal::DeviceExists => (Code::Busy, "that did not work, try again".into()),
        };
        No { retry_ms: if code == Code::Busy { RETRY_SOON_MS } else { 0 }, code, text }
    }
}

impl From<&ProposeError> for No {
    fn from(error: &ProposeError) -> No {
        match error {
            ProposeError::Overloaded => No::later(Code::Busy, "too many writes are waiting", RETRY_SOON_MS),
            ProposeError::NotStored { missing } => {
                No::later(Code::Unavailable, format!("not stored: {missing}"), RETRY_LATER_MS)
            }
            ProposeError::Unknown { missing } => {
                No::later(Code::Undecided, format!("it is not known whether it is stored: {missing}"), RETRY_LATER_MS)
            }
            ProposeError::Stopping => No::later(Code::Stopping, "this server is stopping", 0),
        }
    }
}

impl From<ProposeError> for No {
    fn from(error: ProposeError) -> No {
        No::from(&error)
    }
}

impl From<QueryError> for No {
    fn from(error: QueryError) -> No {
        match error {
            QueryError::Busy => No::later(Code::Busy, "too many reads are waiting", RETRY_SOON_MS),
            QueryError::Stopped => No::later(Code::Stopping, "this server is stopping", 0),
            QueryError::Sqlite(error) => {
                tracing::error!(%error, "a query failed");
                No::later(Code::ReadFailed, "reading failed on this server", RETRY_LATER_MS)
            }
        }
    }
}

impl From<ReadError> for No {
    fn from(error: ReadError) -> No {
        match error {
            ReadError::Gone => No::from(&Refusal::NoSuchUser),
            ReadError::Query(error) => error.into(),
        }
    }
}

impl From<PasswordError> for No {
    fn from(error: PasswordError) -> No {
        match error {
            PasswordError::Busy => No::later(Code::Busy, "too many logins are waiting", RETRY_LATER_MS),
            PasswordError::Failed => {
                No::later(Code::ReadFailed, "passwords cannot be checked here now", RETRY_LATER_MS)
            }
        }
    }
}

/// What a write that has an outcome is answered with.
pub(super) fn of_outcome(outcome: &Outcome) -> Result<Reply<'static>, No> {
    Ok(match *outcome {
        Outcome::Sent { conversation, number, id } => Reply::Sent(Sent { conversation, number, id }),
        Outcome::Deleted { count } => Reply::Removed(Count { count: u64::from(count) }),
        Outcome::Refused(ref refusal) => return Err(refusal.into()),
        _ => done(),
    })
}

/// Done, and nothing more to say.
pub(super) const fn done() -> Reply<'static> {
    Reply::Done(Nothing {})
}

/// A reply as it goes over the wire.
pub(super) fn reply(codec: Codec, re: u64, reply: Reply<'_>) -> Vec<u8> {
    frame(codec, &FromNode::Reply { re, reply: Some(reply) })
}

/// An event as it goes over the wire.
pub(super) fn event(codec: Codec, event: Event<'_>) -> Vec<u8> {
    frame(codec, &FromNode::Event(Some(event)))
}

fn frame(codec: Codec, message: &FromNode<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec
        .encode_frame_to_vec(message, &mut bytes)
        .expect("messages hold texts, lists, bytes and numbers, which all encode");
    bytes
}
