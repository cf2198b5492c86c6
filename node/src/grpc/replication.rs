//! Package `replication`: what the original's clients ask to find all servers, and what its servers said to each other.
//! Told is what is so; nothing is changed.

use std::collections::HashMap;

use proto::replication as pb;
use tonic::{Request, Response, Status};

use crate::raft::leader::Leadership;
use crate::service::Whom;

/// What an observer says it is; whoever says something else wants to change something.
const OBSERVERS: [&str; 3] = ["", "client", "follower"];

/// Tells observers.
pub(super) struct Observer {
    leadership: Leadership,
    whom: Whom,
}

type Reply<T> = Result<Response<T>, Status>;

impl Observer {
    pub(super) fn new(leadership: Leadership, whom: Whom) -> Observer {
        Observer { leadership, whom }
    }

    /// All members, the leader's name and the term.
    fn state(&self) -> (Vec<pb::ServerInfo>, String, i64) {
        let leader = self.leadership.leader();
        let (role, term) = self.leadership.role();
        let mut leader_id = String::new();
        let servers = self.leadership.members().into_iter().map(|(member, _)| {
            let role = if leader == Some(member.id) {
                leader_id.clone_from(&member.name);
                "leader"
            } else if member.id == self.leadership.node() {
                original_role(role)
            } else {
                "follower"
            };
            pb::ServerInfo { server_id: member.name, address: member.address, role: role.to_owned() }
        });
        let servers = servers.collect();
        (servers, leader_id, signed(term))
    }
}

/// The original knew three roles.
fn original_role(role: &str) -> &str {
    match role {
        "leader" | "candidate" => role,
        _ => "follower",
    }
}

fn signed(term: u64) -> i64 {
    i64::try_from(term).unwrap_or(i64::MAX)
}

#[tonic::async_trait]
impl pb::replication_service_server::ReplicationService for Observer {
    async fn heartbeat(&self, request: Request<pb::HeartbeatRequest>) -> Reply<pb::HeartbeatResponse> {
        let pb::HeartbeatRequest { role, .. } = request.into_inner();
        if !OBSERVERS.contains(&role.as_str()) {
            return Err(Status::permission_denied(
                "servers of this cluster elect their leader among themselves: nobody becomes one by a heartbeat",
            ));
        }
        let (role, term) = self.leadership.role();
        Ok(Response::new(pb::HeartbeatResponse {
            success: true,
            server_id: self.whom.node.clone(),
            term: signed(term),
            role: original_role(role).to_owned(),
        }))
    }

    async fn replicate_operation(&self, _: Request<pb::OperationRequest>) -> Reply<pb::OperationResponse> {
        Err(Status::permission_denied("servers of this cluster replicate a log: nothing is written by this call"))
    }

    async fn join_network(&self, request: Request<pb::JoinRequest>) -> Reply<pb::JoinResponse> {
        let pb::JoinRequest { server_id, address } = request.into_inner();
        let (servers, leader_id, term) = self.state();
        if !servers.iter().any(|server| server.server_id == server_id && server.address == address) {
            return Err(Status::permission_denied(
                "servers join this cluster with `node --peers HOST:PORT --join-code CODE`; \
                 a member of it prints the line",
            ));
        }
        let server_addresses: HashMap<_, _> =
            servers.iter().map(|server| (server.server_id.clone(), server.address.clone())).collect();
        Ok(Response::new(pb::JoinResponse { success: true, servers, leader_id, term, server_addresses }))
    }

    async fn get_network_state(&self, _: Request<pb::NetworkStateRequest>) -> Reply<pb::NetworkStateResponse> {
        let (servers, leader_id, term) = self.state();
        Ok(Response::new(pb::NetworkStateResponse { servers, leader_id, term }))
    }
}
