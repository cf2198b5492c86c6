//! Both sides' session machines against each other, over both codecs of our own dialect, in simulated time.

mod world;

use proptest::prelude::*;
use wire::chat::{Code, FromClient, FromNode};
use wire::codec::Codec;
use wire::limits::REPLY_TIMEOUT_MS;
use wire::session::client::{State, Why};

use world::{Faults, Mode, SILENCE_MS, World};

/// Runs a scenario over both codecs: what happens is the same.
fn check(seed: u64, scenario: impl Fn(&mut World)) -> World {
    let [json, samira] = Codec::CHAT.map(|codec| {
        let mut world = World::new(seed, codec);
        scenario(&mut world);
        world
    });
    for (line, other) in json.trace.iter().zip(&samira.trace) {
        assert_eq!(line, other);
    }
    assert_eq!(json.trace.len(), samira.trace.len());
    samira
}

fn count(world: &World, ending: &str) -> usize {
    world.trace.iter().filter(|line| line.ends_with(ending)).count()
}

/// All that was asked for is done, once, in order, and told.
fn assert_done(world: &World) {
    assert_eq!(world.told.len() as u64, world.wanted);
    assert!(world.applied.iter().eq((1..=world.wanted).map(|seq| format!("text {seq}")).collect::<Vec<_>>().iter()));
    for (seq, told) in &world.told {
        assert_eq!(*told, Ok(*seq));
    }
}

#[test]
fn hello_login_and_writes() {
    for seed in 0..20 {
        let world = check(seed, |world| {
            world.wanted = 30;
            world.run_until("all told", |world| world.told.len() == 30);
        });
        assert_done(&world);
        assert_eq!(count(&world, "dial 0 Up"), 1);
    }
}

#[test]
fn an_idle_connection_is_kept_with_as_few_pings_as_can_be() {
    let hour_ms = 3_600_000;
    let world = check(1, |world| {
        world.run_until("an hour", |world| world.now.as_ms() > hour_ms);
        assert!(world.is_ready());
    });
    assert_eq!(count(&world, "dial 0 Up"), 1);
    let pings = count(&world, "client ping") as u64;
    assert!(pings.abs_diff(hour_ms / (SILENCE_MS / 2)) <= 1, "{pings} pings");
}

#[test]
fn a_frozen_node_is_left_for_another_one() {
    let world = check(2, |world| {
        world.wanted = 1;
        world.run_until("one told", |world| world.told.len() == 1);
        world.run_until("time", |world| world.now.as_ms() > 20_000);
        world.set_mode(0, Mode::Frozen);
        world.wanted = 2;
        let since = world.now;
        world.run_until("lost", |world| world.connected_to() != Some(0));
        let (waited, why) = (world.now.since(since), world.client.state());
        match why {
            State::Lost(Why::NoReply) => assert_eq!(waited, REPLY_TIMEOUT_MS),
            State::Lost(Why::Silence) => assert!(waited <= SILENCE_MS, "{waited}"),
            other => panic!("{other:?}"),
        }
        world.run_until("two told", |world| world.told.len() == 2);
        assert!(world.connected_to().is_some_and(|node| node != 0));
    });
    assert_done(&world);
}

#[test]
fn a_node_that_stops_answers_first() {
    let world = check(3, |world| {
        world.wanted = 40;
        world.run_until("some in flight", |world| world.told.len() > 4 && world.writes.in_flight() > 2);
        world.stop(0);
        world.run_until("elsewhere", |world| world.connected_to() != Some(0));
        assert_eq!(world.client.state(), State::Lost(Why::Bye(Code::Stopping)));
        world.run_until("all told", |world| world.told.len() == 40);
    });
    assert_done(&world);
}

#[test]
fn without_tls_nobody_logs_in_and_the_connection_lives_on() {
    let world = check(4, |world| {
        world.secure = false;
        world.run_until("ten minutes", |world| world.now.as_ms() > 600_000);
        assert_eq!(world.client.state(), State::Greeted);
    });
    assert_eq!(count(&world, "heard Refused { code: PlaintextRefused }"), 1);
    assert!(count(&world, "client ping") > 30);
}

#[test]
fn nonsense_ends_a_connection_and_nothing_else() {
    let frame_without_request = |codec: Codec| {
        let mut bytes = Vec::new();
        codec.encode_frame_to_vec(&FromClient { id: 1 << 40, request: None }, &mut bytes).expect("a form");
        bytes
    };
    let unknown_reply = |codec: Codec| {
        let mut bytes = Vec::new();
        codec.encode_frame_to_vec(&FromNode::Reply { re: 1 << 40, reply: None }, &mut bytes).expect("a form");
        bytes
    };
    for codec in Codec::CHAT {
        for (from_client, why) in [(true, Why::Bye(Code::Malformed)), (false, Why::Nonsense)] {
            let mut world = World::new(5, codec);
            world.wanted = 10;
            world.run_until("ready", World::is_ready);
            // What is only unknown does no harm.
            world.inject(true, &frame_without_request(codec));
            world.inject(false, &unknown_reply(codec));
            world.run_until("two told", |world| world.told.len() > 1);
            assert_eq!(world.connected_to(), Some(0));
            world.inject(from_client, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
            world.run_until("lost", |world| world.connected_to().is_none());
            assert_eq!(world.client.state(), State::Lost(why), "{codec:?}");
            world.run_until("all told", |world| world.told.len() == 10);
            assert_done(&world);
        }
    }
}

#[test]
fn without_any_node_dials_become_rare() {
    let world = check(6, |world| {
        world.run_until("ready", World::is_ready);
        (0..3).for_each(|node| world.set_mode(node, Mode::Down));
        let now = world.now;
        world.run_until("five minutes", |world| world.now.since(now) > 300_000);
        (0..3).for_each(|node| world.set_mode(node, Mode::Up));
        world.run_until("ready", World::is_ready);
    });
    let rounds = count(&world, "dial 1 Down");
    assert!((60..240).contains(&rounds), "{rounds} rounds of up to 5 s in five minutes");
}

/// Everything goes wrong for a while, then nothing.
fn storm(world: &mut World) {
    world.wanted = 60;
    world.faults = Faults { refusals: 12, nodes: 60 };
    let mut steps = 0;
    world.run_until("the end of the storm", |world| {
        steps += 1;
        steps > 3_000 || world.told.len() == 60
    });
    world.faults = Faults::default();
    (0..3).for_each(|node| world.set_mode(node, Mode::Up));
    world.run_until("all told", |world| world.told.len() == 60);
    world.run_until("ready", World::is_ready);
}

#[test]
fn every_write_is_done_once_and_in_order_whatever_happens() {
    let mut losses = 0;
    for seed in 0..60 {
        let world = check(seed, storm);
        assert_done(&world);
        losses += world.trace.iter().filter(|line| line.contains(" lost ")).count();
    }
    assert!(losses > 60, "only {losses} connections were lost: too fair a weather");
}

#[test]
fn the_seed_is_all_that_matters() {
    let [once, again] = [(), ()].map(|()| check(77, storm));
    assert_eq!(once.trace, again.trace);
    assert_ne!(once.trace, check(78, storm).trace);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_write_is_done_once_and_in_order(seed in any::<u64>()) {
        assert_done(&check(seed, storm));
    }
}
