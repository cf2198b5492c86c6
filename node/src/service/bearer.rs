//! Tokens as calls carry them: one text that names the device and proves that it is it. The token is that of the device's
//! session, and using it here does not use it up: a call has no way to hand over a successor, and calls come beside each
//! other.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use wire::chat::item::Token;
use wire::limits::TOKEN_BYTES;
use wire::session::server::Identity;

use super::backend::{Backend, Cluster};
use crate::chat::state::TokenRole;
use crate::raft::read::Freshness;
use crate::storage::query::{QueryError, StateReader};

/// What is said about a token that is not good.
pub(crate) const UNKNOWN: &str = "this token is not valid any more: log in";

/// Said of a text that cannot be a token.
pub(crate) const UNREADABLE: &str =
    "this is no token: it is sent as `authorization: Bearer DEVICE.TOKEN`, as LogIn has told it";

/// Said of a token while nobody can tell.
pub(crate) const UNCONFIRMED: &str = "without a majority this server cannot tell whether this token is valid";

/// A device and its token. Never shown in debug output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) device: u64,
    pub(crate) token: Token,
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

impl Bearer {
    /// As it is told to a client, once.
    pub(crate) fn text(&self) -> String {
        format!("{:x}.{}", self.device, data_encoding::HEXLOWER.encode(&self.token.0))
    }
}

/// The text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl FromStr for Bearer {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Bearer, Unreadable> {
        let (device, token) = text.split_once('.').ok_or(Unreadable)?;
        let device = u64::from_str_radix(device, 16).map_err(|_| Unreadable)?;
        let bytes = data_encoding::HEXLOWER.decode(token.as_bytes()).map_err(|_| Unreadable)?;
        let bytes: [u8; TOKEN_BYTES] = bytes.try_into().map_err(|_| Unreadable)?;
        Ok(Bearer { device, token: Token(bytes) })
    }
}

/// Judgement of a token that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// It is good, and this device's.
    By(Identity),
    /// It is not good, and never will be again.
    Void,
    /// This node does not know it, and no majority vouches that it should.
    Unheard,
}

impl Shown {
    /// The judgement of this node's state. What it has applied is decided for good; what it does not know may still reach it.
    pub(super) fn look(reader: &StateReader, device: u64, hash: &[u8; 32]) -> Result<Shown, QueryError> {
        let role = reader.token_role(device, hash)?;
        Ok(match (role, reader.device(device)?) {
            (_, Some(known)) if known.revoked => Shown::Void,
            (Some(TokenRole::Current | TokenRole::Pending), Some(known)) => {
                Shown::By(Identity { user: known.user, device, read_only: false })
            }
            _ => Shown::Unheard,
        })
    }
}

/// Finds out whose the token is.
///
/// A good one is taken as this node knows it. Revocations that it has not heard of are still noticed by the write that
/// comes of the call, and by nothing else; they arrive within a heartbeat.
pub(super) async fn verify<C: Cluster>(backend: &Backend<C>, bearer: Bearer) -> Result<Shown, QueryError> {
    let hash: [u8; 32] = Sha256::digest(bearer.token.0).into();
    let look = || backend.queries.run(move |reader| Shown::look(reader, bearer.device, &hash));
    match look().await? {
        Shown::Unheard => {
            // It may have been given out by another node a moment ago.
            let freshness = backend.cluster.barrier().await;
            Ok(match look().await? {
                Shown::Unheard if freshness != Freshness::Stale => Shown::Void,
                shown => shown,
            })
        }
        known => Ok(known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back_and_nothing_else_is() {
        let bearer = Bearer { device: 0x1f_ffff_ffff_ffff, token: Token([0xab; TOKEN_BYTES]) };
        let text = bearer.text();
        assert_eq!(text.parse(), Ok(bearer));
        assert!(!format!("{bearer:?}").contains("ab"));
        let long = format!("{text}00");
        for wrong in
            ["", ".", "1.", "x.ab", &text[..text.len() - 1], &long, &text.replace('.', ":"), &text.to_uppercase()]
        {
            assert_eq!(wrong.parse::<Bearer>(), Err(Unreadable), "{wrong}");
        }
    }
}
