//! Names and their keys.
//!
//! Nothing is folded here: a key is what the proposing node says it is, and is compared with what others said.

use std::rc::Rc;

use wire::limits::{NAME_KEY_BYTES_MAX, NAME_REST_MS};
use wire::replication::command::{Addressee, NameKeys, Outcome, Refusal};

use super::{Context, No, Ruling, bounded, set_nickname as set_plain_nickname, signup};
use crate::chat::state::{Change, State, User};

pub(super) fn register<S: State>(
    state: &mut S,
    at: Context,
    (name, nickname, password_hash): (&str, &str, &str),
    keys: NameKeys<'_>,
    nickname_search: &str,
) -> Ruling<S> {
    let NameKeys { fold, skeleton, search } = keys;
    if [fold, skeleton, search, nickname_search].iter().any(|key| !is_key(key)) {
        return Err(No::Refused(Refusal::Malformed));
    }
    // A name that has just lost its owner would hand letters to somebody else.
    if state.is_name_held(fold, skeleton, at.time_ms.saturating_sub(NAME_REST_MS))? {
        return Err(No::Refused(Refusal::NameTaken));
    }
    let made = signup(state, at, name, nickname, password_hash)?;
    if let Outcome::UserCreated { user: id } = made {
        state.write(&Change::NameKeysSet { id, fold, skeleton, search })?;
        state.write(&Change::NicknameKeySet { id, search: nickname_search })?;
    }
    Ok(made)
}

pub(super) fn set_nickname<S: State>(state: &mut S, at: Context, user: u64, nickname: &str, search: &str) -> Ruling<S> {
    if !is_key(search) {
        return Err(No::Refused(Refusal::Malformed));
    }
    let done = set_plain_nickname(state, at, user, nickname)?;
    state.write(&Change::NicknameKeySet { id: user, search })?;
    Ok(done)
}

/// The account that a message is for, if it lives.
pub(super) fn account_of<S: State>(state: &S, to: Addressee<'_>) -> Result<(u64, Rc<User>), No<S::Error>> {
    let found = match to {
        Addressee::Account(id) => Some(id),
        Addressee::Named { name, fold } => match state.user_named(name)? {
            Some(id) => Some(id),
            None => state.user_folded(fold)?,
        },
    };
    let account = match found {
        Some(id) => state.user(id)?.map(|account| (id, account)),
        None => None,
    };
    match (account, to) {
        (Some((id, account)), _) if account.live => Ok((id, account)),
        (Some((_, gone)), _) => Err(No::Refused(Refusal::PeerGone { name: gone.name.clone() })),
        (None, Addressee::Named { name, .. }) => Err(No::Refused(Refusal::PeerGone { name: bounded(name)? })),
        // That the asking account is gone is another refusal, which logs its device out.
        (None, Addressee::Account(_)) => Err(No::Refused(Refusal::Malformed)),
    }
}

/// A key may be empty: some names fold to nothing.
fn is_key(key: &str) -> bool {
    key.len() <= NAME_KEY_BYTES_MAX
}
