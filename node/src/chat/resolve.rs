//! The text ids that clients of the original protocol use for conversations.
//!
//! Such an id is two names joined by `_`, the one of smaller code points first. Names may contain `_` themselves, and a
//! deleted name may come back as another account, so the text alone is ambiguous. It becomes a key by being stored: a
//! conversation gets its id when it is made, unique by a suffix (`a_b_c~2`), and keeps it. A text that is not the
//! stored id of one of the user's own conversations is read as two names, one of them the user's.

use wire::replication::command::Chat;

use super::state::Lookup;

/// What a conversation named by a user turns out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A conversation the user is in.
    Existing(u64),
    /// Two people with accounts and no conversation yet.
    New {
        /// Id of the other one.
        other: u64,
    },
    /// The other side never had an account, or has it no more.
    PeerGone {
        /// Its name.
        name: String,
    },
    /// Nothing that this user is part of.
    Unknown,
}

/// The id a conversation of these two gets if nobody has taken it.
pub fn canonical_id(one: &str, other: &str) -> String {
    // Byte order of UTF-8 is code point order.
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    format!("{first}_{second}")
}

/// What `chat` means to `user`, whose name is `name`.
///
/// # Errors
/// A lookup failed.
pub fn resolve<L: Lookup>(state: &L, user: u64, name: &str, chat: Chat<'_>) -> Result<Target, L::Error> {
    let text = match chat {
        Chat::Id(id) => {
            return Ok(if is_member(state, id, user)? { Target::Existing(id) } else { Target::Unknown });
        }
        Chat::Legacy(text) => text,
    };
    if let Some(id) = state.labelled(text)?
        && is_member(state, id, user)?
    {
        return Ok(Target::Existing(id));
    }

    // At most two ways to read it: the user's name in front, or behind. An id in its proper order wins over one that
    // only works when the order is ignored.
    let behind = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('_'));
    let before = text.strip_suffix(name).and_then(|rest| rest.strip_suffix('_'));
    let mut others: Vec<&str> = behind.into_iter().chain(before).filter(|other| !other.is_empty()).collect();
    others.sort_by_key(|other| canonical_id(name, other) != text);
    for other in &others {
        if let Some(other) = state.user_named(other)? {
            return Ok(match state.direct(user, other)? {
                Some(id) => Target::Existing(id),
                None => Target::New { other },
            });
        }
    }
    Ok(match others.first() {
        Some(&gone) => Target::PeerGone { name: gone.to_owned() },
        None => Target::Unknown,
    })
}

/// The text id for a new conversation of these two: the canonical one, or the first suffix that is free.
///
/// # Errors
/// A lookup failed.
pub fn free_id<L: Lookup>(state: &L, one: &str, other: &str) -> Result<String, L::Error> {
    let wanted = canonical_id(one, other);
    if state.labelled(&wanted)?.is_none() {
        return Ok(wanted);
    }
    let mut suffix = 2u64;
    loop {
        let candidate = format!("{wanted}~{suffix}");
        if state.labelled(&candidate)?.is_none() {
            return Ok(candidate);
        }
        suffix += 1;
    }
}

fn is_member<L: Lookup>(state: &L, conversation: u64, user: u64) -> Result<bool, L::Error> {
    Ok(state.conversation(conversation)?.is_some_and(|conversation| conversation.members.contains(&user)))
}
