//! What live sessions are told of what is applied.
//!
//! An [`Effect`] tells of one changed row and is made of the [`Change`] that made it, here and nowhere else, so every
//! dialect's writes are told alike. Effects of rows with a change number carry it, and so rise; who has taken one in may
//! keep its number as a cursor (docs/adr/0012).
//!
//! Nothing is made for people whom nobody on this node listens for, see [`Audience`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use super::state::{Change, Revocation, State};

/// What happened to one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Its change number. Where there is none ([`What::DeviceRevoked`], [`What::MembersChanged`], and everything in entries
    /// from before changes were numbered) the number of the last change before it: ids never fall.
    pub id: u64,
    /// Those who may see it, by rising id, as far as somebody on this node listens for them. Empty for
    /// [`What::MembersChanged`], which is for everybody.
    pub audience: Arc<[u64]>,
    /// What it is.
    pub what: What,
}

/// See [`Effect`].
#[derive(Clone, PartialEq, Eq)]
pub enum What {
    /// A new message.
    Message {
        /// Where.
        conversation: u64,
        /// Its number there.
        number: u64,
        /// Who sent it.
        sender: u64,
        /// When, milliseconds since 1970, UTC.
        time_ms: u64,
        /// What it says.
        text: Arc<str>,
        /// The device or node that wrote it.
        device: u64,
        /// Under which number.
        seq: u64,
    },
    /// A message was deleted.
    Deleted {
        /// Where.
        conversation: u64,
        /// Which.
        number: u64,
    },
    /// Somebody's marks have risen to these.
    Marks {
        /// Where.
        conversation: u64,
        /// Whose.
        user: u64,
        /// Messages up to this number are on a device.
        delivered: u64,
        /// Messages up to this number were read.
        read: u64,
    },
    /// Somebody has emptied the own view.
    Cleared {
        /// Of which conversation.
        conversation: u64,
        /// Whose view.
        user: u64,
        /// Number of the last message that is gone from it.
        upto: u64,
    },
    /// A conversation is new.
    Conversation {
        /// Which.
        conversation: u64,
    },
    /// Somebody has another nickname, or is gone. Told to all who are in a conversation with them, and to them.
    Person {
        /// Who.
        user: u64,
    },
    /// Somebody's own settings have changed.
    Account {
        /// Whose.
        user: u64,
    },
    /// A device was logged out.
    DeviceRevoked {
        /// Whose.
        user: u64,
        /// Which.
        device: u64,
        /// For what reason.
        why: Revocation,
    },
    /// The members of the cluster have changed.
    MembersChanged,
}

/// Without the text of messages, which belongs in no log.
impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            What::Message { conversation, number, sender, time_ms, ref text, device, seq } => f
                .debug_struct("Message")
                .field("conversation", &conversation)
                .field("number", &number)
                .field("sender", &sender)
                .field("time_ms", &time_ms)
                .field("bytes", &text.len())
                .field("device", &device)
                .field("seq", &seq)
                .finish(),
            What::Deleted { conversation, number } => write!(f, "Deleted({conversation}, {number})"),
            What::Marks { conversation, user, delivered, read } => {
                write!(f, "Marks({conversation}, {user}, {delivered}, {read})")
            }
            What::Cleared { conversation, user, upto } => write!(f, "Cleared({conversation}, {user}, {upto})"),
            What::Conversation { conversation } => write!(f, "Conversation({conversation})"),
            What::Person { user } => write!(f, "Person({user})"),
            What::Account { user } => write!(f, "Account({user})"),
            What::DeviceRevoked { user, device, why } => write!(f, "DeviceRevoked({user}, {device}, {why:?})"),
            What::MembersChanged => f.write_str("MembersChanged"),
        }
    }
}

/// What the apply thread tells, in the order of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The effects of one committed transaction, at least one.
    Effects(Vec<Effect>),
    /// Somebody began to listen for these while a transaction was under way, and has missed it: their sessions have to
    /// ask again from their cursors.
    Missed(Vec<u64>),
    /// The whole state was replaced by a snapshot: every session has to ask again from its cursor.
    Replaced,
}

/// Who is told, and for whom it is worth it.
pub struct Listener {
    /// For whom.
    pub audience: Audience,
    /// Called by the apply thread after each commit and before its outcomes are answered. While it waits nothing is
    /// applied.
    pub tell: Box<dyn Fn(Applied) + Send>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("audience", &self.audience).finish_non_exhaustive()
    }
}

/// How many sessions listen for each user.
type Counts = BTreeMap<u64, u32>;

/// The users that somebody on this node listens for, shared between sessions and the apply thread.
///
/// A session enters its user first and then asks what has happened so far: whatever it does not see in that answer, it is
/// told ([`Applied::Effects`]), or told that it has missed it ([`Applied::Missed`]).
#[derive(Debug, Clone, Default)]
pub struct Audience {
    counts: Arc<Mutex<Arc<Counts>>>,
}

impl Audience {
    /// One more session listens for `user`.
    pub fn enter(&self, user: u64) {
        let mut counts = self.lock();
        *Arc::make_mut(&mut counts).entry(user).or_insert(0) += 1;
    }

    /// One session less listens for `user`.
    pub fn leave(&self, user: u64) {
        let mut counts = self.lock();
        let counts = Arc::make_mut(&mut counts);
        if let Some(count) = counts.get_mut(&user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&user);
            }
        }
    }

    /// Who is in it now.
    pub(crate) fn present(&self) -> Present {
        Present(Arc::clone(&self.lock()))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Counts>> {
        self.counts.lock().expect("nobody panics while holding this lock")
    }
}

/// Who was in an [`Audience`] at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Present(Arc<Counts>);

impl Present {
    /// Those who were not there yet at an `earlier` moment.
    pub(crate) fn since(&self, earlier: &Present) -> Vec<u64> {
        if Arc::ptr_eq(&self.0, &earlier.0) {
            return Vec::new();
        }
        self.0.keys().filter(|user| !earlier.has(**user)).copied().collect()
    }

    fn has(&self, user: u64) -> bool {
        self.0.contains_key(&user)
    }
}

/// The effects of one transaction, as they gather.
#[derive(Debug, Default)]
pub struct Effects {
    present: Present,
    effects: Vec<Effect>,
    /// Those of the last conversation: a transaction often has many messages of one.
    members: Option<(u64, Arc<[u64]>)>,
}

impl Effects {
    pub(crate) fn new(present: Present) -> Effects {
        Effects { present, ..Effects::default() }
    }

    pub(crate) fn into_vec(self) -> Vec<Effect> {
        self.effects
    }

    /// Adds the effect of a change that was just made.
    pub(super) fn note<S: State>(&mut self, state: &S, change: &Change<'_>) -> Result<(), S::Error> {
        if self.present.0.is_empty() {
            return Ok(());
        }
        // The number of this change, if it has one.
        let id = state.next_ids().message - 1;
        let (audience, what) = match *change {
            Change::MessageAdded { conversation, number, sender, time_ms, text, writer, seq, .. } => {
                let audience = self.members(state, conversation)?;
                if audience.is_empty() {
                    return Ok(());
                }
                // A conversation from before changes were numbered comes into sight with its first message.
                if number == 1 && state.conversation(conversation)?.is_some_and(|found| found.changed == id) {
                    self.push(id, Arc::clone(&audience), What::Conversation { conversation });
                }
                let (text, device) = (text.into(), writer.device);
                (audience, What::Message { conversation, number, sender, time_ms, text, device, seq })
            }
            Change::MessageDeleted { conversation, number, .. } => {
                (self.members(state, conversation)?, What::Deleted { conversation, number })
            }
            Change::ReadMarkRaised { conversation, user, upto } => {
                let what = What::Marks { conversation, user, delivered: upto, read: upto };
                (self.members(state, conversation)?, what)
            }
            Change::MarksRaised { conversation, user, delivered, read, .. } => {
                (self.members(state, conversation)?, What::Marks { conversation, user, delivered, read })
            }
            Change::ViewCleared { conversation, user, upto, .. } => {
                (self.those(&[user]), What::Cleared { conversation, user, upto })
            }
            Change::ConversationAdded { id: conversation, members, changed, .. } if changed > 0 => {
                (self.those(members), What::Conversation { conversation })
            }
            Change::NicknameSet { id: user, .. } | Change::UserDeleted { id: user, .. } => {
                (self.those(&state.acquaintances(user)?), What::Person { user })
            }
            Change::ViewLimitSet { id: user, .. } => (self.those(&[user]), What::Account { user }),
            Change::DeviceRevoked { id: device, user, why, .. } => {
                (self.those(&[user]), What::DeviceRevoked { user, device, why })
            }
            _ => return Ok(()),
        };
        self.push(id, audience, what);
        Ok(())
    }

    /// Adds that the members of the cluster have changed.
    pub(super) fn note_membership<S: State>(&mut self, state: &S) {
        if !self.present.0.is_empty() {
            let id = state.next_ids().message - 1;
            self.effects.push(Effect { id, audience: Arc::default(), what: What::MembersChanged });
        }
    }

    fn push(&mut self, id: u64, audience: Arc<[u64]>, what: What) {
        if !audience.is_empty() {
            self.effects.push(Effect { id, audience, what });
        }
    }

    fn those(&self, users: &[u64]) -> Arc<[u64]> {
        users.iter().copied().filter(|user| self.present.has(*user)).collect()
    }

    fn members<S: State>(&mut self, state: &S, conversation: u64) -> Result<Arc<[u64]>, S::Error> {
        if let Some((same, members)) = &self.members
            && *same == conversation
        {
            return Ok(Arc::clone(members));
        }
        let found = state.conversation(conversation)?;
        let members = self.those(found.as_ref().map_or(&[], |found| &found.members));
        self.members = Some((conversation, Arc::clone(&members)));
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_present_while_a_session_listens() {
        let audience = Audience::default();
        let nobody = audience.present();
        audience.enter(7);
        audience.enter(7);
        audience.enter(9);
        let both = audience.present();
        assert_eq!(both.since(&nobody), [7, 9]);
        assert!(audience.present().since(&both).is_empty());
        audience.leave(7);
        assert!(audience.present().has(7));
        audience.leave(7);
        audience.leave(8);
        assert!(!audience.present().has(7) && audience.present().has(9));
        assert_eq!(both.since(&audience.present()), [7]);
    }

    #[test]
    fn no_text_is_shown() {
        let text = "a secret".into();
        let what = What::Message { conversation: 1, number: 2, sender: 3, time_ms: 4, text, device: 5, seq: 6 };
        let shown = format!("{:?}", Effect { id: 1, audience: Arc::default(), what });
        assert!(!shown.contains("secret") && shown.contains("bytes: 8"), "{shown}");
    }
}
