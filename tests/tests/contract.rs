//! The real node keeps what the client library was tested against.

use contract::Place;
use tests::cluster::Cluster;
use wire::codec::Codec;

#[test]
fn a_node_keeps_what_clients_rely_on_with_a_majority_and_without() {
    for codec in Codec::CHAT {
        let cluster = Cluster::start(3);
        let place = Place { address: cluster.nodes[0].address(), codec };
        let known = contract::with_a_majority(place).unwrap();
        cluster.kill_together(&[1, 2]);
        contract::without_a_majority(place, &known).unwrap();
        cluster.start_together(&[1, 2]);
        cluster.wait_voters(3);
        contract::again_with_a_majority(place, &known).unwrap();
        cluster.stop();
    }
}
