//! stub
use tokio::sync::mpsc;
pub struct Parts {
    pub proposer: crate::raft::propose::Proposer,
    pub reads: crate::raft::read::Reads,
    pub queries: crate::storage::Queries,
    pub replies: crate::bridge::Replies,
    pub signup_open: bool,
}
pub fn start(
    p: Parts,
    mut t: mpsc::Receiver<crate::bridge::Turn>,
    mut c: mpsc::Receiver<Vec<crate::raft::propose::Completion>>,
) -> std::io::Result<tokio::task::AbortHandle> {
    Ok(tokio::spawn(async move {
        let _p = p;
        loop {
            tokio::select! { x = t.recv() => if x.is_none() {break}, x = c.recv() => if x.is_none() {break} }
        }
    })
    .abort_handle())
}
