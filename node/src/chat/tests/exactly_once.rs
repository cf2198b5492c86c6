//! A run that reaches the log twice has its effect once.

use wire::limits::{OUTCOMES_KEPT, RUN_COMMANDS_MAX};
use wire::replication::command::{Batch, Chat, Command, Outcome, RULE_LEVEL, Refusal, Run, Writer};
use wire::replication::encode;
use wire::replication::entry::Payload;

use super::{Machine, WRITER, encode_commands};

const PHONE: Writer = Writer { device: u64::MAX, epoch: 3 };

fn pair() -> Machine {
    let mut machine = Machine::new();
    machine.signup("alice");
    machine.signup("bob");
    machine
}

fn texts(texts: &[&'static str]) -> Vec<Command<'static>> {
    texts.iter().map(|text| Command::Send { user: 1, chat: Chat::Legacy("alice_bob"), text }).collect()
}

fn numbers(outcomes: &[Outcome]) -> Vec<u64> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Sent { number, .. } => *number,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn all_refused(outcomes: &[Outcome], refusal: Refusal) -> bool {
    outcomes.iter().all(|outcome| *outcome == Outcome::Refused(refusal.clone()))
}

#[test]
fn a_repeated_run_is_answered_and_not_applied() {
    let mut m = pair();
    let run = texts(&["a", "b", "c"]);
    let first = m.run(PHONE, 1, &run);
    assert_eq!(numbers(&first), [1, 2, 3]);
    assert_eq!(m.run(PHONE, 1, &run), first);
    // Any part of it, and with new ones behind.
    assert_eq!(m.run(PHONE, 2, &run[1..2]), first[1..2]);
    assert_eq!(numbers(&m.run(PHONE, 2, &texts(&["b", "c", "d", "e"]))), [2, 3, 4, 5]);
    // What was kept in several rows is put together.
    assert_eq!(numbers(&m.run(PHONE, 1, &texts(&["a", "b", "c", "d", "e"]))), [1, 2, 3, 4, 5]);
}

#[test]
fn refusals_are_outcomes_and_repeated_too() {
    let mut m = pair();
    let run = [Command::DeleteAccount { user: 99 }, Command::DeleteAccount { user: 2 }];
    let first = m.run(PHONE, 1, &run);
    assert_eq!(first, [Outcome::Refused(Refusal::NoSuchUser), Outcome::Done]);
    assert_eq!(m.run(PHONE, 1, &run), first);
}

#[test]
fn gaps_are_refused_and_change_nothing() {
    let mut m = pair();
    assert!(all_refused(&m.run(PHONE, 2, &texts(&["b", "c"])), Refusal::SequenceGap));
    assert_eq!(numbers(&m.run(PHONE, 1, &texts(&["a"]))), [1]);
    assert!(all_refused(&m.run(PHONE, 3, &texts(&["c"])), Refusal::SequenceGap));
    assert!(all_refused(&m.run(PHONE, u64::MAX, &texts(&["x", "y"])), Refusal::SequenceGap));
    assert!(all_refused(&m.run(PHONE, 0, &texts(&["x"])), Refusal::SequenceGap));
    assert_eq!(numbers(&m.run(PHONE, 2, &texts(&["b"]))), [2]);
}

#[test]
fn a_higher_epoch_starts_again_and_silences_the_lower() {
    let mut m = pair();
    let next = Writer { epoch: PHONE.epoch + 1, ..PHONE };
    assert_eq!(numbers(&m.run(PHONE, 1, &texts(&["a"]))), [1]);
    assert_eq!(numbers(&m.run(next, 1, &texts(&["b"]))), [2]);
    assert!(all_refused(&m.run(PHONE, 1, &texts(&["a"])), Refusal::StaleEpoch));
    assert!(all_refused(&m.run(PHONE, 2, &texts(&["a"])), Refusal::StaleEpoch));
    assert_eq!(numbers(&m.run(next, 1, &texts(&["b"]))), [2]);
    // Even a run that is refused for its number begins the epoch.
    let after = Writer { epoch: next.epoch + 1, ..next };
    assert!(all_refused(&m.run(after, 5, &texts(&["c"])), Refusal::SequenceGap));
    assert!(all_refused(&m.run(next, 2, &texts(&["c"])), Refusal::StaleEpoch));
    assert_eq!(numbers(&m.run(after, 1, &texts(&["c"]))), [3]);
}

#[test]
fn outcomes_are_forgotten_after_a_bounded_number() {
    let mut m = pair();
    assert_eq!(numbers(&m.run(PHONE, 1, &texts(&["first"; 3]))), [1, 2, 3]);
    let many = texts(&["more"; OUTCOMES_KEPT]);
    assert_eq!(m.run(PHONE, 4, &many).len(), OUTCOMES_KEPT);
    assert!(all_refused(&m.run(PHONE, 1, &texts(&["first"; 3])), Refusal::AlreadyApplied));
    assert_eq!(numbers(&m.run(PHONE, 4, &many))[..2], [4, 5]);
    // One more: the oldest of the kept row is out of reach although the row is still there.
    assert_eq!(numbers(&m.run(PHONE, 4 + OUTCOMES_KEPT as u64, &texts(&["z"]))), [4 + OUTCOMES_KEPT as u64]);
    assert!(all_refused(&m.run(PHONE, 4, &texts(&["more"])), Refusal::AlreadyApplied));
    assert_eq!(numbers(&m.run(PHONE, 5, &texts(&["more"]))), [5]);
}

#[test]
fn what_does_not_decode_is_refused_with_all_behind_it_and_counts() {
    let mut m = pair();
    let mut commands = encode_commands(&texts(&["good"]));
    commands.extend([0xff; 3]);
    commands.extend(encode_commands(&texts(&["behind"])));
    let run = Run { writer: PHONE, first_seq: 1, count: 3, commands: &commands };
    let batch = encode(&Batch { rule_level: RULE_LEVEL, time_ms: 1, runs: vec![run] });
    let first = m.payload(Payload::Batch(&batch)).unwrap().outcomes.remove(0);
    assert_eq!(numbers(&first[..1]), [1]);
    assert!(all_refused(&first[1..], Refusal::Malformed));
    assert_eq!(m.payload(Payload::Batch(&batch)).unwrap().outcomes.remove(0), first);
    assert_eq!(numbers(&m.run(PHONE, 4, &texts(&["next"]))), [2]);
}

#[test]
fn a_run_beyond_the_bound_is_refused_whole() {
    let mut m = pair();
    let before = m.run(WRITER, 99, &[]);
    assert!(before.is_empty());
    let run = Run { writer: PHONE, first_seq: 1, count: u32::MAX, commands: &[] };
    let batch = encode(&Batch { rule_level: RULE_LEVEL, time_ms: 1, runs: vec![run] });
    let outcomes = m.payload(Payload::Batch(&batch)).unwrap().outcomes.remove(0);
    assert_eq!(outcomes, [Outcome::Refused(Refusal::Malformed)]);
    assert_eq!(m.run(PHONE, 1, &texts(&["x"; RUN_COMMANDS_MAX])).len(), RUN_COMMANDS_MAX);
}
