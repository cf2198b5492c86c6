//! What a log entry asks the chat state to do, and what came of it.
//!
//! Nothing here is decided at apply time that could differ between replicas: the time was stamped by the leader,
//! password hashes and secrets were made before proposing.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// The newest rule level this build can apply. An entry of a higher level stops the node: a replica that does not
/// know the rules must not guess.
///
/// Level 2 added [`Command::RemoveNode`]. Level 3 added devices, marks of delivery, cleared views and nicknames, and gives
/// every change that a user may come to see a number. Level 4 added [`Command::BindAddress`]. Level 5 forgets the devices
/// that were logged out longest ago. Level 6 gives names their keys ([`Command::Register`]), lets the name of a deleted account
/// rest, sends to an account ([`Command::SendToAccount`]), and knows a device's late requests ([`Command::ResumeInLife`]).
pub const RULE_LEVEL: u16 = 6;

/// The rule level from which on names carry their keys, and messages may be for an account.
pub const RULE_LEVEL_KEYED: u16 = 6;

/// The rule level from which on devices that are logged out are forgotten in the end.
pub const RULE_LEVEL_FORGETS: u16 = 5;

/// The rule level from which on changes are numbered. Entries below it are applied as they always were, so that a replica
/// that applies an old log late comes out like those that applied it in its time.
pub const RULE_LEVEL_NUMBERED: u16 = 3;

/// Content of one log entry: the runs of several writers, applied in order under one timestamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch<'a> {
    /// Which rules apply (see [`RULE_LEVEL`]).
    pub rule_level: u16,
    /// When the leader proposed it: milliseconds since 1970, UTC. For display and expiry only.
    pub time_ms: u64,
    /// The writers' runs.
    #[serde(borrow)]
    pub runs: Vec<Run<'a>>,
}

/// Who writes: a device or a node, in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Writer {
    /// Device id; for writes a node makes on behalf of clients that number nothing, the node's id.
    pub device: u64,
    /// Raised whenever the writer lost count (a node: at each start and after giving a write up). A higher epoch
    /// starts again at sequence number 1; a lower one is refused.
    pub epoch: u64,
}

/// Consecutive writes of one writer. Sequence numbers are dense: the first of an epoch is 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run<'a> {
    /// Whose writes.
    pub writer: Writer,
    /// Sequence number of the first command.
    pub first_seq: u64,
    /// How many commands follow, at most [`crate::limits::RUN_COMMANDS_MAX`].
    pub count: u32,
    /// The commands, postcard, one behind the other: forwarding and batching never decode them.
    #[serde(borrow)]
    pub commands: &'a [u8],
}

/// One write to the chat state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command<'a> {
    /// Make an account, at rule levels where names have no keys.
    Signup {
        /// Unique, exact case; validated before proposing.
        username: &'a str,
        /// Shown to others.
        nickname: &'a str,
        /// Argon2id in PHC text form.
        password_hash: &'a str,
    },
    /// Delete an account. Its messages stay; its name rests for [`crate::limits::NAME_REST_MS`] before it is free again.
    DeleteAccount {
        /// Whose.
        user: u64,
    },
    /// Set how many unread messages one request hands over.
    SetViewLimit {
        /// Whose.
        user: u64,
        /// From 1.
        limit: u32,
    },
    /// Make sure the direct conversation of two people exists.
    OpenConversation {
        /// Who asks.
        user: u64,
        /// Name of the other one (or the same: a notebook).
        other: &'a str,
    },
    /// Store a message.
    Send {
        /// Who sends.
        user: u64,
        /// Where to.
        chat: Chat<'a>,
        /// At most [`crate::limits`]' message bound, validated before proposing.
        text: &'a str,
    },
    /// Delete messages of one's own. All or none.
    DeleteMessages {
        /// Who deletes; must be the sender of each.
        user: u64,
        /// In which conversation.
        chat: Chat<'a>,
        /// Message numbers within the conversation.
        numbers: Vec<u64>,
    },
    /// Raise the read mark. A lower mark than the stored one changes nothing.
    MarkRead {
        /// Whose mark.
        user: u64,
        /// In which conversation.
        conversation: u64,
        /// Number of the last message read.
        upto: u64,
    },
    /// Make a one-time join code valid.
    AddJoinCode {
        /// SHA-256 of the secret.
        hash: [u8; 32],
        /// End of validity, milliseconds since 1970, UTC, compared with the time of the consuming entry.
        expires_ms: u64,
    },
    /// Use a one-time join code up.
    ConsumeJoinCode {
        /// SHA-256 of the secret.
        hash: [u8; 32],
        /// The node it lets in. The same node may consume the same code again (a lost answer).
        node: u64,
    },
    /// Shut a node out of the cluster for good. It takes effect once the node is no member any more, which the leader
    /// sees to; until then its votes are still needed.
    RemoveNode {
        /// Its id, which is never used again.
        node: u64,
        /// What it was called, at most [`crate::limits::SERVER_NAME_BYTES_MAX`].
        name: &'a str,
        /// Name of the server on which an operator asked for it, with the same bound.
        by: &'a str,
    },
    /// A write of a client's device, under the device's own number: applied once, however often it comes and over
    /// whichever nodes.
    ByDevice {
        /// Which.
        device: u64,
        /// Its number; the first one of a device is 1.
        seq: u64,
        /// The write, postcard: [`Command::Void`], [`Command::Send`], [`Command::SendTo`], [`Command::DeleteMessages`],
        /// [`Command::ClearView`], [`Command::SetNickname`], [`Command::SetViewLimit`] or their keyed forms, of the device's user.
        #[serde(borrow)]
        command: &'a [u8],
    },
    /// Nothing; refused as malformed. With it a service uses up the number of a write that it cannot hand over.
    Void,
    /// Store a message for somebody, in the direct conversation that is made if there is none.
    SendTo {
        /// Who sends.
        user: u64,
        /// Name of the other one (or the same: a notebook).
        username: &'a str,
        /// As in [`Command::Send`].
        text: &'a str,
    },
    /// Log a device in. Where the user has [`crate::limits::DEVICES_PER_USER_MAX`] already, the one that has been silent
    /// longest is logged out.
    AddDevice {
        /// Whose.
        user: u64,
        /// Its id, random, never used again.
        device: u64,
        /// What it calls itself, at most [`crate::limits::DEVICE_NAME_BYTES_MAX`].
        name: &'a str,
        /// SHA-256 of its first token; none where a token would travel in the clear.
        token_hash: Option<[u8; 32]>,
    },
    /// Log in with a password as a device that is there already. Its former tokens are dropped.
    LoginDevice {
        /// Whose it must be.
        user: u64,
        /// Which.
        device: u64,
        /// As in [`Command::AddDevice`].
        token_hash: Option<[u8; 32]>,
        /// What it calls itself now.
        name: &'a str,
    },
    /// Log in with a token. The token is good until its successor is used: which is how the cluster learns that the reply
    /// with the successor has arrived.
    ResumeDevice {
        /// Which.
        device: u64,
        /// SHA-256 of the token shown.
        old_hash: [u8; 32],
        /// SHA-256 of its successor.
        new_hash: [u8; 32],
    },
    /// Log a device out for good.
    RevokeDevice {
        /// Whose it must be.
        user: u64,
        /// Which.
        device: u64,
    },
    /// Set the password, and log all other devices out.
    SetPassword {
        /// Whose.
        user: u64,
        /// Argon2id in PHC text form.
        password_hash: &'a str,
        /// The device that stays.
        keep_device: u64,
    },
    /// Set the nickname, at rule levels where names have no keys.
    SetNickname {
        /// Whose.
        user: u64,
        /// Shown to others; validated before proposing.
        nickname: &'a str,
    },
    /// Raise marks. Those that would not rise, and those in conversations the user is not in, are passed over.
    Mark {
        /// Whose.
        user: u64,
        /// At most [`crate::limits::ITEMS_PER_REQUEST_MAX`].
        marks: Vec<Marks>,
    },
    /// Empty one's own view of a conversation; what goes from it counts as read.
    ClearView {
        /// Whose view.
        user: u64,
        /// Of which conversation.
        conversation: u64,
        /// Number of the last message that goes.
        upto: u64,
    },
    /// Let everybody at an address act for a user, for a while: clients of the original's gRPC package carry nothing else
    /// from call to call. Deleting the account or changing its password ends it.
    BindAddress {
        /// Whose.
        user: u64,
        /// An IPv6 address; an IPv4 one is mapped into it.
        address: [u8; 16],
        /// For how long, milliseconds from the entry's time on.
        for_ms: u64,
    },
    /// Make an account. Refused while another account has the name, one of the same key or one that looks the same, or had it
    /// not long ago.
    Register {
        /// Validated before proposing.
        username: &'a str,
        /// Shown to others; validated too.
        nickname: &'a str,
        /// Argon2id in PHC text form.
        password_hash: &'a str,
        /// The user name's keys.
        #[serde(borrow)]
        keys: NameKeys<'a>,
        /// What a search for the nickname compares, at most [`crate::limits::NAME_KEY_BYTES_MAX`].
        nickname_search: &'a str,
    },
    /// Set the nickname.
    SetNicknameKeyed {
        /// Whose.
        user: u64,
        /// Shown to others; validated before proposing.
        nickname: &'a str,
        /// What a search for it compares, at most [`crate::limits::NAME_KEY_BYTES_MAX`].
        search: &'a str,
    },
    /// Store a message for somebody, in the direct conversation that is made if there is none.
    SendToAccount {
        /// Who sends.
        user: u64,
        /// The other one (or the same: a notebook).
        #[serde(borrow)]
        to: Addressee<'a>,
        /// As in [`Command::Send`].
        text: &'a str,
    },
    /// [`Command::ResumeDevice`] by a client that tells in which of its lives it asks.
    ResumeInLife {
        /// Which.
        device: u64,
        /// SHA-256 of the token shown.
        old_hash: [u8; 32],
        /// SHA-256 of its successor.
        new_hash: [u8; 32],
        /// A digest of device and life.
        life_hash: [u8; 32],
    },
}

/// What the state keeps beside a user name, made by whoever proposed it: the tables behind it differ from build to build. Each
/// has at most [`crate::limits::NAME_KEY_BYTES_MAX`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameKeys<'a> {
    /// What the name is found by.
    pub fold: &'a str,
    /// What it looks like.
    pub skeleton: &'a str,
    /// What a search compares.
    pub search: &'a str,
}

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Addressee<'a> {
    /// The account of this id, and nobody else who may have its name by then.
    Account(u64),
    /// Whoever has this name, or else is the only one of this key.
    Named {
        /// To the letter.
        name: &'a str,
        /// What it is found by.
        fold: &'a str,
    },
}

/// How far somebody has come in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Which.
    pub conversation: u64,
    /// Messages up to this number are on a device.
    pub delivered: u64,
    /// Messages up to this number were read, and so delivered.
    pub read: u64,
}

impl Command<'_> {
    /// The rule level that brought it. In an entry of a lower level it means nothing.
    pub const fn rule_level(&self) -> u16 {
        match self {
            Command::Signup { .. }
            | Command::DeleteAccount { .. }
            | Command::SetViewLimit { .. }
            | Command::OpenConversation { .. }
            | Command::Send { .. }
            | Command::DeleteMessages { .. }
            | Command::MarkRead { .. }
            | Command::AddJoinCode { .. }
            | Command::ConsumeJoinCode { .. } => 1,
            Command::RemoveNode { .. } => 2,
            Command::BindAddress { .. } => 4,
            Command::Register { .. }
            | Command::SetNicknameKeyed { .. }
            | Command::SendToAccount { .. }
            | Command::ResumeInLife { .. } => RULE_LEVEL_KEYED,
            _ => 3,
        }
    }
}

/// How a command names a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chat<'a> {
    /// By id.
    Id(u64),
    /// By the text id that clients of the original protocol use; resolved at apply, so that a write needs no read.
    Legacy(&'a str),
}

/// What came of one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done, nothing more to say.
    Done,
    /// The account was made.
    UserCreated {
        /// Its id.
        user: u64,
    },
    /// The conversation exists.
    Conversation {
        /// Its id.
        id: u64,
        /// Its text id for clients of the original protocol.
        legacy_id: String,
    },
    /// The message is stored.
    Sent {
        /// In which conversation.
        conversation: u64,
        /// Its number there, from 1.
        number: u64,
        /// Its id in the whole cluster.
        id: u64,
    },
    /// The messages are deleted.
    Deleted {
        /// How many.
        count: u32,
    },
    /// Nothing was changed, except as [`Refusal::TokenReused`] says.
    Refused(Refusal),
    /// The device is logged in.
    DeviceAdded {
        /// Its id.
        device: u64,
    },
    /// The token was good.
    Resumed {
        /// The device's user.
        user: u64,
    },
}

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The name belongs to an existing account.
    NameTaken,
    /// No such account (any more).
    NoSuchUser,
    /// No such conversation, or none that this user is in.
    NoSuchConversation,
    /// The other side has no account (any more).
    PeerGone {
        /// Its name.
        name: String,
    },
    /// Somebody else sent one of the messages.
    NotYours,
    /// No such join code.
    CodeUnknown,
    /// The join code's time is over.
    CodeExpired,
    /// The join code was used by another node.
    CodeUsed,
    /// The command could not be decoded or breaks a bound.
    Malformed,
    /// The sequence number is neither the next nor one of the last.
    SequenceGap,
    /// The writer has begun a newer epoch.
    StaleEpoch,
    /// Applied before, so long ago that its outcome is no longer kept.
    AlreadyApplied,
    /// The node was removed from the cluster; its id never comes back.
    NodeRemoved,
    /// No such device (any more), or somebody else's.
    DeviceGone,
    /// The device id is taken.
    DeviceExists,
    /// The token is none of the device's.
    TokenUnknown,
    /// A token was used whose successor has been used: two hold it, and the device was logged out.
    TokenReused,
    /// The number of a device's write is neither the next nor one of the last. Another refusal than
    /// [`Refusal::SequenceGap`], which tells a node that its own numbers are of no use any more.
    DeviceSequenceGap,
    /// The request to resume came behind a later one of the same run of the same program.
    Overtaken,
}
