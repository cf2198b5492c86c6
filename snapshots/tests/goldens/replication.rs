//! What nodes store and say to each other: every variant of every message.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wire::dump;
use wire::replication::command::{Addressee, Batch, Chat, Command, Marks, NameKeys, Outcome, Refusal, Run, Writer};
use wire::replication::entry::{Entry, LogId, Member, Membership, Payload};
use wire::replication::join::{JoinRefusal, JoinReply, JoinRequest};
use wire::replication::rpc::{
    AppendOutcome, Datagram, Hello, Life, PeerReply, PeerRequest, Remembered, SnapshotHeader, Vote,
};
use wire::replication::{decode, encode};

/// Compares what `value` is on a link or a disk with its golden, and reads it again.
fn golden<'a, T>(name: &str, value: &T, bytes: &'a mut Vec<u8>)
where
    T: Serialize + Deserialize<'a> + PartialEq + std::fmt::Debug,
{
    *bytes = encode(value);
    let dump = dump::replication(value);
    super::compare(&format!("{name}__postcard"), &dump);
    assert_eq!(decode::<T>(bytes).as_ref(), Ok(value), "{name}");
}

/// As [`golden`], for values that borrow nothing.
fn owned<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    golden(name, value, &mut Vec::new());
}

const LOG_ID: LogId = LogId { term: 3, node: 0x1122_3344_5566_7788, index: 300 };
const VOTE: Vote = Vote { term: 3, node: 0x1122_3344_5566_7788, committed: true };
const ADDRESS: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7];
const HASH: [u8; 32] = [0xab; 32];
const WRITER: Writer = Writer { device: 77, epoch: 2 };
const DEVICE: u64 = 0x99aa_bbcc_ddee_ff00;

fn member() -> Member {
    Member { id: 0x1122_3344_5566_7788, address: "10.0.0.1:5555".into(), name: "alpha".into() }
}

fn membership() -> Membership {
    Membership { configs: vec![vec![1, 2, 3], vec![1, 2]], nodes: vec![member()] }
}

#[test]
fn commands() {
    for (name, command) in [
        (
            "command_signup",
            Command::Signup { username: "alice", nickname: "Älice", password_hash: "$argon2id$v=19$m=9216,t=4,p=1$" },
        ),
        ("command_delete_account", Command::DeleteAccount { user: 1 }),
        ("command_set_view_limit", Command::SetViewLimit { user: 1, limit: 300 }),
        ("command_open_conversation", Command::OpenConversation { user: 1, other: "bob" }),
        ("command_send", Command::Send { user: 1, chat: Chat::Id(9), text: "hello" }),
        ("command_send_legacy", Command::Send { user: 1, chat: Chat::Legacy("alice_bob"), text: "ü 🔥" }),
        ("command_delete_messages", Command::DeleteMessages { user: 1, chat: Chat::Id(9), numbers: vec![1, 128] }),
        ("command_mark_read", Command::MarkRead { user: 1, conversation: 9, upto: 1 << 40 }),
        ("command_add_join_code", Command::AddJoinCode { hash: HASH, expires_ms: 1_795_348_800_000 }),
        ("command_consume_join_code", Command::ConsumeJoinCode { hash: HASH, node: u64::MAX }),
        ("command_remove_node", Command::RemoveNode { node: 0x1122_3344_5566_7788, name: "gamma", by: "alpha" }),
        ("command_by_device", Command::ByDevice { device: DEVICE, seq: 300, command: b"\x01\x01" }),
        ("command_void", Command::Void),
        ("command_send_to", Command::SendTo { user: 1, username: "bob", text: "hello" }),
        ("command_add_device", Command::AddDevice { user: 1, device: DEVICE, name: "desk", token_hash: Some(HASH) }),
        ("command_login_device", Command::LoginDevice { user: 1, device: DEVICE, token_hash: None, name: "desk" }),
        ("command_resume_device", Command::ResumeDevice { device: DEVICE, old_hash: HASH, new_hash: [0xcd; 32] }),
        ("command_revoke_device", Command::RevokeDevice { user: 1, device: DEVICE }),
        (
            "command_set_password",
            Command::SetPassword { user: 1, password_hash: "$argon2id$v=19$m=9216,t=4,p=1$", keep_device: DEVICE },
        ),
        ("command_set_nickname", Command::SetNickname { user: 1, nickname: "Älice" }),
        ("command_mark", Command::Mark { user: 1, marks: vec![Marks { conversation: 9, delivered: 300, read: 0 }] }),
        ("command_clear_view", Command::ClearView { user: 1, conversation: 9, upto: 300 }),
        ("command_bind_address", Command::BindAddress { user: 1, address: ADDRESS, for_ms: 86_400_000 }),
        (
            "command_register",
            Command::Register {
                username: "Łukasz",
                nickname: "Älice",
                password_hash: "$argon2id$v=19$m=9216,t=4,p=1$",
                keys: NameKeys { fold: "łukasz", skeleton: "łukasz", search: "lukasz" },
                nickname_search: "alice",
            },
        ),
        ("command_set_nickname_keyed", Command::SetNicknameKeyed { user: 1, nickname: "Älice", search: "alice" }),
        ("command_send_to_account", Command::SendToAccount { user: 1, to: Addressee::Account(300), text: "hello" }),
        (
            "command_send_to_named",
            Command::SendToAccount { user: 1, to: Addressee::Named { name: "Bob", fold: "bob" }, text: "hello" },
        ),
    ] {
        golden(name, &command, &mut Vec::new());
    }
}

#[test]
fn batches() {
    let mut commands = Vec::new();
    commands.extend(encode(&Command::DeleteAccount { user: 1 }));
    let run = Run { writer: WRITER, first_seq: 41, count: 1, commands: &commands };
    let batch = Batch { rule_level: 1, time_ms: 1_795_348_800_000, runs: vec![run] };
    golden("batch", &batch, &mut Vec::new());
}

#[test]
fn outcomes() {
    for (name, outcome) in [
        ("outcome_done", Outcome::Done),
        ("outcome_user_created", Outcome::UserCreated { user: 5 }),
        ("outcome_conversation", Outcome::Conversation { id: 9, legacy_id: "alice_bob".into() }),
        ("outcome_sent", Outcome::Sent { conversation: 9, number: 300, id: 70_000 }),
        ("outcome_deleted", Outcome::Deleted { count: 2 }),
        ("outcome_device_added", Outcome::DeviceAdded { device: DEVICE }),
        ("outcome_resumed", Outcome::Resumed { user: 1 }),
    ] {
        owned(name, &outcome);
    }
}

#[test]
fn refusals() {
    for (name, refusal) in [
        ("refusal_name_taken", Refusal::NameTaken),
        ("refusal_no_such_user", Refusal::NoSuchUser),
        ("refusal_no_such_conversation", Refusal::NoSuchConversation),
        ("refusal_peer_gone", Refusal::PeerGone { name: "bob".into() }),
        ("refusal_not_yours", Refusal::NotYours),
        ("refusal_code_unknown", Refusal::CodeUnknown),
        ("refusal_code_expired", Refusal::CodeExpired),
        ("refusal_code_used", Refusal::CodeUsed),
        ("refusal_malformed", Refusal::Malformed),
        ("refusal_sequence_gap", Refusal::SequenceGap),
        ("refusal_stale_epoch", Refusal::StaleEpoch),
        ("refusal_already_applied", Refusal::AlreadyApplied),
        ("refusal_node_removed", Refusal::NodeRemoved),
        ("refusal_device_gone", Refusal::DeviceGone),
        ("refusal_device_exists", Refusal::DeviceExists),
        ("refusal_token_unknown", Refusal::TokenUnknown),
        ("refusal_token_reused", Refusal::TokenReused),
        ("refusal_device_sequence_gap", Refusal::DeviceSequenceGap),
    ] {
        owned(name, &Outcome::Refused(refusal));
    }
}

#[test]
fn entries() {
    for (name, payload) in [
        ("entry_blank", Payload::Blank),
        ("entry_batch", Payload::Batch(b"\x01\x01")),
        ("entry_membership", Payload::Membership(membership())),
    ] {
        golden(name, &Entry { log_id: LOG_ID, payload }, &mut Vec::new());
    }
}

#[test]
fn hello_between_peers() {
    owned("peer_datagram_heartbeat", &Datagram::Heartbeat { vote: VOTE, leader_commit: Some(LOG_ID) });
    owned("peer_datagram_heard", &Datagram::Heard { vote: VOTE });
    let hello = Hello {
        node: 0x1122_3344_5566_7788,
        rule_level: 1,
        life: Life { incarnation: 7, id: [0xab; 16] },
        end: Some(LOG_ID),
        remembered: None,
        trusted: false,
    };
    owned("peer_hello", &hello);
    let remembered = Some(Remembered { life: Life { incarnation: 3, id: [0xcd; 16] }, promised: Some(LOG_ID) });
    owned("peer_hello_to_a_known_node", &Hello { remembered, ..hello });
}

#[test]
fn peer_requests() {
    let entries = vec![
        Entry { log_id: LOG_ID, payload: Payload::Blank },
        Entry { log_id: LogId { index: 301, ..LOG_ID }, payload: Payload::Batch(b"\x01\x01") },
    ];
    let header = SnapshotHeader {
        id: "3-300".into(),
        last_log_id: Some(LOG_ID),
        membership_log_id: None,
        membership: membership(),
        bytes: 1 << 20,
        sha256: HASH,
    };
    let run = Run { writer: WRITER, first_seq: 41, count: 1, commands: b"\x01\x01\x01" };
    for (name, request) in [
        ("peer_request_vote", PeerRequest::Vote { vote: VOTE, last_log_id: Some(LOG_ID) }),
        (
            "peer_request_append",
            PeerRequest::Append { vote: VOTE, prev_log_id: None, leader_commit: Some(LOG_ID), entries },
        ),
        ("peer_request_snapshot", PeerRequest::Snapshot { vote: VOTE, header }),
        ("peer_request_forward", PeerRequest::Forward { runs: vec![run] }),
        ("peer_request_states", PeerRequest::States { places: vec![(256, HASH), (300, HASH)] }),
        ("peer_request_read_index", PeerRequest::ReadIndex),
        ("peer_request_ca_key", PeerRequest::CaKey),
        ("peer_request_announce", PeerRequest::Announce { member: member() }),
        ("peer_request_join", PeerRequest::Join { request: b"\x01\x02" }),
        ("peer_request_pre_vote", PeerRequest::PreVote { last_log_id: Some(LOG_ID), dead: Some(LOG_ID.node) }),
        ("peer_request_reaches", PeerRequest::Reaches { node: LOG_ID.node }),
        ("peer_request_clock", PeerRequest::Clock),
        ("peer_request_remove", PeerRequest::Remove { node: 0x1122_3344_5566_7788, by: "alpha" }),
    ] {
        golden(name, &request, &mut Vec::new());
    }
}

#[test]
fn peer_replies() {
    let outcomes = vec![vec![Outcome::Done, Outcome::Refused(Refusal::NotYours)], vec![]];
    for (name, reply) in [
        ("peer_reply_vote", PeerReply::Vote { vote: VOTE, granted: true, last_log_id: None }),
        ("peer_reply_append_success", PeerReply::Append(AppendOutcome::Success)),
        ("peer_reply_append_partial", PeerReply::Append(AppendOutcome::Partial(Some(LOG_ID)))),
        ("peer_reply_append_conflict", PeerReply::Append(AppendOutcome::Conflict)),
        ("peer_reply_append_higher_vote", PeerReply::Append(AppendOutcome::HigherVote(VOTE))),
        ("peer_reply_snapshot", PeerReply::Snapshot { vote: VOTE }),
        ("peer_reply_forwarded", PeerReply::Forwarded { outcomes }),
        ("peer_reply_read_index", PeerReply::ReadIndex { index: 301 }),
        ("peer_reply_ca_key", PeerReply::CaKey { pem: "-----BEGIN PRIVATE KEY-----".into() }),
        ("peer_reply_done", PeerReply::Done),
        ("peer_reply_join", PeerReply::Join { reply: vec![1, 2, 3] }),
        ("peer_reply_not_leader", PeerReply::NotLeader { leader: Some(7) }),
        ("peer_reply_overloaded", PeerReply::Overloaded),
        ("peer_reply_failed", PeerReply::Failed { reason: "disk full".into() }),
        ("peer_reply_removed", PeerReply::Removed { voters: 3 }),
        ("peer_reply_pre_vote", PeerReply::PreVote { granted: true }),
        ("peer_reply_reaches", PeerReply::Reaches { linked: true }),
        ("peer_reply_clock", PeerReply::Clock { time_ms: 300, stamp_ms: 1_700_000_000_000 }),
    ] {
        owned(name, &reply);
    }
}

#[test]
fn joining() {
    owned("join_request", &JoinRequest { secret: vec![1; 16], csr: vec![0x30, 0x82], member: member(), named: true });
    let admitted = JoinReply::Admitted {
        cluster_id: "samira-0123456789abcdef".into(),
        cluster_name: "lab".into(),
        certificate: vec![0x30, 0x82],
        address: "10.0.0.2:5555".into(),
        members: vec![member()],
    };
    owned("join_reply_admitted", &admitted);
    for (name, refusal) in [
        ("join_reply_code_unknown", JoinRefusal::CodeUnknown),
        ("join_reply_code_expired", JoinRefusal::CodeExpired),
        ("join_reply_code_used", JoinRefusal::CodeUsed),
        ("join_reply_bad_request", JoinRefusal::BadRequest),
        ("join_reply_busy", JoinRefusal::Busy { reason: "no majority".into() }),
        ("join_reply_removed", JoinRefusal::Removed),
    ] {
        owned(name, &JoinReply::Refused(refusal));
    }
}
