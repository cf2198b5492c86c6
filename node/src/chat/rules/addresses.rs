//! From which addresses clients of the original's gRPC package may act for whom. They carry no token and open a new
//! connection whenever they like, so that the address they come from is all there is to know them by.

use wire::limits::ADDRESSES_PER_USER_MAX;
use wire::replication::command::{Outcome, Refusal};

use super::{Context, No, Ruling, live};
use crate::chat::state::{Change, State};

pub(super) fn bind<S: State>(state: &mut S, at: Context, user: u64, address: &[u8; 16], for_ms: u64) -> Ruling<S> {
    let Some(until_ms) = at.time_ms.checked_add(for_ms).filter(|&until| until > at.time_ms) else {
        return Err(No::Refused(Refusal::Malformed));
    };
    live(state, user)?;
    state.write(&Change::AddressesExpired { before_ms: at.time_ms })?;
    let bound = state.addresses(user)?;
    // The one that would end first makes room.
    if !bound.contains(address)
        && let Some(first) = bound.first().filter(|_| bound.len() >= ADDRESSES_PER_USER_MAX)
    {
        state.write(&Change::AddressFreed { address: first, user })?;
    }
    state.write(&Change::AddressBound { address, user, until_ms })?;
    Ok(Outcome::Done)
}

/// Nobody may act for a user any more only because of where they are.
pub(super) fn free_all<S: State>(state: &mut S, user: u64) -> Result<(), S::Error> {
    for address in state.addresses(user)? {
        state.write(&Change::AddressFreed { address: &address, user })?;
    }
    Ok(())
}
