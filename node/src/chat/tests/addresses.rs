//! Addresses that may act for somebody.

use wire::limits::ADDRESSES_PER_USER_MAX;
use wire::replication::command::{Command, Outcome, RULE_LEVEL_NUMBERED, Refusal, Writer};
use wire::replication::entry::Payload;

use super::{Machine, START_MS, encode_run};
use crate::storage::query::StateReader;
use crate::storage::state::StateDb;

const ALICE: u64 = 1;
const BOB: u64 = 2;
const HERE: [u8; 16] = [1; 16];
const THERE: [u8; 16] = [2; 16];

/// A machine whose state can be read, with alice and bob.
fn on_disk() -> (tempfile::TempDir, Machine, StateReader) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let mut machine = Machine::on(StateDb::open(&path).unwrap());
    assert_eq!((machine.signup("alice"), machine.signup("bob")), (ALICE, BOB));
    let reader = StateReader::open(&path).unwrap();
    (directory, machine, reader)
}

fn bind(machine: &mut Machine, user: u64, address: [u8; 16], for_ms: u64) -> Outcome {
    machine.apply(Command::BindAddress { user, address, for_ms })
}

#[test]
fn an_address_acts_for_those_who_logged_in_there_until_its_time_ends() {
    let (_directory, mut m, reader) = on_disk();
    let until = m.time_ms() + 5000;
    assert_eq!(bind(&mut m, ALICE, HERE, 5000), Outcome::Done);
    assert_eq!(bind(&mut m, BOB, HERE, 1_000_000), Outcome::Done);
    assert_eq!(reader.bound_until(ALICE, &HERE).unwrap(), Some(until));
    assert_eq!(reader.bound_until(ALICE, &THERE).unwrap(), None);

    // A later login makes it longer, an earlier end does not make it shorter.
    let longer = m.time_ms() + 9000;
    bind(&mut m, ALICE, HERE, 9000);
    bind(&mut m, ALICE, HERE, 10);
    assert_eq!(reader.bound_until(ALICE, &HERE).unwrap(), Some(longer));

    // What has ended is forgotten with the next login anywhere.
    m.next_index += 20;
    bind(&mut m, BOB, THERE, 1000);
    assert_eq!(reader.bound_until(ALICE, &HERE).unwrap(), None);
    assert!(reader.bound_until(BOB, &HERE).unwrap().is_some());
}

#[test]
fn a_new_password_and_the_end_of_an_account_free_its_addresses() {
    let (_directory, mut m, reader) = on_disk();
    bind(&mut m, ALICE, HERE, 9000);
    bind(&mut m, BOB, HERE, 9000);
    m.apply(Command::SetPassword { user: ALICE, password_hash: "new", keep_device: 0 });
    m.apply(Command::DeleteAccount { user: BOB });
    assert_eq!(reader.bound_until(ALICE, &HERE).unwrap(), None);
    assert_eq!(reader.bound_until(BOB, &HERE).unwrap(), None);
    assert_eq!(bind(&mut m, BOB, HERE, 9000), Outcome::Refused(Refusal::NoSuchUser));
}

#[test]
fn the_one_that_ends_first_makes_room() {
    let (_directory, mut m, reader) = on_disk();
    let address = |number: usize| [number as u8; 16];
    for number in 0..=ADDRESSES_PER_USER_MAX {
        // The second one ends first.
        let for_ms = if number == 1 { 500_000 } else { 1_000_000 };
        assert_eq!(bind(&mut m, ALICE, address(number), for_ms), Outcome::Done);
    }
    let bound =
        (0..=ADDRESSES_PER_USER_MAX).filter(|&number| reader.bound_until(ALICE, &address(number)).unwrap().is_some());
    let expected: Vec<usize> = (0..=ADDRESSES_PER_USER_MAX).filter(|&number| number != 1).collect();
    assert_eq!(bound.collect::<Vec<_>>(), expected);
    // One that is there already needs none.
    bind(&mut m, ALICE, address(0), 2_000_000);
    assert!(reader.bound_until(ALICE, &address(2)).unwrap().is_some());
}

#[test]
fn times_without_a_meaning_and_lower_levels_are_refused() {
    let (_directory, mut m, _) = on_disk();
    for for_ms in [0, u64::MAX] {
        assert_eq!(bind(&mut m, ALICE, HERE, for_ms), Outcome::Refused(Refusal::Malformed));
    }
    let bind = [Command::BindAddress { user: ALICE, address: HERE, for_ms: 1 }];
    let run = encode_run(RULE_LEVEL_NUMBERED, START_MS, Writer { device: 77, epoch: 1 }, &bind);
    let outcomes = m.payload(Payload::Batch(&run)).unwrap().outcomes.remove(0);
    assert_eq!(outcomes, [Outcome::Refused(Refusal::Malformed)]);
}
