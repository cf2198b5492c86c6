//! The replicated chat machine: what people, conversations and messages are, and what each command does to them.
//!
//! Everything here is a function of the log. No clock, no randomness, no IO, no async and no iteration in hash order:
//! two replicas that apply the same entries hold the same rows, which [`apply`] proves to itself with a chained hash.
//! Whatever could differ between two builds or two machines (the time, password hashes, Unicode tables) was decided
//! before the command was proposed.
//!
//! Reading order:
//!
//! * [`state`]: what the rules need to look up, and the rows they may change. Storage fills it.
//! * [`apply`]: entry → outcomes, changed rows, next hash.
//! * [`rules`]: one function per command.
//! * [`dedup`]: which commands of a run are new.
//! * [`effect`]: what of it live sessions are told.
//! * [`resolve`]: the text ids that clients of the original protocol use for conversations.
//!
//! What may be a name, and which names are the same, is decided with [`wire::names`] before anything is proposed.
//!
//! Invariants:
//!
//! * User, conversation and message ids are never used twice, not even after deletion.
//! * The live messages of a conversation have distinct numbers in `1..=last_number`; order is the number, never the
//!   time.
//! * Marks never fall and never pass `last_number`; who has read has received.
//! * Every change that a user may come to see has a number of its own, rising over the whole cluster, which the changed row
//!   keeps: what is new to somebody is found in the rows (docs/adr/0012).
//! * Of each writer exactly the numbers `1..=last_seq` of its newest epoch have had their effect, each once.

pub mod apply;
pub mod dedup;
pub mod effect;
pub mod resolve;
pub mod rules;
pub mod state;

#[cfg(test)]
pub(crate) mod tests;
