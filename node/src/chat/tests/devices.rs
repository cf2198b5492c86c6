//! Devices: what they write, and the tokens they come back with.

use wire::limits::{DEVICE_NAME_BYTES_MAX, DEVICES_PER_USER_MAX, OUTCOMES_KEPT};
use wire::replication::command::{Chat, Command, Outcome, RULE_LEVEL_FORGETS, RULE_LEVEL_NUMBERED, Refusal, Writer};
use wire::replication::entry::Payload;

use super::{Machine, encode_batch, encode_commands};
use crate::chat::state::TokenRole;
use crate::limits::{PENDING_TOKENS_MAX, RETIRED_TOKENS_MAX, REVOKED_DEVICES_KEPT};
use crate::storage::query::StateReader;
use crate::storage::state::StateDb;

const PHONE: u64 = u64::MAX - 5;
const ALICE: u64 = 1;
const BOB: u64 = 2;

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

fn hash(number: u8) -> [u8; 32] {
    [number; 32]
}

/// Alice with a phone whose token is 0, and bob.
fn people(mut m: Machine) -> Machine {
    assert_eq!((m.signup("alice"), m.signup("bob")), (ALICE, BOB));
    let add = Command::AddDevice { user: ALICE, device: PHONE, name: "phone", token_hash: Some(hash(0)) };
    assert_eq!(m.apply(add), Outcome::DeviceAdded { device: PHONE });
    m
}

fn pair() -> Machine {
    people(Machine::new())
}

/// A machine whose state can be read, and opened again.
fn on_disk() -> (tempfile::TempDir, Machine, StateReader) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let machine = people(Machine::on(StateDb::open(&path).unwrap()));
    let reader = StateReader::open(&path).unwrap();
    (directory, machine, reader)
}

fn by(m: &mut Machine, device: u64, seq: u64, command: &Command<'_>) -> Outcome {
    let command = encode_commands(std::slice::from_ref(command));
    m.apply(Command::ByDevice { device, seq, command: &command })
}

fn to_bob(text: &str) -> Command<'_> {
    Command::SendTo { user: ALICE, username: "bob", text }
}

fn sent(number: u64) -> Outcome {
    // The conversation takes the first number.
    Outcome::Sent { conversation: 1, number, id: number + 1 }
}

#[test]
fn a_write_of_a_device_has_its_effect_once() {
    let mut m = pair();
    assert_eq!(by(&mut m, PHONE, 2, &to_bob("b")), refused(Refusal::DeviceSequenceGap));
    assert_eq!(by(&mut m, PHONE, 0, &to_bob("b")), refused(Refusal::DeviceSequenceGap));
    assert_eq!(by(&mut m, PHONE, 1, &to_bob("a")), sent(1));
    assert_eq!(by(&mut m, PHONE, 2, &to_bob("b")), sent(2));
    assert_eq!(by(&mut m, PHONE, 1, &to_bob("a")), sent(1));
    assert_eq!(by(&mut m, PHONE, 2, &to_bob("never compared")), sent(2));
    assert_eq!(by(&mut m, PHONE, u64::MAX, &to_bob("c")), refused(Refusal::DeviceSequenceGap));
    assert_eq!(by(&mut m, 7, 1, &to_bob("c")), refused(Refusal::DeviceGone));
    assert_eq!(by(&mut m, PHONE, 3, &to_bob("c")), sent(3));
}

#[test]
fn repeats_are_answered_within_an_entry_over_entries_and_after_a_restart() {
    let (directory, mut m, _reader) = on_disk();
    let a = encode_commands(&[to_bob("a")]);
    let write = |seq| Command::ByDevice { device: PHONE, seq, command: &a };
    let outcomes = m.run(Writer { device: 77, epoch: 1 }, 1, &[write(1), write(1), write(2), write(2), write(4)]);
    assert_eq!(outcomes, [sent(1), sent(1), sent(2), sent(2), refused(Refusal::DeviceSequenceGap)]);
    assert_eq!(by(&mut m, PHONE, 1, &to_bob("a")), sent(1));
    assert_eq!(by(&mut m, PHONE, 3, &to_bob("a")), sent(3));
    let index = m.next_index;
    drop(m);
    let mut m = Machine::on(StateDb::open(&directory.path().join("state.db")).unwrap());
    m.next_index = index;
    let other_node = Writer { device: 78, epoch: 1 };
    let outcomes = m.run(other_node, 1, &[write(3), write(2), write(1), write(4)]);
    assert_eq!(outcomes, [sent(3), sent(2), sent(1), sent(4)]);
}

#[test]
fn a_long_entry_of_one_device_is_kept_in_reach_and_no_further() {
    let (_directory, mut m, reader) = on_disk();
    let a = encode_commands(&[to_bob("a")]);
    let node = Writer { device: 77, epoch: 1 };
    let runs: Vec<Vec<Command<'_>>> = (0..3u64)
        .map(|run| {
            let seqs = run * 500 + 1..run * 500 + 501;
            seqs.map(|seq| Command::ByDevice { device: PHONE, seq, command: &a }).collect()
        })
        .collect();
    let batch: Vec<_> = runs.iter().enumerate().map(|(at, run)| (node, at as u64 * 500 + 1, &run[..])).collect();
    let batch = encode_batch(m.time_ms(), &batch);
    m.payload(Payload::Batch(&batch)).unwrap();
    assert_eq!(reader.last_seq(PHONE).unwrap(), 1500);
    let kept = 1500 - OUTCOMES_KEPT as u64;
    assert_eq!(by(&mut m, PHONE, kept, &to_bob("a")), refused(Refusal::AlreadyApplied));
    for seq in [kept + 1, kept + 2, 1200, 1499, 1500] {
        assert_eq!(by(&mut m, PHONE, seq, &to_bob("a")), sent(seq), "{seq}");
    }
}

#[test]
fn what_a_device_may_not_write_uses_its_number_up() {
    let mut m = pair();
    let commands = [
        Command::Void,
        Command::SendTo { user: BOB, username: "alice", text: "as somebody else" },
        Command::DeleteAccount { user: ALICE },
        Command::MarkRead { user: ALICE, conversation: 1, upto: 1 },
        Command::SetPassword { user: ALICE, password_hash: "x", keep_device: PHONE },
        Command::RevokeDevice { user: ALICE, device: PHONE },
        Command::RemoveNode { node: 1, name: "n", by: "b" },
        Command::ByDevice { device: PHONE, seq: 9, command: &[] },
        to_bob(""),
    ];
    for (seq, command) in (1..).zip(&commands) {
        assert_eq!(by(&mut m, PHONE, seq, command), refused(Refusal::Malformed), "{command:?}");
        assert_eq!(by(&mut m, PHONE, seq, &to_bob("x")), refused(Refusal::Malformed), "{command:?} again");
    }
    let mut next = commands.len() as u64;
    let longer = [&encode_commands(&[to_bob("x")])[..], &[0]].concat();
    for bytes in [&b""[..], b"\xff\xff", &longer] {
        next += 1;
        let write = Command::ByDevice { device: PHONE, seq: next, command: bytes };
        assert_eq!(m.apply(write), refused(Refusal::Malformed));
    }
    assert_eq!(m.apply(Command::Void), refused(Refusal::Malformed));
    let allowed = [
        (to_bob("1"), sent(1)),
        (Command::Send { user: ALICE, chat: Chat::Id(1), text: "2" }, sent(2)),
        (Command::DeleteMessages { user: ALICE, chat: Chat::Id(1), numbers: vec![1] }, Outcome::Deleted { count: 1 }),
        (Command::ClearView { user: ALICE, conversation: 1, upto: 1 }, Outcome::Done),
        (Command::SetNickname { user: ALICE, nickname: "Al" }, Outcome::Done),
        (Command::SetViewLimit { user: ALICE, limit: 9 }, Outcome::Done),
    ];
    for (command, expected) in allowed {
        next += 1;
        assert_eq!(by(&mut m, PHONE, next, &command), expected);
    }
}

#[test]
fn devices_are_added_within_bounds_and_ids_never_come_back() {
    let (_directory, mut m, reader) = on_disk();
    fn add(user: u64, device: u64, name: &str, token: Option<u8>) -> Command<'_> {
        Command::AddDevice { user, device, name, token_hash: token.map(hash) }
    }
    let longest = "x".repeat(DEVICE_NAME_BYTES_MAX);
    let table = [
        (add(9, 10, "d", None), refused(Refusal::NoSuchUser)),
        (add(ALICE, 0, "d", None), refused(Refusal::Malformed)),
        (add(ALICE, PHONE, "d", None), refused(Refusal::DeviceExists)),
        (add(BOB, PHONE, "d", None), refused(Refusal::DeviceExists)),
        // The node that writes here.
        (add(ALICE, super::WRITER.device, "d", None), refused(Refusal::DeviceExists)),
        (add(ALICE, 10, "d", Some(0)), refused(Refusal::Malformed)),
        (add(ALICE, 10, &longest, Some(1)), Outcome::DeviceAdded { device: 10 }),
    ];
    for (command, expected) in table {
        assert_eq!(m.apply(command.clone()), expected, "{command:?}");
    }
    assert_eq!(m.apply(add(ALICE, 11, &format!("{longest}x"), None)), refused(Refusal::Malformed));

    // The phone was seen last; then comes the one that was silent longest, which is device 10.
    let seen = Command::LoginDevice { user: ALICE, device: PHONE, token_hash: Some(hash(2)), name: "new name" };
    assert_eq!(m.apply(seen), Outcome::DeviceAdded { device: PHONE });
    for device in 100..98 + DEVICES_PER_USER_MAX as u64 {
        m.apply(add(ALICE, device, "d", None));
    }
    assert_eq!(reader.devices(ALICE).unwrap().len(), DEVICES_PER_USER_MAX);
    m.apply(add(ALICE, 200, "d", None));
    let live: Vec<u64> = reader.devices(ALICE).unwrap().iter().map(|device| device.device).collect();
    assert_eq!(live.len(), DEVICES_PER_USER_MAX);
    assert!(!live.contains(&10) && live.contains(&PHONE) && live.contains(&200));
    assert!(reader.device(10).unwrap().unwrap().revoked);
    assert_eq!(m.apply(add(ALICE, 10, "d", None)), refused(Refusal::DeviceExists));
    assert_eq!(reader.device(PHONE).unwrap().unwrap().name, "new name");
}

#[test]
fn a_login_as_a_device_that_is_there_keeps_its_numbers_and_drops_its_tokens() {
    let (_directory, mut m, reader) = on_disk();
    assert_eq!(by(&mut m, PHONE, 1, &to_bob("a")), sent(1));
    fn login(user: u64, device: u64, token: u8) -> Command<'static> {
        Command::LoginDevice { user, device, token_hash: Some(hash(token)), name: "phone" }
    }
    assert_eq!(m.apply(login(BOB, PHONE, 1)), refused(Refusal::DeviceGone));
    assert_eq!(m.apply(login(ALICE, 7, 1)), refused(Refusal::DeviceGone));
    assert_eq!(m.apply(login(9, PHONE, 1)), refused(Refusal::NoSuchUser));
    assert_eq!(m.apply(login(ALICE, PHONE, 0)), refused(Refusal::Malformed));
    assert_eq!(m.apply(login(ALICE, PHONE, 1)), Outcome::DeviceAdded { device: PHONE });
    assert_eq!(reader.token_role(PHONE, &hash(0)).unwrap(), None);
    assert_eq!(reader.token_role(PHONE, &hash(1)).unwrap(), Some(TokenRole::Current));
    assert_eq!(by(&mut m, PHONE, 2, &to_bob("b")), sent(2));
    let without = Command::LoginDevice { user: ALICE, device: PHONE, token_hash: None, name: "phone" };
    assert_eq!(m.apply(without), Outcome::DeviceAdded { device: PHONE });
    assert_eq!(reader.token_role(PHONE, &hash(1)).unwrap(), None);
}

fn resume(m: &mut Machine, old: u8, new: u8) -> Outcome {
    m.apply(Command::ResumeDevice { device: PHONE, old_hash: hash(old), new_hash: hash(new) })
}

const RESUMED: Outcome = Outcome::Resumed { user: ALICE };

#[test]
fn a_token_is_good_until_its_successor_is_used() {
    let (_directory, mut m, reader) = on_disk();
    let seen = reader.device(PHONE).unwrap().unwrap().seen_ms;
    assert_eq!(resume(&mut m, 0, 1), RESUMED);
    assert!(reader.device(PHONE).unwrap().unwrap().seen_ms > seen);
    // The reply was lost, twice.
    assert_eq!(resume(&mut m, 0, 2), RESUMED);
    assert_eq!(resume(&mut m, 0, 3), RESUMED);
    // An earlier one arrived after all.
    assert_eq!(resume(&mut m, 2, 4), RESUMED);
    let roles: Vec<_> = (0..5).map(|token| reader.token_role(PHONE, &hash(token)).unwrap().unwrap()).collect();
    use TokenRole::{Current, Pending, Retired};
    assert_eq!(roles, [Retired, Retired, Current, Retired, Pending]);
    assert_eq!(resume(&mut m, 9, 10), refused(Refusal::TokenUnknown));
    assert_eq!(resume(&mut m, 2, 4), refused(Refusal::Malformed), "a successor that is known already");
    assert_eq!(resume(&mut m, 4, 5), RESUMED);
    let other = Command::ResumeDevice { device: 7, old_hash: hash(5), new_hash: hash(6) };
    assert_eq!(m.apply(other), refused(Refusal::TokenUnknown));
}

#[test]
fn a_token_that_was_replaced_logs_the_device_out() {
    for reused in [0, 1] {
        let (_directory, mut m, reader) = on_disk();
        assert_eq!(by(&mut m, PHONE, 1, &to_bob("a")), sent(1));
        resume(&mut m, 0, 1);
        resume(&mut m, 0, 2);
        assert_eq!(resume(&mut m, 2, 3), RESUMED);
        assert_eq!(resume(&mut m, reused, 4), refused(Refusal::TokenReused));
        assert!(reader.device(PHONE).unwrap().unwrap().revoked);
        assert_eq!(resume(&mut m, 2, 5), refused(Refusal::DeviceGone));
        assert_eq!(by(&mut m, PHONE, 2, &to_bob("b")), refused(Refusal::DeviceGone));
        assert_eq!(reader.last_seq(PHONE).unwrap(), 0, "its place as a writer is gone");
    }
}

/// It lay in a socket or on a line while its sender had long gone on.
#[test]
fn a_request_that_comes_late_is_no_theft() {
    let (_directory, mut m, reader) = on_disk();
    let in_life = |m: &mut Machine, old: u8, new: u8, life: u8| {
        let (old_hash, new_hash, life_hash) = (hash(old), hash(new), hash(100 + life));
        m.apply(Command::ResumeInLife { device: PHONE, old_hash, new_hash, life_hash })
    };
    assert_eq!(in_life(&mut m, 0, 1, 1), RESUMED);
    assert_eq!(in_life(&mut m, 1, 2, 1), RESUMED);
    assert_eq!(in_life(&mut m, 0, 3, 1), refused(Refusal::Overtaken));
    assert_eq!(reader.token_role(PHONE, &hash(3)).unwrap(), None);
    assert_eq!(in_life(&mut m, 2, 4, 1), RESUMED, "it goes on as if nothing had been");
    // A life is no token, and not counted among them.
    assert_eq!(in_life(&mut m, 101, 5, 1), refused(Refusal::TokenUnknown));
    // Who copied the token has another life, or tells none.
    for thief in [2, 1] {
        let (_directory, mut m, reader) = on_disk();
        assert_eq!(in_life(&mut m, 0, 1, 1), RESUMED);
        assert_eq!(in_life(&mut m, 1, 2, 1), RESUMED);
        let stolen = if thief == 1 { resume(&mut m, 0, 3) } else { in_life(&mut m, 0, 3, thief) };
        assert_eq!(stolen, refused(Refusal::TokenReused));
        assert!(reader.device(PHONE).unwrap().unwrap().revoked);
    }
    // A new start of the program begins a new life, and the one before it is forgotten.
    let (_directory, mut m, _reader) = on_disk();
    for (old, life) in [(0, 1), (1, 2), (2, 2)] {
        assert_eq!(in_life(&mut m, old, old + 1, life), RESUMED);
    }
    assert_eq!(in_life(&mut m, 0, 9, 1), refused(Refusal::TokenReused));
}

#[test]
fn tokens_are_remembered_in_bounds() {
    let (_directory, mut m, reader) = on_disk();
    let role = |token: usize| reader.token_role(PHONE, &hash(token as u8)).unwrap();
    for lost in 1..=PENDING_TOKENS_MAX + 1 {
        assert_eq!(resume(&mut m, 0, lost as u8), RESUMED);
    }
    assert_eq!(role(1), Some(TokenRole::Retired));
    assert_eq!(role(2), Some(TokenRole::Pending));
    // Each one used: the one before it retires, and of those the oldest are forgotten.
    let first = PENDING_TOKENS_MAX + 1;
    for token in first..first + 20 {
        assert_eq!(resume(&mut m, token as u8, token as u8 + 1), RESUMED);
    }
    let last = first + 19;
    assert_eq!((role(last + 1), role(last)), (Some(TokenRole::Pending), Some(TokenRole::Current)));
    let retired: Vec<usize> = (0..last).filter(|token| role(*token) == Some(TokenRole::Retired)).collect();
    assert_eq!(retired, (last - RETIRED_TOKENS_MAX..last).collect::<Vec<_>>());
    assert_eq!(resume(&mut m, 0, 200), refused(Refusal::TokenUnknown), "too old to be known for a thief's");
}

#[test]
fn devices_are_logged_out_by_their_owner_and_by_a_new_password() {
    let (_directory, mut m, reader) = on_disk();
    for device in [10, 11, 12] {
        m.apply(Command::AddDevice { user: ALICE, device, name: "d", token_hash: None });
    }
    let revoke = |user, device| Command::RevokeDevice { user, device };
    assert_eq!(m.apply(revoke(BOB, 10)), refused(Refusal::DeviceGone));
    assert_eq!(m.apply(revoke(ALICE, 99)), refused(Refusal::DeviceGone));
    assert_eq!(m.apply(revoke(ALICE, 10)), Outcome::Done);
    assert_eq!(m.apply(revoke(ALICE, 10)), refused(Refusal::DeviceGone));
    let live = |reader: &StateReader| -> Vec<u64> {
        reader.devices(ALICE).unwrap().iter().map(|device| device.device).collect()
    };
    let set = |user, password_hash| Command::SetPassword { user, password_hash, keep_device: 11 };
    assert_eq!(m.apply(set(9, "x")), refused(Refusal::NoSuchUser));
    let long = "x".repeat(257);
    assert_eq!(
        m.apply(Command::SetPassword { user: ALICE, password_hash: &long, keep_device: 11 }),
        refused(Refusal::Malformed)
    );
    assert_eq!(live(&reader), [PHONE, 11, 12]);
    assert_eq!(m.apply(set(ALICE, "new")), Outcome::Done);
    assert_eq!(reader.account("alice").unwrap().unwrap().password_hash, "new");
    assert_eq!(live(&reader), [11]);
    assert_eq!(reader.token_role(PHONE, &hash(0)).unwrap(), None);
    m.apply(Command::DeleteAccount { user: ALICE });
    assert!(live(&reader).is_empty());
    assert_eq!(by(&mut m, 11, 1, &to_bob("x")), refused(Refusal::DeviceGone));
}

#[test]
fn an_entry_of_a_lower_level_knows_no_devices() {
    let mut m = pair();
    let void = [Command::SetViewLimit { user: ALICE, limit: 7 }, Command::Void, to_bob("x")];
    let run = super::encode_run(RULE_LEVEL_NUMBERED - 1, m.time_ms(), Writer { device: 77, epoch: 1 }, &void);
    let outcomes = m.payload(Payload::Batch(&run)).unwrap().outcomes.remove(0);
    assert_eq!(outcomes, [Outcome::Done, refused(Refusal::Malformed), refused(Refusal::Malformed)]);
}

#[test]
fn an_account_that_logs_in_and_out_again_leaves_a_bounded_number_of_devices() {
    let (_directory, mut m, reader) = on_disk();
    let in_and_out = |device| {
        let add = Command::AddDevice { user: ALICE, device, name: "phone", token_hash: None };
        [add, Command::RevokeDevice { user: ALICE, device }]
    };
    let rows = || (0..1000).filter(|&id| reader.device(id).unwrap().is_some_and(|device| device.revoked)).count();
    // As it was before: each stays for good.
    let many = 100 + REVOKED_DEVICES_KEPT as u64 + 50;
    for device in 100..many {
        let run =
            super::encode_run(RULE_LEVEL_FORGETS - 1, m.time_ms(), Writer { device, epoch: 1 }, &in_and_out(device));
        m.payload(Payload::Batch(&run)).unwrap();
    }
    assert_eq!(rows(), REVOKED_DEVICES_KEPT + 50);
    // From now on they become fewer, the oldest first, until only the newest are left.
    for device in many..many + 100 {
        for command in in_and_out(device) {
            m.apply(command);
        }
    }
    assert_eq!(rows(), REVOKED_DEVICES_KEPT);
    let newest = many + 100 - REVOKED_DEVICES_KEPT as u64;
    assert!(reader.device(newest).unwrap().is_some_and(|device| device.revoked));
    assert_eq!(reader.device(newest - 1).unwrap(), None);
    // Of both nothing is heard any more but that they are gone.
    for device in [newest, newest - 1] {
        assert_eq!(by(&mut m, device, 1, &to_bob("x")), refused(Refusal::DeviceGone));
    }
    assert_eq!(by(&mut m, PHONE, 1, &to_bob("x")), sent(1));
}
