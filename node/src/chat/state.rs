//! What the rules need from storage, and the only way they may change it.
//!
//! Every change of a row is a [`Change`], handed over in order: so the chained hash covers all that happens to the
//! state, and storage is free to gather changes (counters of a conversation, for example) until its transaction ends,
//! as long as its own lookups already see them.

use std::rc::Rc;

use serde::Serialize;
use wire::replication::command::{Outcome, Writer};

/// An account, as far as the rules look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name it has or, once deleted, had.
    pub name: String,
    /// False once deleted.
    pub live: bool,
    /// How many unread messages one request hands over.
    pub view_limit: u32,
}

/// A conversation, as far as the rules look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its text id for clients of the original protocol.
    pub legacy_id: String,
    /// Its members' user ids, rising. One for a notebook, two for a direct conversation.
    pub members: Vec<u64>,
    /// The change number of its making; for one from before changes were numbered the id of its first message, and until
    /// then 0.
    pub changed: u64,
}

/// How far a member has come in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Messages up to this number are on a device of the member.
    pub delivered: u64,
    /// Messages up to this number were read.
    pub read: u64,
    /// Messages up to this number are gone from the member's own view.
    pub cleared: u64,
}

/// A place where somebody is, or was, logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Whose.
    pub user: u64,
    /// False once revoked.
    pub live: bool,
}

/// Why a device was logged out. It is told while the device is connected, and is no part of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// Its user wanted it, on this device or another.
    Asked,
    /// The password was changed on another device.
    PasswordChanged,
    /// The account was deleted.
    AccountDeleted,
    /// It was the longest silent one of too many.
    MadeRoom,
    /// A token that was used up came back.
    TokenReused,
}

/// What a token of a device is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum TokenRole {
    /// The newest one that was used.
    Current,
    /// A successor of it that was not used yet: its reply may be under way, or lost.
    Pending,
    /// Nothing any more. Who shows it gives away that two hold it.
    Retired,
    /// Nothing: it is no token, but tells the run of the client's program that was given the newest one.
    Life,
}

/// A token of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of it.
    pub hash: [u8; 32],
    /// What it is good for.
    pub role: TokenRole,
    /// Rises with each token of the device that takes a role.
    pub rank: u64,
}

/// How far a writer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its newest epoch.
    pub epoch: u64,
    /// The last sequence number of that epoch that was applied; 0 before the first.
    pub last_seq: u64,
}

/// Outcomes kept for repetition: those of the consecutive sequence numbers from `first_seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRun {
    /// Sequence number of the first outcome.
    pub first_seq: u64,
    /// One per sequence number.
    pub outcomes: Vec<Outcome>,
}

/// A one-time join code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinCode {
    /// End of validity, milliseconds since 1970, UTC.
    pub expires_ms: u64,
    /// The node it has let in.
    pub used_by: Option<u64>,
}

/// A node that was shut out of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedNode {
    /// What it was called.
    pub name: String,
    /// Name of the server on which an operator asked for it.
    pub by: String,
    /// When, milliseconds since 1970, UTC.
    pub time_ms: u64,
}

/// The ids that the next rows get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextIds {
    /// Next account.
    pub user: u64,
    /// Next conversation.
    pub conversation: u64,
    /// Next message, counted over the whole cluster; also the number of the next change of any other kind that a user may
    /// come to see.
    pub message: u64,
}

/// Lookups that both the rules and queries need.
pub trait Lookup {
    /// What a failing lookup reports.
    type Error;

    /// The account of that id, deleted or not.
    ///
    /// # Errors
    /// Storage failed.
    fn user(&self, id: u64) -> Result<Option<Rc<User>>, Self::Error>;

    /// Id of the live account of that name.
    ///
    /// # Errors
    /// Storage failed.
    fn user_named(&self, name: &str) -> Result<Option<u64>, Self::Error>;

    /// Id of the one live account that is found by this key; none if several are.
    ///
    /// # Errors
    /// Storage failed.
    fn user_folded(&self, fold: &str) -> Result<Option<u64>, Self::Error>;

    /// The conversation of that id.
    ///
    /// # Errors
    /// Storage failed.
    fn conversation(&self, id: u64) -> Result<Option<Rc<Conversation>>, Self::Error>;

    /// Id of the direct conversation of two users, in either order (twice the same: a notebook).
    ///
    /// # Errors
    /// Storage failed.
    fn direct(&self, one: u64, other: u64) -> Result<Option<u64>, Self::Error>;

    /// Id of the conversation whose text id this is.
    ///
    /// # Errors
    /// Storage failed.
    fn labelled(&self, legacy_id: &str) -> Result<Option<u64>, Self::Error>;
}

/// What apply works on: one transaction's view of the state.
pub trait State: Lookup {
    /// The ids that the next rows get.
    fn next_ids(&self) -> NextIds;

    /// Whether a name of one of these keys is somebody's, or was until after this moment (milliseconds since 1970).
    ///
    /// # Errors
    /// Storage failed.
    fn is_name_held(&self, fold: &str, skeleton: &str, since_ms: u64) -> Result<bool, Self::Error>;

    /// Number of the newest message that a conversation ever had; 0 if none, or no such conversation.
    ///
    /// # Errors
    /// Storage failed.
    fn last_number(&self, conversation: u64) -> Result<u64, Self::Error>;

    /// Who sent a message; `None` if it is deleted or was never sent.
    ///
    /// # Errors
    /// Storage failed.
    fn sender(&self, conversation: u64, number: u64) -> Result<Option<u64>, Self::Error>;

    /// How far a member has come; nowhere if no member.
    ///
    /// # Errors
    /// Storage failed.
    fn standing(&self, conversation: u64, user: u64) -> Result<Standing, Self::Error>;

    /// Everybody who is in a conversation with a user, the user included, by rising id.
    ///
    /// # Errors
    /// Storage failed.
    fn acquaintances(&self, user: u64) -> Result<Vec<u64>, Self::Error>;

    /// The device of that id, revoked or not.
    ///
    /// # Errors
    /// Storage failed.
    fn device(&self, id: u64) -> Result<Option<Device>, Self::Error>;

    /// Ids of a user's devices that are logged in, the one that has been silent longest first.
    ///
    /// # Errors
    /// Storage failed.
    fn live_devices(&self, user: u64) -> Result<Vec<u64>, Self::Error>;

    /// Ids of a user's devices that are logged out, without the newest `kept`, oldest logout first, at most `at_once`.
    ///
    /// # Errors
    /// Storage failed.
    fn long_revoked_devices(&self, user: u64, kept: usize, at_once: usize) -> Result<Vec<u64>, Self::Error>;

    /// The tokens of a device by rising rank.
    ///
    /// # Errors
    /// Storage failed.
    fn tokens(&self, device: u64) -> Result<Vec<Token>, Self::Error>;

    /// Whether any device has that token.
    ///
    /// # Errors
    /// Storage failed.
    fn is_token(&self, hash: &[u8; 32]) -> Result<bool, Self::Error>;

    /// How far a writer has come; `None` if it never wrote.
    ///
    /// # Errors
    /// Storage failed.
    fn position(&self, device: u64) -> Result<Option<Position>, Self::Error>;

    /// The kept run of a device's newest epoch that holds `seq`.
    ///
    /// # Errors
    /// Storage failed.
    fn kept_run(&self, device: u64, seq: u64) -> Result<Option<KeptRun>, Self::Error>;

    /// The addresses from which clients may act for a user, the one whose time ends first first.
    ///
    /// # Errors
    /// Storage failed.
    fn addresses(&self, user: u64) -> Result<Vec<[u8; 16]>, Self::Error>;

    /// A join code by its hash.
    ///
    /// # Errors
    /// Storage failed.
    fn join_code(&self, hash: &[u8; 32]) -> Result<Option<JoinCode>, Self::Error>;

    /// Whether a node was shut out of the cluster.
    ///
    /// # Errors
    /// Storage failed.
    fn is_removed(&self, node: u64) -> Result<bool, Self::Error>;

    /// Makes one change.
    ///
    /// # Errors
    /// Storage failed.
    fn write(&mut self, change: &Change<'_>) -> Result<(), Self::Error>;
}

/// One change of the state: the row as it is afterwards. Encoded into the chained hash, so variants and fields are
/// only ever appended, and a change of an existing one is a new rule level.
///
/// `changed` is a change number: [`NextIds::message`], which moves on. At rule levels that number no changes it is 0 and
/// left out of the hash, which is then what it was before there were any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Change<'a> {
    /// A new account.
    UserAdded {
        /// Its id: [`NextIds::user`], which moves on.
        id: u64,
        /// Its name.
        name: &'a str,
        /// Its nickname.
        nickname: &'a str,
        /// Argon2id in PHC text form.
        password_hash: &'a str,
        /// Its view limit.
        view_limit: u32,
        /// When, milliseconds since 1970.
        time_ms: u64,
    },
    /// An account is gone; its password hash is forgotten, and its name rests.
    UserDeleted {
        /// Whose.
        id: u64,
        /// When, milliseconds since 1970.
        time_ms: u64,
        /// The change's number.
        #[serde(skip_serializing_if = "is_unnumbered")]
        changed: u64,
    },
    /// A new view limit.
    ViewLimitSet {
        /// Whose.
        id: u64,
        /// The limit.
        limit: u32,
        /// The change's number.
        #[serde(skip_serializing_if = "is_unnumbered")]
        changed: u64,
    },
    /// A new conversation. Read marks of its members start at 0.
    ConversationAdded {
        /// Its id: [`NextIds::conversation`], which moves on.
        id: u64,
        /// Its text id.
        legacy_id: &'a str,
        /// Its members, rising.
        members: &'a [u64],
        /// When, milliseconds since 1970.
        time_ms: u64,
        /// The change's number.
        #[serde(skip_serializing_if = "is_unnumbered")]
        changed: u64,
    },
    /// A new message.
    MessageAdded {
        /// Its id: [`NextIds::message`], which moves on.
        id: u64,
        /// Where.
        conversation: u64,
        /// Its number there: one above the last, which moves on.
        number: u64,
        /// Who sent it.
        sender: u64,
        /// When, milliseconds since 1970.
        time_ms: u64,
        /// What it says.
        text: &'a str,
        /// Which writer wrote it: kept for good, so that a late resend is recognised.
        writer: Writer,
        /// Under which sequence number.
        seq: u64,
    },
    /// A message is deleted: its row stays without the text.
    MessageDeleted {
        /// Where.
        conversation: u64,
        /// Which.
        number: u64,
        /// The change's number.
        #[serde(skip_serializing_if = "is_unnumbered")]
        changed: u64,
    },
    /// A higher read mark, at rule levels that number no changes.
    ReadMarkRaised {
        /// Where.
        conversation: u64,
        /// Whose.
        user: u64,
        /// The mark.
        upto: u64,
    },
    /// A join code is valid.
    CodeAdded {
        /// Its hash.
        hash: &'a [u8; 32],
        /// Until when, milliseconds since 1970.
        expires_ms: u64,
    },
    /// A join code is used up.
    CodeUsed {
        /// Its hash.
        hash: &'a [u8; 32],
        /// By whom.
        node: u64,
    },
    /// Join codes that expired before this moment are forgotten.
    CodesForgotten {
        /// Milliseconds since 1970.
        expired_before_ms: u64,
    },
    /// A writer has come further. A higher epoch than before forgets all outcomes kept for the device.
    WriterMoved {
        /// Which.
        writer: Writer,
        /// The last sequence number applied.
        last_seq: u64,
        /// The outcomes to keep: of `kept_count` numbers from `kept_first`, postcard. Empty if there are none.
        kept: &'a [u8],
        /// Sequence number of the first of them.
        kept_first: u64,
        /// How many.
        kept_count: u32,
    },
    /// A node is shut out of the cluster.
    NodeRemoved {
        /// Its id.
        node: u64,
        /// What it was called.
        name: &'a str,
        /// Name of the server on which an operator asked for it.
        by: &'a str,
        /// When, milliseconds since 1970.
        time_ms: u64,
    },
    /// Higher marks.
    MarksRaised {
        /// Where.
        conversation: u64,
        /// Whose.
        user: u64,
        /// Of what is on a device, not below the other.
        delivered: u64,
        /// Of what was read.
        read: u64,
        /// The change's number.
        changed: u64,
    },
    /// A member has emptied the own view.
    ViewCleared {
        /// Of which conversation.
        conversation: u64,
        /// Whose.
        user: u64,
        /// Number of the last message that is gone from it.
        upto: u64,
        /// The change's number.
        changed: u64,
    },
    /// A new nickname.
    NicknameSet {
        /// Whose.
        id: u64,
        /// The nickname.
        nickname: &'a str,
        /// The change's number.
        changed: u64,
    },
    /// A new password.
    PasswordSet {
        /// Whose.
        id: u64,
        /// Argon2id in PHC text form.
        password_hash: &'a str,
    },
    /// A new device.
    DeviceAdded {
        /// Its id.
        id: u64,
        /// Whose.
        user: u64,
        /// What it calls itself.
        name: &'a str,
        /// When, milliseconds since 1970.
        time_ms: u64,
    },
    /// A device has logged in again.
    DeviceSeen {
        /// Which.
        id: u64,
        /// What it calls itself now, if it said so.
        name: Option<&'a str>,
        /// When, milliseconds since 1970.
        time_ms: u64,
    },
    /// A device is logged out for good. Its tokens, its place as a writer and its kept outcomes go.
    DeviceRevoked {
        /// Which.
        id: u64,
        /// Whose.
        user: u64,
        /// When, milliseconds since 1970.
        time_ms: u64,
        /// Told to whoever is connected as the device. Not stored, and so no part of the hash over the changes.
        #[serde(skip_serializing)]
        why: Revocation,
    },
    /// A token takes a role, a new one or one that is there.
    TokenSet {
        /// Of which device.
        device: u64,
        /// Its hash.
        hash: &'a [u8; 32],
        /// The role.
        role: TokenRole,
        /// Its new rank.
        rank: u64,
    },
    /// A token is forgotten.
    TokenDropped {
        /// Its hash.
        hash: &'a [u8; 32],
    },
    /// Clients at an address may act for a user.
    AddressBound {
        /// IPv6; an IPv4 address is mapped into it.
        address: &'a [u8; 16],
        /// Whose.
        user: u64,
        /// Until when, milliseconds since 1970.
        until_ms: u64,
    },
    /// They may no more.
    AddressFreed {
        /// Which.
        address: &'a [u8; 16],
        /// Whose.
        user: u64,
    },
    /// Nor may those whose time ended before this moment.
    AddressesExpired {
        /// Milliseconds since 1970.
        before_ms: u64,
    },
    /// A device that is logged out is forgotten.
    DeviceForgotten {
        /// Its id.
        id: u64,
        /// Its user.
        user: u64,
    },
    /// A user name has its keys.
    NameKeysSet {
        /// Whose.
        id: u64,
        /// What it is found by.
        fold: &'a str,
        /// What it looks like.
        skeleton: &'a str,
        /// What a search compares.
        search: &'a str,
    },
    /// A nickname has its key.
    NicknameKeySet {
        /// Whose.
        id: u64,
        /// What a search compares.
        search: &'a str,
    },
}

/// Whether a change number says that there is none.
fn is_unnumbered(changed: &u64) -> bool {
    *changed == 0
}
