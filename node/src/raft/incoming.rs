//! The follower's half: what openraft answers to the three Raft requests.

use openraft::Snapshot;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use wire::limits::SNAPSHOT_CHUNK_BYTES;
use wire::replication::entry::{Entry, LogId};
use wire::replication::rpc::{AppendOutcome, Datagram, PeerReply, SnapshotHeader, Vote as WireVote};

use super::flushes::Flushes;
use super::introductions::Introductions;
use super::snapshot::{SnapshotContent, meta_in};
use super::types::{Raft, entry_in, log_id_in, log_id_out, vote_in, vote_out};
use crate::quic::endpoint::Content;
use crate::storage::entry::LogEntry;
use crate::storage::snapshot::{Announced, ReceiveError, SnapshotFile, StateFiles};

pub(super) async fn vote(raft: &Raft, vote: WireVote, last_log_id: Option<LogId>) -> PeerReply {
    match raft.vote(VoteRequest::new(vote_in(vote), last_log_id.map(log_id_in))).await {
        Ok(reply) => PeerReply::Vote {
            vote: vote_out(&reply.vote),
            granted: reply.vote_granted,
            last_log_id: reply.last_log_id.as_ref().map(log_id_out),
        },
        Err(error) => PeerReply::Failed { reason: error.to_string() },
    }
}

/// Takes a heartbeat that came past the data. Its answer counts as no copy, so it waits for no disk.
///
/// openraft commits no entry that it has not matched with this leader's, so what the leader has committed can be told
/// without an entry to match first.
pub(super) async fn heartbeat(raft: &Raft, vote: WireVote, leader_commit: Option<LogId>) -> Option<Datagram> {
    let request = AppendEntriesRequest {
        vote: vote_in(vote),
        prev_log_id: None,
        leader_commit: leader_commit.map(log_id_in),
        entries: Vec::new(),
    };
    match raft.append_entries(request).await {
        Ok(AppendEntriesResponse::HigherVote(newer)) => Some(Datagram::Heard { vote: vote_out(&newer) }),
        Ok(_) => Some(Datagram::Heard { vote }),
        // openraft has ended; so will this process.
        Err(_) => None,
    }
}

/// Answered once the entries are on disk; see [`super::flushes`].
pub(super) async fn append(
    raft: &Raft,
    flushes: &Flushes,
    vote: WireVote,
    prev_log_id: Option<LogId>,
    leader_commit: Option<LogId>,
    entries: Vec<Entry<'_>>,
) -> PeerReply {
    let request = AppendEntriesRequest {
        vote: vote_in(vote),
        prev_log_id: prev_log_id.map(log_id_in),
        leader_commit: leader_commit.map(log_id_in),
        entries: entries.into_iter().map(|entry| entry_in(LogEntry::from_wire(entry))).collect(),
    };
    let answer = raft.append_entries(request).await;
    if let Err(error) = flushes.all().await {
        return PeerReply::Failed { reason: error.to_string() };
    }
    match answer {
        Ok(reply) => PeerReply::Append(match reply {
            AppendEntriesResponse::Success => AppendOutcome::Success,
            AppendEntriesResponse::PartialSuccess(upto) => AppendOutcome::Partial(upto.as_ref().map(log_id_out)),
            AppendEntriesResponse::Conflict => AppendOutcome::Conflict,
            AppendEntriesResponse::HigherVote(vote) => AppendOutcome::HigherVote(vote_out(&vote)),
        }),
        Err(error) => PeerReply::Failed { reason: error.to_string() },
    }
}

/// Answered once the state holds the copy durably, or with the reason why it is not taken.
pub(super) async fn snapshot(
    raft: &Raft,
    files: &StateFiles,
    introductions: &Introductions,
    vote: WireVote,
    header: SnapshotHeader,
    mut content: Content<'_>,
) -> PeerReply {
    let received = receive(files, &header, &mut content).await;
    // Whoever waits for this server is told to make space.
    let full =
        received.as_ref().err().filter(|error| matches!(error, ReceiveError::NoRoom(_))).map(ToString::to_string);
    introductions.set_trouble(introductions.node(), full);
    let file = match received {
        Ok(file) => file,
        Err(error) => {
            let reason = error.to_string();
            tracing::error!(reason, "a copy of the cluster's state was not taken in");
            content.abandon();
            return PeerReply::Failed { reason };
        }
    };
    let kept = file.kept();
    let snapshot = Snapshot { meta: meta_in(header), snapshot: Box::new(SnapshotContent::File(file)) };
    match raft.install_full_snapshot(vote_in(vote), snapshot).await {
        Ok(reply) => {
            // Installed by now, or not needed.
            files.release(kept);
            PeerReply::Snapshot { vote: vote_out(&reply.vote) }
        }
        Err(error) => PeerReply::Failed { reason: error.to_string() },
    }
}

/// Takes a copy from its link to the disk, and checks it.
async fn receive(
    files: &StateFiles,
    header: &SnapshotHeader,
    content: &mut Content<'_>,
) -> Result<SnapshotFile, ReceiveError> {
    let mut file = files.receive(Announced {
        bytes: header.bytes,
        sha256: header.sha256,
        applied: header.last_log_id,
        membership: (header.membership_log_id, header.membership.clone()),
    })?;
    let mut chunk = vec![0; SNAPSHOT_CHUNK_BYTES];
    let mut left = header.bytes;
    while left > 0 {
        let part = &mut chunk[..usize::try_from(left).unwrap_or(usize::MAX).min(SNAPSHOT_CHUNK_BYTES)];
        content.read_exact(part).await?;
        file.write(part)?;
        left -= part.len() as u64;
    }
    // It is read and flushed as a whole: heartbeats go on meanwhile.
    tokio::task::spawn_blocking(move || file.finish()).await.map_err(std::io::Error::other)?
}
