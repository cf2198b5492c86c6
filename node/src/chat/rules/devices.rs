//! Where people are logged in, with which tokens, and what is written from there.
//!
//! A device has one *current* token. To resume with it makes a *pending* successor, which the reply carries; both are good
//! until the successor is used, because only that shows that the reply has arrived. So a lost reply locks nobody out, and
//! several in a row leave several successors beside each other: which of them arrived, nobody knows before one is used. It
//! then becomes the current one, and all others are *retired*. Whoever shows a retired token shows that two hold the
//! device's tokens, its owner and somebody else, and nobody can tell which is which: the device is logged out. One thing
//! can be told: a request that lay somewhere on the way while its sender went on has the *life* of who was given the newest
//! token, a number that a program draws at its start and that is on nobody's disk.

use wire::limits::{DEVICE_NAME_BYTES_MAX, DEVICES_PER_USER_MAX};
use wire::replication::command::{Command, Outcome, RULE_LEVEL_FORGETS, Refusal, Writer};

use super::{Context, No, Ruling, live};
use crate::chat::apply::kept_outcome;
use crate::chat::dedup::{self, Verdict};
use crate::chat::state::{Change, Revocation, State, Token, TokenRole};
use crate::limits::{DEVICES_FORGOTTEN_AT_ONCE, PENDING_TOKENS_MAX, RETIRED_TOKENS_MAX, REVOKED_DEVICES_KEPT};

/// Devices count their writes once in their life.
const EPOCH: u64 = 1;

/// A write under a device's own number.
pub(super) fn write<S: State>(state: &mut S, at: Context, device: u64, seq: u64, command: &[u8]) -> Ruling<S> {
    let owner = match state.device(device)? {
        Some(found) if found.live => found.user,
        _ => return Err(No::Refused(Refusal::DeviceGone)),
    };
    let writer = Writer { device, epoch: EPOCH };
    let position = dedup::begin(state.position(device)?, writer);
    match dedup::judge(position, EPOCH, Some(seq)) {
        Verdict::Apply => {}
        Verdict::Repeat => return Ok(kept_outcome(state, &mut None, device, seq)?),
        Verdict::Forgotten => return Err(No::Refused(Refusal::AlreadyApplied)),
        Verdict::Gap | Verdict::Stale => return Err(No::Refused(Refusal::DeviceSequenceGap)),
    }
    let outcome = match postcard::take_from_bytes::<Command<'_>>(command) {
        // Builds that know nothing above the entry's level cannot read it.
        Ok((inner, [])) if writes_for(&inner) == Some(owner) && inner.rule_level() <= at.rule_level => {
            super::apply(state, Context { writer, seq, ..at }, &inner)?
        }
        // Also [`Command::Void`]. The number is used up: the next one need not wait for a write that never can be done.
        _ => Outcome::Refused(Refusal::Malformed),
    };
    let kept = postcard::to_allocvec(std::slice::from_ref(&outcome)).expect("outcomes always encode");
    state.write(&Change::WriterMoved { writer, last_seq: seq, kept: &kept, kept_first: seq, kept_count: 1 })?;
    Ok(outcome)
}

/// Whose a command is that a device may number; `None` for all others.
fn writes_for(command: &Command<'_>) -> Option<u64> {
    match *command {
        Command::Send { user, .. }
        | Command::SendTo { user, .. }
        | Command::DeleteMessages { user, .. }
        | Command::ClearView { user, .. }
        | Command::SetNickname { user, .. }
        | Command::SetNicknameKeyed { user, .. }
        | Command::SendToAccount { user, .. }
        | Command::SetViewLimit { user, .. } => Some(user),
        _ => None,
    }
}

pub(super) fn add<S: State>(
    state: &mut S,
    at: Context,
    user: u64,
    (device, name): (u64, &str),
    token_hash: Option<&[u8; 32]>,
) -> Ruling<S> {
    if device == 0 || name.len() > DEVICE_NAME_BYTES_MAX {
        return Err(No::Refused(Refusal::Malformed));
    }
    live(state, user)?;
    // Nodes are writers too, under ids from the same space.
    if state.device(device)?.is_some() || state.position(device)?.is_some() {
        return Err(No::Refused(Refusal::DeviceExists));
    }
    refuse_known_token(state, token_hash)?;
    let devices = state.live_devices(user)?;
    let too_many = (devices.len() + 1).saturating_sub(DEVICES_PER_USER_MAX);
    for &silent in &devices[..too_many] {
        log_out(state, at, user, silent, Revocation::MadeRoom)?;
    }
    state.write(&Change::DeviceAdded { id: device, user, name, time_ms: at.time_ms })?;
    if let Some(hash) = token_hash {
        state.write(&Change::TokenSet { device, hash, role: TokenRole::Current, rank: 1 })?;
    }
    Ok(Outcome::DeviceAdded { device })
}

pub(super) fn login<S: State>(
    state: &mut S,
    at: Context,
    user: u64,
    (device, name): (u64, &str),
    token_hash: Option<&[u8; 32]>,
) -> Ruling<S> {
    if name.len() > DEVICE_NAME_BYTES_MAX {
        return Err(No::Refused(Refusal::Malformed));
    }
    live(state, user)?;
    refuse_unless_theirs(state, user, device)?;
    refuse_known_token(state, token_hash)?;
    for token in state.tokens(device)? {
        state.write(&Change::TokenDropped { hash: &token.hash })?;
    }
    if let Some(hash) = token_hash {
        state.write(&Change::TokenSet { device, hash, role: TokenRole::Current, rank: 1 })?;
    }
    state.write(&Change::DeviceSeen { id: device, name: Some(name), time_ms: at.time_ms })?;
    Ok(Outcome::DeviceAdded { device })
}

pub(super) fn resume<S: State>(
    state: &mut S,
    at: Context,
    device: u64,
    (old_hash, new_hash): (&[u8; 32], &[u8; 32]),
    life: Option<&[u8; 32]>,
) -> Ruling<S> {
    let user = match state.device(device)? {
        Some(found) if found.live => found.user,
        Some(_) => return Err(No::Refused(Refusal::DeviceGone)),
        None => return Err(No::Refused(Refusal::TokenUnknown)),
    };
    let (lives, mut tokens): (Vec<_>, Vec<_>) =
        state.tokens(device)?.into_iter().partition(|token| token.role == TokenRole::Life);
    let Some(shown) = tokens.iter().find(|token| token.hash == *old_hash).copied() else {
        return Err(No::Refused(Refusal::TokenUnknown));
    };
    if shown.role == TokenRole::Retired {
        if life.is_some_and(|life| lives.iter().any(|known| known.hash == *life)) {
            return Err(No::Refused(Refusal::Overtaken));
        }
        log_out(state, at, user, device, Revocation::TokenReused)?;
        return Err(No::Refused(Refusal::TokenReused));
    }
    refuse_known_token(state, Some(new_hash))?;

    let mut rank = tokens.last().map_or(0, |newest| newest.rank);
    let mut set = |state: &mut S, token: &mut Token, role| {
        rank += 1;
        (token.role, token.rank) = (role, rank);
        state.write(&Change::TokenSet { device, hash: &token.hash, role, rank })
    };
    if shown.role == TokenRole::Pending {
        for token in &mut tokens {
            if token.hash == *old_hash {
                set(state, token, TokenRole::Current)?;
            } else if token.role != TokenRole::Retired {
                set(state, token, TokenRole::Retired)?;
            }
        }
    } else {
        let pending = tokens.iter().filter(|token| token.role == TokenRole::Pending).count();
        if pending >= PENDING_TOKENS_MAX
            && let Some(oldest) = tokens.iter_mut().find(|token| token.role == TokenRole::Pending)
        {
            set(state, oldest, TokenRole::Retired)?;
        }
    }
    set(state, &mut Token { hash: *new_hash, role: TokenRole::Pending, rank: 0 }, TokenRole::Pending)?;

    let mut retired: Vec<Token> = tokens.into_iter().filter(|token| token.role == TokenRole::Retired).collect();
    retired.sort_unstable_by_key(|token| token.rank);
    for token in &retired[..retired.len().saturating_sub(RETIRED_TOKENS_MAX)] {
        state.write(&Change::TokenDropped { hash: &token.hash })?;
    }
    for former in lives.iter().filter(|known| Some(&known.hash) != life) {
        state.write(&Change::TokenDropped { hash: &former.hash })?;
    }
    if let Some(hash) = life {
        state.write(&Change::TokenSet { device, hash, role: TokenRole::Life, rank: 0 })?;
    }
    state.write(&Change::DeviceSeen { id: device, name: None, time_ms: at.time_ms })?;
    Ok(Outcome::Resumed { user })
}

pub(super) fn revoke<S: State>(state: &mut S, at: Context, user: u64, device: u64) -> Ruling<S> {
    refuse_unless_theirs(state, user, device)?;
    log_out(state, at, user, device, Revocation::Asked)?;
    Ok(Outcome::Done)
}

/// Logs out all devices of a user, except one to be kept.
pub(super) fn revoke_all<S: State>(
    state: &mut S,
    at: Context,
    user: u64,
    keep: Option<u64>,
    why: Revocation,
) -> Result<(), S::Error> {
    for id in state.live_devices(user)? {
        if Some(id) != keep {
            log_out(state, at, user, id, why)?;
        }
    }
    Ok(())
}

/// Logs a device out. Its row stays for a while, so that whoever comes back with it hears why it is refused; the oldest such
/// rows go, or one account that logs in and out again could fill every server. Ids are random: one that was forgotten does
/// not come back by itself.
fn log_out<S: State>(state: &mut S, at: Context, user: u64, id: u64, why: Revocation) -> Result<(), S::Error> {
    state.write(&Change::DeviceRevoked { id, user, time_ms: at.time_ms, why })?;
    if at.rule_level >= RULE_LEVEL_FORGETS {
        for id in state.long_revoked_devices(user, REVOKED_DEVICES_KEPT, DEVICES_FORGOTTEN_AT_ONCE)? {
            state.write(&Change::DeviceForgotten { id, user })?;
        }
    }
    Ok(())
}

fn refuse_unless_theirs<S: State>(state: &S, user: u64, device: u64) -> Result<(), No<S::Error>> {
    match state.device(device)? {
        Some(found) if found.live && found.user == user => Ok(()),
        _ => Err(No::Refused(Refusal::DeviceGone)),
    }
}

/// Tokens are random; the same one twice comes of a broken node.
fn refuse_known_token<S: State>(state: &S, hash: Option<&[u8; 32]>) -> Result<(), No<S::Error>> {
    match hash {
        Some(hash) if state.is_token(hash)? => Err(No::Refused(Refusal::Malformed)),
        _ => Ok(()),
    }
}
