//! How far people have come in their conversations: delivered, read, cleared.

use wire::limits::ITEMS_PER_REQUEST_MAX;
use wire::replication::command::{Marks, Outcome, RULE_LEVEL_NUMBERED, Refusal};

use super::{Context, No, Ruling, change_number, live};
use crate::chat::state::{Change, Standing, State};

/// The original's clients know one mark; what they have read has arrived.
pub(super) fn mark_read<S: State>(state: &mut S, at: Context, user: u64, conversation: u64, upto: u64) -> Ruling<S> {
    live(state, user)?;
    if !is_member(state, user, conversation)? {
        return Err(No::Refused(Refusal::NoSuchConversation));
    }
    if at.rule_level >= RULE_LEVEL_NUMBERED {
        raise(state, at, user, Marks { conversation, delivered: upto, read: upto })?;
        return Ok(Outcome::Done);
    }
    let upto = upto.min(state.last_number(conversation)?);
    if upto > state.standing(conversation, user)?.read {
        state.write(&Change::ReadMarkRaised { conversation, user, upto })?;
    }
    Ok(Outcome::Done)
}

pub(super) fn mark<S: State>(state: &mut S, at: Context, user: u64, marks: &[Marks]) -> Ruling<S> {
    if marks.len() > ITEMS_PER_REQUEST_MAX {
        return Err(No::Refused(Refusal::Malformed));
    }
    live(state, user)?;
    for &marks in marks {
        if is_member(state, user, marks.conversation)? {
            raise(state, at, user, marks)?;
        }
    }
    Ok(Outcome::Done)
}

pub(super) fn clear_view<S: State>(state: &mut S, at: Context, user: u64, conversation: u64, upto: u64) -> Ruling<S> {
    live(state, user)?;
    if !is_member(state, user, conversation)? {
        return Err(No::Refused(Refusal::NoSuchConversation));
    }
    let upto = upto.min(state.last_number(conversation)?);
    if upto > state.standing(conversation, user)?.cleared {
        // Two changes with a number each: the mark is seen by all members, the view by its owner alone.
        raise(state, at, user, Marks { conversation, delivered: upto, read: upto })?;
        let changed = change_number(state, at);
        state.write(&Change::ViewCleared { conversation, user, upto, changed })?;
    }
    Ok(Outcome::Done)
}

/// Raises the marks of a member, as far as there are messages and no further down than they are.
fn raise<S: State>(state: &mut S, at: Context, user: u64, marks: Marks) -> Result<(), S::Error> {
    let Marks { conversation, delivered, read } = marks;
    let last = state.last_number(conversation)?;
    let was = state.standing(conversation, user)?;
    let read = read.min(last).max(was.read);
    let delivered = delivered.min(last).max(was.delivered).max(read);
    if (Standing { delivered, read, ..was }) != was {
        let changed = change_number(state, at);
        state.write(&Change::MarksRaised { conversation, user, delivered, read, changed })?;
    }
    Ok(())
}

fn is_member<S: State>(state: &S, user: u64, conversation: u64) -> Result<bool, S::Error> {
    Ok(state.conversation(conversation)?.is_some_and(|found| found.members.contains(&user)))
}
