//! The owner of SQLite: two databases, each with its own thread.
//!
//! | file       | thread  | durability                                                                            |
//! |------------|---------|---------------------------------------------------------------------------------------|
//! | `log.db`   | `log`   | `synchronous=FULL`: what [`log::LogStore`] has answered is on disk                     |
//! | `state.db` | `apply` | `synchronous=NORMAL`: changes and applied index together, on disk after a checkpoint   |
//!
//! The state may fall behind in a power loss, never apart: its applied index is in the same transaction as the
//! changes, and the log keeps everything above the last checkpoint. Log and state never share a connection (the
//! log would then be as weak as the state) nor a file (an append would wait for apply's lock).
//!
//! Reads go over connections of their own and see the last committed transaction.

pub mod apply;
pub mod entry;
pub mod log;
pub mod query;
mod query_pool;
pub mod removals;
mod rows;
mod schema;
pub mod snapshot;
pub mod state;
mod state_copy;
mod state_tx;

pub use query_pool::Queries;
