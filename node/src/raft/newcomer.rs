//! What has to hold before a newcomer's code is used up: the code is good, nobody who runs has the newcomer's name or
//! address, and the newcomer and the leader reach each other.
//!
//! The order matters. Before the code is known to be good nothing is dialled for a stranger; before everything else holds
//! the code is not used up, so that an operator who mends what is said can use the same line again.

use wire::replication::entry::Member;
use wire::replication::join::{JoinRefusal, JoinRequest};
use wire::replication::rpc::{PeerReply, PeerRequest};

use super::leader::Leadership;
use super::membership::Doorkeeper;
use super::read::Freshness;
use crate::cluster::code::JoinCode;
use crate::cluster::{ca, takes_place_of};
use crate::config::args::spelled;
use crate::limits::{CALL_TIMEOUT, GONE_AFTER};
use crate::quic::peer::Lane;
use crate::quic::probe::ProbeError;
use crate::storage::query::StateReader;

/// What is known about a member whose place a newcomer wants.
enum Found {
    Runs,
    Gone,
    /// Not known yet, with the reason.
    Unsure(String),
}

impl Doorkeeper {
    /// On the leader: checks a newcomer, and returns the members whose place it takes.
    pub(super) async fn check(&self, request: &JoinRequest) -> Result<Vec<Member>, JoinRefusal> {
        let newcomer = &request.member;
        let again = self.look_at_code(request).await?;
        let mut replaced = Vec::new();
        for (member, _) in self.leadership.members() {
            if !takes_place_of(newcomer, request.named, &member) {
                continue;
            }
            match look_for(&self.leadership, &member).await {
                Found::Gone => replaced.push(member),
                // It was let in at an earlier attempt, when nobody stood in its way.
                _ if again => {}
                Found::Runs => return Err(JoinRefusal::Taken { name: member.name, address: member.address }),
                Found::Unsure(reason) => return Err(JoinRefusal::Busy { reason }),
            }
        }
        if !again {
            self.try_the_way(request).await?;
        }
        Ok(replaced)
    }

    /// Refuses a code that would be refused when it is used, without using it. True if this newcomer has used it before,
    /// and only the answer was lost.
    async fn look_at_code(&self, request: &JoinRequest) -> Result<bool, JoinRefusal> {
        let busy = |reason: String| JoinRefusal::Busy { reason };
        if self.reads.barrier().await == Freshness::Stale {
            return Err(busy(self.leadership.missing()));
        }
        let (path, hash) = (self.data.file("state.db"), JoinCode::hash(&request.secret));
        let code = tokio::task::spawn_blocking(move || {
            let reader = StateReader::open(&path).map_err(|error| error.to_string())?;
            reader.join_code(&hash).map_err(|error| error.to_string())
        });
        let code = code.await.map_err(|error| busy(error.to_string()))?.map_err(busy)?;
        let code = code.ok_or(JoinRefusal::CodeUnknown)?;
        if code.expires_ms <= self.clocks.stamp_ms() {
            return Err(JoinRefusal::CodeExpired);
        }
        match code.used_by {
            None => Ok(false),
            Some(node) if node == request.member.id => Ok(true),
            Some(_) => Err(JoinRefusal::CodeUsed),
        }
    }

    async fn try_the_way(&self, request: &JoinRequest) -> Result<(), JoinRefusal> {
        let address = request.member.address.clone();
        let key = ca::key_of_request(&request.csr).ok_or(JoinRefusal::BadRequest)?;
        let probed = self.leadership.peers().probe(&address, key, &self.identity.address).await;
        probed.map_err(|error| {
            let node = format_args!("{:016x}", request.member.id);
            tracing::warn!(node, name = request.member.name, address, ?error, "a newcomer cannot be let in");
            match error {
                ProbeError::Unreached(reason) => JoinRefusal::Unreached { address, reason },
                ProbeError::OneWay(reason) => JoinRefusal::OneWay {
                    name: self.identity.name.clone(),
                    address: self.identity.address.clone(),
                    reason,
                },
            }
        })
    }
}

/// Whether a member runs, as far as this node and those it has links to can tell.
async fn look_for(leadership: &Leadership, member: &Member) -> Found {
    if member.id == leadership.node() || answers(leadership, member.id).await {
        return Found::Runs;
    }
    let called = format!("a server called {} at {}", member.name, member.address);
    let gone_after = spelled(GONE_AFTER);
    let away = leadership.peers().find(member.id).and_then(|peer| peer.unreached_for());
    if away.is_none_or(|away| away < GONE_AFTER) {
        return Found::Unsure(format!(
            "{called} was there a moment ago; its place is free once it is gone for {gone_after}"
        ));
    }
    for (other, _) in leadership.members() {
        let link = leadership.peers().find(other.id).filter(|peer| peer.is_connected() && other.id != member.id);
        let Some(link) = link else { continue };
        let asked = link.call(Lane::Control, &PeerRequest::Reaches { node: member.id }, CALL_TIMEOUT).await;
        if matches!(asked, Ok(PeerReply::Reaches { linked: true })) {
            return Found::Unsure(format!("{called} is reached by {}, though not by the leader", other.name));
        }
    }
    Found::Gone
}

/// Whether a member answers a question over its link now. A link alone may be that of a process that has just died.
pub(super) async fn answers(leadership: &Leadership, member: u64) -> bool {
    let Some(peer) = leadership.peers().find(member).filter(|peer| peer.is_connected()) else { return false };
    let answer = peer.call(Lane::Control, &PeerRequest::Reaches { node: member }, CALL_TIMEOUT).await;
    matches!(answer, Ok(PeerReply::Reaches { .. }))
}
