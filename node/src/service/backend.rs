//! What both dialects stand on: the cluster, the state, and the password thread.

use std::future::Future;

use tokio::sync::oneshot;
use wire::replication::command::{Command, Outcome};
use wire::replication::rpc::Whisper;

use super::passwords::Passwords;
use crate::chat::state::Lookup;
use crate::raft::propose::{ProposeError, Ticket};
use crate::raft::read::Freshness;
use crate::storage::Queries;
use crate::storage::query::{QueryError, StateReader};

/// The cluster, as the service needs it: tests put their own in place of consensus.
pub(crate) trait Cluster: Clone + Send + Sync + 'static {
    /// Queues one write; see [`crate::raft::propose::Proposer::submit`].
    fn submit(&self, command: &Command<'_>, ticket: Ticket) -> Result<(), ProposeError>;

    /// Waits until reads see everything acknowledged before; see [`crate::raft::read::Reads::barrier`].
    fn barrier(&self) -> impl Future<Output = Freshness> + Send;

    /// The newest rules that every voter knows: a write of a higher level would be refused.
    fn rules(&self) -> u16;

    /// The members of the cluster, for clients.
    fn nodes(&self) -> Vec<NodeAddress>;

    /// Tells the other nodes something that is never stored.
    fn whisper(&self, whispers: Vec<Whisper>);
}

/// A member of the cluster, as clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeAddress {
    pub(crate) name: String,
    /// `HOST:PORT`.
    pub(crate) address: String,
    pub(crate) leader: bool,
}

/// What a request works with.
#[derive(Debug, Clone)]
pub(crate) struct Backend<C> {
    pub(super) cluster: C,
    pub(super) queries: Queries,
    pub(super) passwords: Passwords,
}

/// Why a read has no answer.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The account does not exist any more.
    Gone,
    /// The query.
    Query(QueryError),
}

impl From<QueryError> for ReadError {
    fn from(error: QueryError) -> ReadError {
        ReadError::Query(error)
    }
}

/// What was read, and whether it may be old because no quorum vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read<T> {
    pub(crate) value: T,
    pub(crate) stale: bool,
}

impl<C: Cluster> Backend<C> {
    /// Reads for `user`, who must still have an account. The query is told whether what it sees may be old.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        user: u64,
        query: impl FnOnce(&StateReader, bool) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<Read<T>, ReadError> {
        let stale = self.cluster.barrier().await == Freshness::Stale;
        let value = self
            .queries
            .run(move |reader| {
                let gone = match reader.user(user)? {
                    Some(account) => !account.live,
                    // Without a quorum this node may not have heard of the account yet.
                    None => !stale,
                };
                if gone { Ok(None) } else { query(reader, stale).map(Some) }
            })
            .await?;
        Ok(Read { value: value.ok_or(ReadError::Gone)?, stale })
    }

    /// Proposes a write and waits for what comes of it.
    pub(super) async fn write(&self, command: &Command<'_>) -> Result<Outcome, ProposeError> {
        let (done, outcome) = oneshot::channel();
        self.cluster.submit(command, Ticket::Waiter(done))?;
        outcome.await.unwrap_or(Err(ProposeError::Stopping))
    }
}
