//! Replicas compared while they run: equal at equal entries, or somebody stops.
//!
//! Every node tells the others the hashes of its state at entries where all keep one, and behind the last entry that it has
//! applied. Where two differ, the one that differs from a majority of the voters is wrong and stops. With no such
//! majority nobody can tell; then the follower that differs from its leader stops, and all say so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use wire::replication::rpc::PeerRequest;

use super::leader::Leadership;
use crate::limits::{CALL_TIMEOUT, COMPARISON_PATIENCE, COMPARISON_PAUSE, COMPARISON_REPEAT, STATE_HASHES_KEPT};
use crate::quic::peer::Lane;
use crate::storage::hashes::{Hashes, Place};
use crate::storage::trouble::DAMAGED;

/// What the others have told last.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(Arc<Mutex<BTreeMap<u64, Vec<Place>>>>);

impl Told {
    /// A node has told its hashes.
    pub(super) fn note(&self, from: u64, mut places: Vec<Place>) {
        places.truncate(STATE_HASHES_KEPT + 1);
        self.lock().insert(from, places);
    }

    fn of(&self, keep: impl Fn(u64) -> bool) -> BTreeMap<u64, Vec<Place>> {
        let mut told = self.lock();
        told.retain(|&node, _| keep(node));
        told.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Vec<Place>>> {
        self.0.lock().expect("nobody panics while holding this lock")
    }
}

/// Two replicas that differ.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    /// The newest entry where that shows.
    index: u64,
    /// Members whose hash is another one than ours.
    others: BTreeSet<u64>,
    /// Whether a majority of the voters agrees, and with whom.
    majority: Option<Majority>,
}

#[derive(Debug, PartialEq, Eq)]
enum Majority {
    /// It agrees with this node.
    Ours,
    /// It agrees on another hash.
    Theirs,
}

fn compare(me: u64, mine: &[Place], told: &BTreeMap<u64, Vec<Place>>, voters: &[u64]) -> Option<Difference> {
    mine.iter().rev().find_map(|&(index, hash)| {
        let of = |node: u64| -> Option<[u8; 32]> {
            if node == me {
                return Some(hash);
            }
            let places = told.get(&node)?;
            places.iter().find(|(other, _)| *other == index).map(|(_, hash)| *hash)
        };
        let others: BTreeSet<u64> =
            told.keys().copied().filter(|&node| of(node).is_some_and(|other| other != hash)).collect();
        if others.is_empty() {
            return None;
        }
        let mut counts = BTreeMap::<[u8; 32], usize>::new();
        for hash in voters.iter().filter_map(|&voter| of(voter)) {
            *counts.entry(hash).or_default() += 1;
        }
        let agreed = counts.into_iter().find(|(_, count)| *count > voters.len() / 2).map(|(hash, _)| hash);
        let majority = agreed.map(|agreed| if agreed == hash { Majority::Ours } else { Majority::Theirs });
        Some(Difference { index, others, majority })
    })
}

/// Tells and compares until consensus ends.
pub(super) async fn keep_comparing(leadership: Leadership, hashes: Hashes, told: Told) {
    let me = leadership.node();
    let introductions = leadership.introductions().clone();
    let (mut last_told, mut last_time) = (Vec::new(), Instant::now());
    let mut since: Option<Instant> = None;
    let mut flagged = BTreeSet::new();
    loop {
        tokio::time::sleep(COMPARISON_PAUSE).await;
        let mine = hashes.places();
        let members = leadership.members();
        if mine != last_told || last_time.elapsed() >= COMPARISON_REPEAT {
            (last_told, last_time) = (mine.clone(), Instant::now());
            for (member, _) in members.iter().filter(|(member, _)| member.id != me) {
                let Some(peer) = leadership.peers().find(member.id).filter(|peer| peer.is_connected()) else {
                    continue;
                };
                let places = mine.clone();
                tokio::spawn(async move {
                    // Lost: the next one tells the same and more.
                    let _ = peer.call(Lane::Control, &PeerRequest::States { places }, CALL_TIMEOUT).await;
                });
            }
        }
        let others = told.of(|node| members.iter().any(|(member, _)| member.id == node));
        let voters: Vec<u64> = members.iter().filter(|(_, voter)| *voter).map(|(member, _)| member.id).collect();
        let found = compare(me, &mine, &others, &voters);
        let differing = found.as_ref().map(|found| found.others.clone()).unwrap_or_default();
        for healed in flagged.difference(&differing) {
            introductions.set_trouble(*healed, None);
        }
        flagged.retain(|member| differing.contains(member));
        let Some(Difference { index, majority, .. }) = found else {
            since = None;
            continue;
        };
        let first = *since.get_or_insert_with(Instant::now);
        if majority == Some(Majority::Theirs) {
            introductions.verdict().pass(format!(
                "its state at entry {index} differs from that of the other servers, who agree with each other; {DAMAGED}"
            ));
            return;
        }
        // The third may not have told yet.
        if majority.is_none() && first.elapsed() < COMPARISON_PATIENCE {
            continue;
        }
        for &member in differing.difference(&flagged.clone()) {
            let name = members.iter().find(|(other, _)| other.id == member).map_or("?", |(other, _)| &other.name);
            let trouble = format!("its state differs from that of this server at entry {index}");
            tracing::error!(peer = format_args!("{member:016x}"), server = name, trouble, "replicas differ");
            introductions.set_trouble(member, Some(trouble));
            flagged.insert(member);
        }
        let leader = leadership.leader().filter(|&leader| leader != me);
        if majority.is_none() && leader.is_some_and(|leader| differing.contains(&leader)) {
            introductions.verdict().pass(format!(
                "its state at entry {index} differs from that of the leader, and no majority says which of them is right. \
                 Keep the data directories of both. If what the leader shows is right, move this one away, let this server \
                 join as a new one with the line that `node join-code` prints there, and remove the old one with `node \
                 members remove`"
            ));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOTERS: [u64; 3] = [1, 2, 3];

    fn told(rows: &[(u64, u64, u8)]) -> BTreeMap<u64, Vec<Place>> {
        let mut told = BTreeMap::<u64, Vec<Place>>::new();
        for &(node, index, hash) in rows {
            told.entry(node).or_default().push((index, [hash; 32]));
        }
        told
    }

    fn check(others: &[(u64, u64, u8)], expected: Option<(u64, &[u64], Option<Majority>)>) {
        let found = compare(1, &[(256, [5; 32]), (300, [6; 32])], &told(others), &VOTERS);
        let expected = expected.map(|(index, nodes, majority)| Difference {
            index,
            others: nodes.iter().copied().collect(),
            majority,
        });
        assert_eq!(found, expected, "{others:?}");
    }

    #[test]
    fn only_equal_entries_are_compared_and_a_majority_decides() {
        check(&[], None);
        check(&[(2, 256, 5), (3, 256, 5)], None);
        check(&[(2, 257, 9), (3, 512, 9)], None);
        check(&[(2, 256, 9)], Some((256, &[2], None)));
        check(&[(2, 256, 9), (3, 256, 8)], Some((256, &[2, 3], None)));
        check(&[(2, 256, 9), (3, 256, 9)], Some((256, &[2, 3], Some(Majority::Theirs))));
        check(&[(2, 256, 9), (3, 256, 5)], Some((256, &[2], Some(Majority::Ours))));
        check(&[(2, 256, 5), (2, 300, 9), (3, 300, 9)], Some((300, &[2, 3], Some(Majority::Theirs))));
        // A learner is not asked, but told of.
        check(&[(2, 256, 5), (7, 256, 9)], Some((256, &[7], Some(Majority::Ours))));
    }
}
