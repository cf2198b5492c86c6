//! Same log, same state: whatever the commands, however the entries are grouped.

use proptest::prelude::*;
use wire::replication::command::{Addressee, Batch, Chat, Command, Marks, NameKeys, RULE_LEVEL, Run, Writer};
use wire::replication::entry::{Entry, Member, Membership, Payload};
use wire::replication::{decode, encode};

use super::{Machine, encode_batch, encode_commands, log_id};
use crate::storage::state::{AppliedEntry, ApplyError, StateDb};

/// Owned form of a command, drawn from few names and ids so that they meet.
#[derive(Debug, Clone)]
enum Draw {
    Signup(String),
    DeleteAccount(u64),
    SetViewLimit(u64, u32),
    Open(u64, String),
    Send(u64, Result<u64, String>, String),
    Delete(u64, Result<u64, String>, Vec<u64>),
    MarkRead(u64, u64, u64),
    AddCode(u8, u64),
    ConsumeCode(u8, u64),
    RemoveNode(u64, String),
    /// With the command inside encoded.
    ByDevice(u64, u64, Vec<u8>),
    Void,
    SendTo(u64, String, String),
    AddDevice(u64, u64, Option<u8>),
    LoginDevice(u64, u64, Option<u8>),
    ResumeDevice(u64, u8, u8, Option<u8>),
    RevokeDevice(u64, u64),
    SetPassword(u64, u64),
    SetNickname(u64, String),
    Mark(u64, Vec<(u64, u64, u64)>),
    ClearView(u64, u64, u64),
    BindAddress(u64, u8, u64),
    Register(String),
    SetNicknameKeyed(u64, String),
    SendToAccount(u64, Result<u64, String>, String),
}

impl Draw {
    fn command(&self) -> Command<'_> {
        fn chat(chat: &Result<u64, String>) -> Chat<'_> {
            match chat {
                Ok(id) => Chat::Id(*id),
                Err(text) => Chat::Legacy(text),
            }
        }
        match self {
            Draw::Signup(name) => Command::Signup { username: name, nickname: name, password_hash: "hash" },
            Draw::DeleteAccount(user) => Command::DeleteAccount { user: *user },
            Draw::SetViewLimit(user, limit) => Command::SetViewLimit { user: *user, limit: *limit },
            Draw::Open(user, other) => Command::OpenConversation { user: *user, other },
            Draw::Send(user, to, text) => Command::Send { user: *user, chat: chat(to), text },
            Draw::Delete(user, at, numbers) => {
                Command::DeleteMessages { user: *user, chat: chat(at), numbers: numbers.clone() }
            }
            Draw::MarkRead(user, conversation, upto) => {
                Command::MarkRead { user: *user, conversation: *conversation, upto: *upto }
            }
            Draw::AddCode(hash, expires_ms) => Command::AddJoinCode { hash: [*hash; 32], expires_ms: *expires_ms },
            Draw::ConsumeCode(hash, node) => Command::ConsumeJoinCode { hash: [*hash; 32], node: *node },
            Draw::RemoveNode(node, name) => Command::RemoveNode { node: *node, name, by: name },
            Draw::ByDevice(device, seq, command) => Command::ByDevice { device: *device, seq: *seq, command },
            Draw::Void => Command::Void,
            Draw::SendTo(user, username, text) => Command::SendTo { user: *user, username, text },
            Draw::AddDevice(user, device, token) => Command::AddDevice {
                user: *user,
                device: *device,
                name: "d",
                token_hash: token.map(|token| [token; 32]),
            },
            Draw::LoginDevice(user, device, token) => Command::LoginDevice {
                user: *user,
                device: *device,
                token_hash: token.map(|token| [token; 32]),
                name: "d",
            },
            Draw::ResumeDevice(device, old, new, Some(life)) => {
                let life_hash = [100 + *life; 32];
                Command::ResumeInLife { device: *device, old_hash: [*old; 32], new_hash: [*new; 32], life_hash }
            }
            Draw::ResumeDevice(device, old, new, None) => {
                Command::ResumeDevice { device: *device, old_hash: [*old; 32], new_hash: [*new; 32] }
            }
            Draw::RevokeDevice(user, device) => Command::RevokeDevice { user: *user, device: *device },
            Draw::SetPassword(user, keep_device) => {
                Command::SetPassword { user: *user, password_hash: "new", keep_device: *keep_device }
            }
            Draw::SetNickname(user, nickname) => Command::SetNickname { user: *user, nickname },
            Draw::Mark(user, marks) => {
                let marks =
                    marks.iter().map(|&(conversation, delivered, read)| Marks { conversation, delivered, read });
                Command::Mark { user: *user, marks: marks.collect() }
            }
            Draw::ClearView(user, conversation, upto) => {
                Command::ClearView { user: *user, conversation: *conversation, upto: *upto }
            }
            Draw::BindAddress(user, address, for_ms) => {
                Command::BindAddress { user: *user, address: [*address; 16], for_ms: *for_ms }
            }
            Draw::Register(name) => {
                let keys = NameKeys { fold: name, skeleton: name, search: name };
                Command::Register { username: name, nickname: name, password_hash: "h", keys, nickname_search: name }
            }
            Draw::SetNicknameKeyed(user, nickname) => {
                Command::SetNicknameKeyed { user: *user, nickname, search: nickname }
            }
            Draw::SendToAccount(user, to, text) => {
                let to = match to {
                    Ok(id) => Addressee::Account(*id),
                    Err(name) => Addressee::Named { name, fold: name },
                };
                Command::SendToAccount { user: *user, to, text }
            }
        }
    }
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "c", "a_b", "b_c", "a_b_c", "a~2", "é"]).prop_map(String::from),
        1 => ".{0,70}",
    ]
}

fn ids() -> impl Strategy<Value = u64> {
    prop_oneof![12 => 0..8u64, 1 => any::<u64>()]
}

fn chats() -> impl Strategy<Value = Result<u64, String>> {
    prop_oneof![
        ids().prop_map(Ok),
        (names(), names()).prop_map(|(one, other)| Err(format!("{one}_{other}"))),
        ".{0,8}".prop_map(Err),
    ]
}

fn draws() -> impl Strategy<Value = Draw> {
    let write = (ids(), ids(), plain());
    prop_oneof![
        12 => plain(),
        6 => write.prop_map(|(device, seq, draw)| Draw::ByDevice(device, seq, encode_commands(&[draw.command()]))),
        1 => (ids(), ids(), prop::collection::vec(any::<u8>(), 0..5)).prop_map(|(d, s, b)| Draw::ByDevice(d, s, b)),
    ]
}

fn plain() -> impl Strategy<Value = Draw> {
    let token = || prop::option::of(0..9u8);
    let marks = prop::collection::vec((ids(), ids(), ids()), 0..4);
    prop_oneof![
        3 => names().prop_map(Draw::Signup),
        3 => names().prop_map(Draw::Register),
        1 => (ids(), names()).prop_map(|(user, nickname)| Draw::SetNicknameKeyed(user, nickname)),
        2 => (ids(), ids().prop_map(Ok), ".{0,20}").prop_map(|(user, to, text)| Draw::SendToAccount(user, to, text)),
        2 => (ids(), names().prop_map(Err), ".{0,20}").prop_map(|(user, to, text)| Draw::SendToAccount(user, to, text)),
        1 => ids().prop_map(Draw::DeleteAccount),
        1 => (ids(), any::<u32>()).prop_map(|(user, limit)| Draw::SetViewLimit(user, limit)),
        2 => (ids(), names()).prop_map(|(user, other)| Draw::Open(user, other)),
        6 => (ids(), chats(), ".{0,20}").prop_map(|(user, chat, text)| Draw::Send(user, chat, text)),
        2 => (ids(), chats(), prop::collection::vec(ids(), 0..5)).prop_map(|(user, at, n)| Draw::Delete(user, at, n)),
        2 => (ids(), ids(), ids()).prop_map(|(user, conversation, upto)| Draw::MarkRead(user, conversation, upto)),
        1 => (0..3u8, ids()).prop_map(|(hash, expires)| Draw::AddCode(hash, expires)),
        1 => (0..3u8, ids()).prop_map(|(hash, node)| Draw::ConsumeCode(hash, node)),
        1 => (ids(), names()).prop_map(|(node, name)| Draw::RemoveNode(node, name)),
        1 => Just(Draw::Void),
        3 => (ids(), names(), ".{0,20}").prop_map(|(user, to, text)| Draw::SendTo(user, to, text)),
        4 => (ids(), ids(), token()).prop_map(|(user, device, token)| Draw::AddDevice(user, device, token)),
        1 => (ids(), ids(), token()).prop_map(|(user, device, token)| Draw::LoginDevice(user, device, token)),
        3 => (ids(), 0..9u8, 0..9u8, proptest::option::of(0..3u8))
            .prop_map(|(device, old, new, life)| Draw::ResumeDevice(device, old, new, life)),
        1 => (ids(), ids()).prop_map(|(user, device)| Draw::RevokeDevice(user, device)),
        1 => (ids(), ids()).prop_map(|(user, keep)| Draw::SetPassword(user, keep)),
        1 => (ids(), names()).prop_map(|(user, nickname)| Draw::SetNickname(user, nickname)),
        2 => (ids(), marks).prop_map(|(user, marks)| Draw::Mark(user, marks)),
        1 => (ids(), ids(), ids()).prop_map(|(user, conversation, upto)| Draw::ClearView(user, conversation, upto)),
        1 => (ids(), 0..4u8, ids()).prop_map(|(user, address, ms)| Draw::BindAddress(user, address, ms)),
    ]
}

/// A log: per entry the time and the runs, as (device, epoch, first number, commands).
type Log = Vec<(u64, Vec<(u64, u64, u64, Vec<Draw>)>)>;

fn logs() -> impl Strategy<Value = Log> {
    let run = (1..4u64, prop_oneof![6 => Just(1u64), 1 => 0..3u64], 1..12u64, prop::collection::vec(draws(), 0..6));
    prop::collection::vec((0..10u64, prop::collection::vec(run, 0..4)), 1..12)
}

/// Payload bytes per entry; every third run continues its writer, so that most commands are applied.
fn payloads(log: &Log) -> Vec<Vec<u8>> {
    let mut next = std::collections::BTreeMap::new();
    log.iter()
        .map(|(time_ms, runs)| {
            let runs: Vec<_> = runs
                .iter()
                .map(|(device, epoch, first_seq, draws)| {
                    let writer = Writer { device: *device, epoch: *epoch };
                    let expected = next.entry(writer).or_insert(1);
                    let first_seq = if first_seq % 3 == 0 { *first_seq } else { *expected };
                    if first_seq == *expected {
                        *expected += draws.len() as u64;
                    }
                    (writer, first_seq, draws.iter().map(Draw::command).collect::<Vec<_>>())
                })
                .collect();
            let runs: Vec<_> = runs.iter().map(|(writer, seq, commands)| (*writer, *seq, &commands[..])).collect();
            encode_batch(*time_ms, &runs)
        })
        .collect()
}

fn entries(payloads: &[Vec<u8>]) -> Vec<Entry<'_>> {
    payloads
        .iter()
        .enumerate()
        .map(|(index, bytes)| Entry { log_id: log_id(index as u64), payload: Payload::Batch(bytes) })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Totality and determinism: no command sequence stops apply, and neither grouping nor instance matters.
    #[test]
    fn same_log_same_outcomes_and_hash_however_grouped(log in logs(), cut in 1..5usize) {
        let payloads = payloads(&log);
        let all = entries(&payloads);

        let mut at_once = StateDb::in_memory();
        let outcomes = at_once.apply(all.clone()).unwrap();

        let mut in_groups = StateDb::in_memory();
        let mut grouped: Vec<AppliedEntry> = Vec::new();
        for group in all.chunks(cut) {
            grouped.extend(in_groups.apply(group.to_vec()).unwrap());
        }
        prop_assert_eq!(&outcomes, &grouped);
        prop_assert_eq!(at_once.state_hash(), in_groups.state_hash());
        prop_assert_eq!(at_once.applied(), in_groups.applied());

        for (entry, applied) in payloads.iter().zip(&outcomes) {
            let batch: Batch<'_> = decode(entry).unwrap();
            let expected: Vec<usize> = batch.runs.iter().map(|run| run.count as usize).collect();
            let got: Vec<usize> = applied.outcomes.iter().map(Vec::len).collect();
            prop_assert_eq!(expected, got, "one outcome per command");
        }
    }

    /// A log that reaches the state a second time under higher indices changes no message: every run is repeated.
    #[test]
    fn runs_applied_again_give_the_same_outcomes(
        draws in prop::collection::vec(draws(), 1..20)
    ) {
        let commands: Vec<_> = draws.iter().map(Draw::command).collect();
        let mut machine = Machine::new();
        let writer = Writer { device: 5, epoch: 5 };
        let first = machine.run(writer, 1, &commands);
        let repeated = machine.run(writer, 1, &commands);
        prop_assert_eq!(first, repeated);
    }

    /// Bytes that a broken peer could put into a run never stop the machine.
    #[test]
    fn any_bytes_in_a_run_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0..600u32) {
        let mut machine = Machine::new();
        let run = Run { writer: super::WRITER, first_seq: 1, count, commands: &bytes };
        let batch = encode(&Batch { rule_level: RULE_LEVEL, time_ms: 0, runs: vec![run] });
        let outcomes = machine.payload(Payload::Batch(&batch)).unwrap().outcomes.remove(0);
        prop_assert!(outcomes.len() == count as usize || outcomes.len() == 1);
    }
}

#[test]
fn the_hash_tells_different_histories_apart() {
    let hash = |commands: &[Command<'_>]| {
        let mut machine = Machine::new();
        machine.run(super::WRITER, 1, commands);
        machine.db.state_hash()
    };
    let signup = |username| Command::Signup { username, nickname: "n", password_hash: "h" };
    let hashes = [
        hash(&[]),
        hash(&[signup("a")]),
        hash(&[signup("b")]),
        hash(&[signup("a"), signup("b")]),
        hash(&[signup("b"), signup("a")]),
    ];
    for (i, one) in hashes.iter().enumerate() {
        for other in &hashes[..i] {
            assert_ne!(one, other);
        }
    }
}

#[test]
fn blank_and_membership_entries_only_move_the_place() {
    let mut machine = Machine::new();
    let start = machine.db.state_hash();
    assert_eq!(machine.db.applied(), None);
    assert!(machine.payload(Payload::Blank).unwrap().outcomes.is_empty());
    assert_ne!(machine.db.state_hash(), start);
    let member = Member { id: 7, address: "127.0.0.1:5555".into(), name: "one".into() };
    let membership = Membership { configs: vec![vec![7]], nodes: vec![member] };
    assert!(machine.payload(Payload::Membership(membership.clone())).unwrap().outcomes.is_empty());
    assert_eq!(machine.db.membership(), (Some(log_id(1)), membership));
    assert_eq!(machine.db.applied(), Some(log_id(1)));
}

#[test]
fn what_must_not_be_applied_stops_the_machine_and_changes_nothing() {
    let mut machine = Machine::new();
    machine.signup("alice");
    let (hash, applied) = (machine.db.state_hash(), machine.db.applied());
    let newer = encode(&Batch { rule_level: RULE_LEVEL + 1, time_ms: 0, runs: Vec::new() });
    let mut damaged = encode_batch(0, &[(super::WRITER, 2, &[Command::DeleteAccount { user: 1 }])]);
    damaged.pop();
    let good = encode_batch(0, &[(super::WRITER, 2, &[Command::DeleteAccount { user: 1 }])]);
    let entry = |index, bytes| Entry { log_id: log_id(index), payload: Payload::Batch(bytes) };

    let error = machine.db.apply([entry(1, &good), entry(2, &newer)]).unwrap_err();
    assert!(matches!(error, ApplyError::Entry { index: 2, .. }), "{error}");
    let error = machine.db.apply([entry(1, &good), entry(2, &damaged)]).unwrap_err();
    assert!(matches!(error, ApplyError::Entry { index: 2, .. }), "{error}");
    let error = machine.db.apply([entry(0, &good)]).unwrap_err();
    assert!(matches!(error, ApplyError::OutOfOrder { applied: Some(0), got: 0 }), "{error}");

    assert_eq!((machine.db.state_hash(), machine.db.applied()), (hash, applied));
    assert!(machine.db.apply([entry(1, &good)]).is_ok());
}

/// Entries from before changes were numbered do what they did: replicas that apply them late come out alike. The hash is
/// that of the release before.
#[test]
fn entries_of_rule_level_2_are_applied_as_they_always_were() {
    let mut machine = Machine::new();
    let commands = [
        Command::Signup { username: "alice", nickname: "Alice", password_hash: "hash" },
        Command::Signup { username: "bob", nickname: "Bob", password_hash: "hash" },
        Command::Signup { username: "carol", nickname: "Carol", password_hash: "hash" },
        Command::OpenConversation { user: 1, other: "carol" },
        Command::Send { user: 1, chat: Chat::Legacy("alice_bob"), text: "one" },
        Command::Send { user: 2, chat: Chat::Id(2), text: "two" },
        Command::DeleteMessages { user: 1, chat: Chat::Id(2), numbers: vec![1] },
        Command::MarkRead { user: 1, conversation: 2, upto: 9 },
        Command::SetViewLimit { user: 1, limit: 9 },
        Command::DeleteAccount { user: 3 },
        Command::Send { user: 2, chat: Chat::Id(2), text: "three" },
        Command::AddJoinCode { hash: [1; 32], expires_ms: 10 },
        Command::ConsumeJoinCode { hash: [1; 32], node: 7 },
        Command::RemoveNode { node: 9, name: "gamma", by: "alpha" },
    ];
    let batch = super::encode_run(2, 5, Writer { device: 77, epoch: 1 }, &commands);
    machine.payload(Payload::Batch(&batch)).unwrap();
    let hash = data_encoding::HEXLOWER.encode(&machine.db.state_hash());
    assert_eq!(hash, "6993c4e9cf30bf164ee32919c576e3e935cad22772ade643196fd2a58d4112a2");
}
