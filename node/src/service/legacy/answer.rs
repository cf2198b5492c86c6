//! What is answered, before it is anybody's bytes. [`super::reply`] makes the original's sockets' replies of it, and
//! `grpc` those of package `chat`.

use wire::legacy::text;
use wire::replication::command::{Outcome, Refusal};

use super::history::Entry;
use crate::raft::propose::ProposeError;
pub(crate) use crate::service::backend::Read;
use crate::service::passwords::PasswordError;
use crate::storage::query::{ChatSummary, QueryError};

/// A text for a user.
pub(crate) type Said = std::borrow::Cow<'static, str>;

/// Characters of a cluster's condition that a user is told: it lists servers, and there may be many.
const CONDITION_CHARS_MAX: usize = 300;

/// The answer to one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Done, and nothing more to say.
    Done,
    /// The rules say no.
    Refused(Said),
    /// It was not done, or nobody knows; waiting may help.
    NotNow(Said),
    /// Logged in.
    LoggedIn(Account),
    /// The chat to go to.
    Chat(String),
    /// Unread messages that one request hands over.
    ViewLimit(Read<u32>),
    /// The conversations.
    Chats(Read<Vec<ChatSummary>>),
    /// Names of people.
    Names(Read<Vec<String>>),
    /// A conversation.
    Messages(Read<Vec<Entry>>),
    /// A request for messages without saying of which chat or for whom.
    InvalidPayload,
}

/// Who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: u64,
    pub(crate) nickname: String,
    pub(crate) view_limit: u32,
    pub(crate) stale: bool,
}

impl Answer {
    /// The answer to a write that has no data to tell.
    pub(super) fn of_write(result: &Result<Outcome, ProposeError>) -> Answer {
        match result {
            Ok(Outcome::Refused(refusal)) => Answer::Refused(refusal_text(refusal)),
            Ok(_) => Answer::Done,
            Err(error) => Answer::from(error),
        }
    }
}

/// What a user is told about a refusal.
fn refusal_text(refusal: &Refusal) -> Said {
    match refusal {
        Refusal::NameTaken => text::USERNAME_TAKEN.into(),
        Refusal::NoSuchUser => text::ACCOUNT_GONE.into(),
        Refusal::NoSuchConversation => text::NO_SUCH_CHAT.into(),
        Refusal::PeerGone { name } => text::PeerGone(name).to_string().into(),
        Refusal::NotYours => text::NOT_YOUR_MESSAGE.into(),
        // None of these comes of a request that passed the service, or of a run numbered by the proposer.
        Refusal::CodeUnknown
        | Refusal::CodeExpired
        | Refusal::CodeUsed
        | Refusal::Malformed
        | Refusal::SequenceGap
        | Refusal::StaleEpoch
        | Refusal::AlreadyApplied
        | Refusal::NodeRemoved
        | Refusal::DeviceGone
        | Refusal::DeviceExists
        | Refusal::TokenUnknown
        | Refusal::TokenReused
        | Refusal::Overtaken
        | Refusal::DeviceSequenceGap => text::REFUSED.into(),
    }
}

/// A write without an outcome: whether it is stored, as far as anybody knows.
impl From<&ProposeError> for Answer {
    fn from(error: &ProposeError) -> Answer {
        Answer::NotNow(match error {
            ProposeError::Overloaded => text::BUSY.into(),
            ProposeError::NotStored { missing } => text::NotStored(condition(missing)).to_string().into(),
            ProposeError::Unknown { missing } => text::OutcomeUnknown(condition(missing)).to_string().into(),
            ProposeError::Stopping => text::STOPPING.into(),
        })
    }
}

impl From<QueryError> for Answer {
    fn from(error: QueryError) -> Answer {
        Answer::NotNow(match error {
            QueryError::Busy => text::BUSY.into(),
            QueryError::Stopped => text::STOPPING.into(),
            QueryError::Sqlite(error) => {
                tracing::error!(%error, "a query failed");
                text::READ_FAILED.into()
            }
        })
    }
}

impl From<PasswordError> for Answer {
    fn from(error: PasswordError) -> Answer {
        Answer::NotNow(match error {
            PasswordError::Busy => text::BUSY.into(),
            PasswordError::Failed => text::READ_FAILED.into(),
        })
    }
}

fn condition(missing: &str) -> &str {
    missing.char_indices().nth(CONDITION_CHARS_MAX).map_or(missing, |(end, _)| &missing[..end])
}

/// A name as others see it once its account is gone.
pub(crate) fn shown_name(name: &str, live: bool) -> String {
    if live { name.to_owned() } else { format!("{name} (deleted)") }
}
