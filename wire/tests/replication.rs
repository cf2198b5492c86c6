//! Properties of what nodes store and say to each other.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use wire::DecodeErrorKind;
use wire::replication::command::{Batch, Chat, Command, Marks, Outcome, Refusal, Run, Writer};
use wire::replication::entry::{Entry, LogId, Member, Membership, Payload};
use wire::replication::join::{JoinRefusal, JoinReply, JoinRequest, Probe, ProbeReply};
use wire::replication::rpc::{AppendOutcome, KnownAddress, PeerReply, PeerRequest, SnapshotHeader, Vote};
use wire::replication::{VERSION, decode, decode_prefix, encode, encode_into};

fn log_id() -> impl Strategy<Value = LogId> {
    any::<(u64, u64, u64)>().prop_map(|(term, node, index)| LogId { term, node, index })
}

fn vote() -> impl Strategy<Value = Vote> {
    any::<(u64, u64, bool)>().prop_map(|(term, node, committed)| Vote { term, node, committed })
}

fn member() -> impl Strategy<Value = Member> {
    (any::<u64>(), ".{0,8}", ".{0,8}").prop_map(|(id, address, name)| Member { id, address, name })
}

fn membership() -> impl Strategy<Value = Membership> {
    (vec(vec(any::<u64>(), 0..4), 0..3), vec(member(), 0..4)).prop_map(|(configs, nodes)| Membership { configs, nodes })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Done),
        any::<u64>().prop_map(|user| Outcome::UserCreated { user }),
        (any::<u64>(), ".{0,8}").prop_map(|(id, legacy_id)| Outcome::Conversation { id, legacy_id }),
        any::<(u64, u64, u64)>().prop_map(|(conversation, number, id)| Outcome::Sent { conversation, number, id }),
        any::<u32>().prop_map(|count| Outcome::Deleted { count }),
        ".{0,8}".prop_map(|name| Outcome::Refused(Refusal::PeerGone { name })),
        Just(Outcome::Refused(Refusal::AlreadyApplied)),
        Just(Outcome::Refused(Refusal::TokenReused)),
        Just(Outcome::Refused(Refusal::DeviceSequenceGap)),
        any::<u64>().prop_map(|device| Outcome::DeviceAdded { device }),
        any::<u64>().prop_map(|user| Outcome::Resumed { user }),
    ]
}

fn append_outcome() -> impl Strategy<Value = AppendOutcome> {
    prop_oneof![
        Just(AppendOutcome::Success),
        option::of(log_id()).prop_map(AppendOutcome::Partial),
        Just(AppendOutcome::Conflict),
        vote().prop_map(AppendOutcome::HigherVote),
    ]
}

fn reply() -> impl Strategy<Value = PeerReply> {
    prop_oneof![
        (vote(), any::<bool>(), option::of(log_id())).prop_map(|(vote, granted, last_log_id)| PeerReply::Vote {
            vote,
            granted,
            last_log_id
        }),
        append_outcome().prop_map(PeerReply::Append),
        vote().prop_map(|vote| PeerReply::Snapshot { vote }),
        vec(vec(outcome(), 0..3), 0..3).prop_map(|outcomes| PeerReply::Forwarded { outcomes }),
        vec(any::<u8>(), 0..40).prop_map(|reply| PeerReply::Join { reply }),
        option::of(any::<u64>()).prop_map(|leader| PeerReply::NotLeader { leader }),
        ".{0,8}".prop_map(|reason| PeerReply::Failed { reason }),
        any::<u32>().prop_map(|voters| PeerReply::Removed { voters }),
        any::<bool>().prop_map(|granted| PeerReply::PreVote { granted }),
        any::<bool>().prop_map(|linked| PeerReply::Reaches { linked }),
        any::<(u64, u64)>().prop_map(|(time_ms, stamp_ms)| PeerReply::Clock { time_ms, stamp_ms }),
    ]
}

fn header() -> impl Strategy<Value = SnapshotHeader> {
    let log_ids = (option::of(log_id()), option::of(log_id()));
    (".{0,8}", log_ids, membership(), any::<u64>(), any::<[u8; 32]>()).prop_map(
        |(id, (last_log_id, membership_log_id), membership, bytes, sha256)| SnapshotHeader {
            id,
            last_log_id,
            membership_log_id,
            membership,
            bytes,
            sha256,
        },
    )
}

/// What borrowing messages borrow from.
#[derive(Debug)]
struct Parts {
    text: String,
    bytes: Vec<u8>,
    numbers: Vec<u64>,
    number: u64,
    hash: [u8; 32],
}

fn parts() -> impl Strategy<Value = Parts> {
    (".{0,12}", vec(any::<u8>(), 0..40), vec(any::<u64>(), 0..6), any::<u64>(), any::<[u8; 32]>())
        .prop_map(|(text, bytes, numbers, number, hash)| Parts { text, bytes, numbers, number, hash })
}

impl Parts {
    fn commands(&self) -> Vec<Command<'_>> {
        let (text, user) = (self.text.as_str(), self.number);
        let numbers = self.numbers.clone();
        let marks = numbers.iter().map(|&read| Marks { conversation: self.number, delivered: read, read }).collect();
        vec![
            Command::Signup { username: text, nickname: text, password_hash: text },
            Command::DeleteAccount { user },
            Command::SetViewLimit { user, limit: self.number as u32 },
            Command::OpenConversation { user, other: text },
            Command::Send { user, chat: Chat::Id(self.number), text },
            Command::Send { user, chat: Chat::Legacy(text), text },
            Command::DeleteMessages { user, chat: Chat::Legacy(text), numbers },
            Command::MarkRead { user, conversation: self.number, upto: self.number },
            Command::AddJoinCode { hash: self.hash, expires_ms: self.number },
            Command::ConsumeJoinCode { hash: self.hash, node: self.number },
            Command::RemoveNode { node: self.number, name: text, by: text },
            Command::ByDevice { device: self.number, seq: user, command: &self.bytes },
            Command::Void,
            Command::SendTo { user, username: text, text },
            Command::AddDevice { user, device: self.number, name: text, token_hash: Some(self.hash) },
            Command::LoginDevice { user, device: self.number, token_hash: None, name: text },
            Command::ResumeDevice { device: self.number, old_hash: self.hash, new_hash: self.hash },
            Command::RevokeDevice { user, device: self.number },
            Command::SetPassword { user, password_hash: text, keep_device: self.number },
            Command::SetNickname { user, nickname: text },
            Command::Mark { user, marks },
            Command::ClearView { user, conversation: self.number, upto: self.number },
            Command::BindAddress { user, address: [self.hash[0]; 16], for_ms: self.number },
        ]
    }

    fn run(&self) -> Run<'_> {
        let writer = Writer { device: self.number, epoch: 1 };
        Run { writer, first_seq: self.number, count: 1, commands: &self.bytes }
    }
}

/// Encodes, decodes and damages one value.
macro_rules! check {
    ($value:expr, $kind:ty) => {
        let value = $value;
        let bytes = encode(&value);
        prop_assert_eq!(decode::<$kind>(&bytes), Ok(value));
        for len in 0..bytes.len() {
            prop_assert!(decode::<$kind>(&bytes[..len]).is_err(), "{} of {} bytes", len, bytes.len());
        }
        let longer = [&bytes[..], &[0]].concat();
        let error = decode::<$kind>(&longer).expect_err("one byte too many");
        prop_assert_eq!((error.at, error.kind), (bytes.len(), DecodeErrorKind::TrailingBytes));
        let newer = [&[VERSION + 1], &bytes[1..]].concat();
        let error = decode::<$kind>(&newer).expect_err("a newer version");
        prop_assert_eq!((error.at, error.kind), (0, DecodeErrorKind::Version { got: VERSION + 1 }));
    };
}

/// Whatever is read from noise is a value of its own, and survives as such.
macro_rules! again {
    ($value:ident: $kind:ty, $bytes:expr) => {
        if let Ok($value) = decode::<$kind>($bytes) {
            let bytes = encode(&$value);
            prop_assert_eq!(decode(&bytes), Ok($value));
        }
    };
}

proptest! {
    #[test]
    fn commands_survive(parts in parts()) {
        for command in parts.commands() {
            check!(command, Command<'_>);
        }
    }

    #[test]
    fn batches_and_requests_survive(
        parts in parts(), vote in vote(), ids in vec(option::of(log_id()), 2), membership in membership(),
        header in header(),
    ) {
        check!(Batch { rule_level: 1, time_ms: parts.number, runs: vec![parts.run(), parts.run()] }, Batch<'_>);
        let entry = |payload| Entry { log_id: ids[0].unwrap_or(LogId { term: 0, node: 0, index: 0 }), payload };
        let entries = vec![
            entry(Payload::Blank),
            entry(Payload::Batch(&parts.bytes)),
            entry(Payload::Membership(membership)),
        ];
        check!(
            PeerRequest::Append { vote, prev_log_id: ids[0], leader_commit: ids[1], entries },
            PeerRequest<'_>
        );
        check!(PeerRequest::Vote { vote, last_log_id: ids[1] }, PeerRequest<'_>);
        check!(PeerRequest::PreVote { last_log_id: ids[1], dead: ids[0].map(|id| id.node) }, PeerRequest<'_>);
        check!(PeerRequest::Forward { runs: vec![parts.run()] }, PeerRequest<'_>);
        let known = vec![KnownAddress { node: parts.number, address: parts.text.clone() }];
        check!(PeerRequest::Addresses { known }, PeerRequest<'_>);
        check!(PeerRequest::Snapshot { vote, header }, PeerRequest<'_>);
        check!(PeerRequest::Join { request: &parts.bytes }, PeerRequest<'_>);
        check!(PeerRequest::Reaches { node: parts.number }, PeerRequest<'_>);
        check!(PeerRequest::Clock, PeerRequest<'_>);
        check!(PeerRequest::Remove { node: parts.number, by: &parts.text }, PeerRequest<'_>);
    }

    #[test]
    fn replies_survive(reply in reply()) {
        check!(reply, PeerReply);
    }

    #[test]
    fn join_messages_survive(secret in vec(any::<u8>(), 0..20), member in member(), text in ".{0,8}") {
        let (csr, named) = (secret.clone(), secret.len() > 9);
        check!(JoinRequest { secret: secret.clone(), csr, member: member.clone(), named }, JoinRequest);
        check!(Probe { leader: text.clone() }, Probe);
        check!(ProbeReply { failed: named.then(|| text.clone()) }, ProbeReply);
        let (name, address, reason) = (text.clone(), text.clone(), text.clone());
        check!(JoinReply::Refused(JoinRefusal::OneWay { name, address, reason }), JoinReply);
        let admitted = JoinReply::Admitted {
            cluster_id: text.clone(),
            cluster_name: text.clone(),
            certificate: secret,
            address: text,
            members: vec![member],
        };
        check!(admitted, JoinReply);
    }

    #[test]
    fn values_stand_one_behind_the_other(parts in parts()) {
        let commands = parts.commands();
        let bytes = commands.iter().fold(Vec::new(), |bytes, command| encode_into(command, bytes));
        let mut rest = &bytes[..];
        for command in commands {
            let (read, behind) = decode_prefix::<Command<'_>>(rest).expect("a command");
            prop_assert_eq!(read, command);
            rest = behind;
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn noise_never_panics(bytes in vec(any::<u8>(), 0..80)) {
        let bytes = [&[VERSION], &bytes[..]].concat();
        again!(request: PeerRequest<'_>, &bytes);
        again!(reply: PeerReply, &bytes);
        again!(batch: Batch<'_>, &bytes);
        again!(join: JoinRequest, &bytes);
    }
}
