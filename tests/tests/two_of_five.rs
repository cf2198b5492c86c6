//! Five nodes lose any two at the same instant, and go on.

use tests::cluster::Cluster;
use tests::load::Load;
use tests::now;

#[test]
fn any_two_of_five_may_die_at_the_same_instant() {
    let cluster = Cluster::start(5);
    let load = Load::start(&cluster, 6);
    load.wait_for_more(50);
    let pairs = (0..5).flat_map(|one| (one + 1..5).map(move |other| [one, other]));
    for pair in pairs {
        // Whichever leads: over all pairs, two followers die, and the leader with a follower.
        let led = pair.contains(&cluster.leader());
        let killed = now();
        cluster.kill_together(&pair);
        load.wait_for_more(50);
        eprintln!("nodes {pair:?} killed (leader among them: {led}): interruption {:?}", load.interruption(killed));
        cluster.start_together(&pair);
        cluster.wait_voters(5);
    }
    load.end(&cluster);
}
