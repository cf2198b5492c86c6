//! Who leads is told truthfully, also where nothing happens that would tell it.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::SocketAddr;
use std::time::Duration;

use proto::v2::chat_server::SERVICE_NAME;
use serde_json::json;
use tests::chat_client::{Client, leader_of};
use tests::cluster::{Cluster, Node};
use tests::{PATIENCE, now, wait_until};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use wire::chat::Event;
use wire::codec::Codec;

/// What gRPC's health checking says.
fn is_serving(address: SocketAddr) -> bool {
    let ask = async {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let request = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
        HealthClient::new(channel).check(request).await.unwrap().into_inner().status()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async { tokio::time::timeout(PATIENCE, ask).await.unwrap() });
    status == ServingStatus::Serving
}

/// The leader's name as a client is told it that connects now.
fn welcome(node: &Node) -> Option<String> {
    Client::connect(node.address(), Codec::Samira2).unwrap().leader
}

/// Reads events until the list of nodes names this leader.
#[track_caller]
fn expect_pushed(client: &mut Client, leader: Option<&str>) {
    loop {
        let told = client
            .event(|event| Ok(if let Event::Nodes(nodes) = event { Some(leader_of(&nodes.nodes)) } else { None }));
        if told.unwrap().is_some_and(|told| told.as_deref() == leader) {
            return;
        }
    }
}

#[test]
fn a_leader_that_nobody_acknowledges_does_not_say_that_it_leads() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let node = &cluster.nodes[leader];
    let mut clients = [Codec::Samira2, Codec::Json2].map(|codec| Client::connect(node.address(), codec).unwrap());
    assert!(is_serving(node.address()));
    let others = || cluster.nodes.iter().enumerate().filter(|(i, _)| *i != leader).map(|(_, node)| node);

    others().for_each(Node::freeze);
    clients.iter_mut().for_each(|client| expect_pushed(client, None));
    wait_until("the status to name no leader", || {
        node.status().is_some_and(|status| status.leader.is_none() && status.role == "candidate")
    });
    assert!(node.admin("members").unwrap()["leader"].is_null());
    assert_eq!(welcome(node), None);
    wait_until("the health to tell it", || !is_serving(node.address()));

    others().for_each(Node::thaw);
    wait_until("a leader that serves", || welcome(node).is_some() && is_serving(node.address()));
    cluster.wait_voters(3);
    cluster.stop();
}

#[test]
fn a_node_that_starts_again_tells_who_leads() {
    let cluster = Cluster::start(3);
    let leader = cluster.nodes[cluster.leader()].name.clone();
    let node = &cluster.nodes[cluster.follower()];
    node.stop();
    node.start(None);
    wait_until("the status to name the leader", || node.status().is_some_and(|it| it.leader.as_ref() == Some(&leader)));
    wait_until("the welcome to name it", || welcome(node).as_ref() == Some(&leader));
    wait_until("the health to tell it", || is_serving(node.address()));
    cluster.stop();
}

/// An idle link outlives its process for three seconds; whoever looks at the status right after a death must not be misled.
const SHOWN_WITHIN: Duration = Duration::from_millis(1500);

#[test]
fn a_killed_server_is_shown_as_not_reached_at_once() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let [dead, other] = [1, 2].map(|step| (leader + step) % 3);
    // Links that have just been made are silent for other reasons.
    cluster.settle();
    let name = &cluster.nodes[dead].name;
    cluster.nodes[dead].kill();
    let died = now();
    for place in [leader, other] {
        wait_until("the death to be shown", || {
            let status = cluster.nodes[place].admin("status").unwrap();
            let members = status["members"].as_array().unwrap();
            let away: Vec<_> = members.iter().filter(|member| member["connected"] == false).collect();
            away.len() == 1 && away[0]["name"] == **name && status["warning"].to_string().contains(&**name)
        });
    }
    assert!(died.elapsed() < SHOWN_WITHIN, "after {:?}", died.elapsed());

    cluster.nodes[leader].kill();
    let died = now();
    wait_until("the second death to be named", || {
        let status = cluster.nodes[other].admin("status").unwrap();
        status["reached"] == 1 && status["waiting_for"].to_string().contains("1 of 3 servers can be reached")
    });
    assert!(died.elapsed() < SHOWN_WITHIN, "after {:?}", died.elapsed());
    let removal = cluster.nodes[other].ask(&json!({ "command": "remove-member", "member": name }));
    let said = removal.unwrap_err().to_string();
    assert!(
        said.contains("Start them") && said.contains("If they never come back") && said.contains("keep this"),
        "{said}"
    );
    cluster.start_together(&[dead, leader]);
    cluster.wait_voters(3);
    cluster.settle();
    cluster.stop();
}
