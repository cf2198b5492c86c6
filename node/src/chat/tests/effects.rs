//! What live sessions are told.

use std::sync::{Arc, Mutex};

use wire::replication::command::{Chat, Command, Marks, RULE_LEVEL_NUMBERED, Writer};
use wire::replication::entry::{Membership, Payload};

use super::{Machine, START_MS, encode_run};
use crate::chat::effect::{Applied, Audience, Effect, Listener, What};
use crate::chat::state::Revocation;
use crate::storage::state::{StateDb, copy_to};

const ALICE: u64 = 1;
const BOB: u64 = 2;
const CAROL: u64 = 3;

/// A machine with three people; what it tells, and for whom.
fn watched(mut db: StateDb) -> (Machine, Arc<Mutex<Vec<Applied>>>, Audience) {
    let told: Arc<Mutex<Vec<Applied>>> = Arc::default();
    let sink = Arc::clone(&told);
    let audience = Audience::default();
    let tell = Box::new(move |applied| sink.lock().unwrap().push(applied));
    db.tell(Listener { audience: audience.clone(), tell });
    let mut machine = Machine::on(db);
    for name in ["alice", "bob", "carol"] {
        machine.signup(name);
    }
    (machine, told, audience)
}

/// Id, audience and what, of all effects told since the last call.
fn effects(told: &Mutex<Vec<Applied>>) -> Vec<(u64, Vec<u64>, What)> {
    let told = std::mem::take(&mut *told.lock().unwrap());
    told.into_iter()
        .flat_map(|applied| match applied {
            Applied::Effects(effects) => effects,
            other => panic!("{other:?}"),
        })
        .map(|Effect { id, audience, what }| (id, audience.to_vec(), what))
        .collect()
}

#[test]
fn every_change_is_told_to_those_who_may_see_it() {
    let (mut m, told, audience) = watched(StateDb::in_memory());
    [ALICE, BOB, CAROL].iter().for_each(|user| audience.enter(*user));
    let both = vec![ALICE, BOB];
    let marks = |delivered, read| What::Marks { conversation: 1, user: BOB, delivered, read };
    let text = |text: &str, number, seq, time_ms| What::Message {
        conversation: 1,
        number,
        sender: ALICE,
        time_ms,
        text: text.into(),
        device: super::WRITER.device,
        seq,
    };
    m.apply(Command::SendTo { user: ALICE, username: "bob", text: "one" });
    m.apply(Command::Send { user: ALICE, chat: Chat::Legacy("alice_bob"), text: "two" });
    assert_eq!(
        effects(&told),
        [
            (1, both.clone(), What::Conversation { conversation: 1 }),
            (2, both.clone(), text("one", 1, 4, START_MS + 3000)),
            (3, both.clone(), text("two", 2, 5, START_MS + 4000)),
        ]
    );
    m.apply(Command::AddDevice { user: BOB, device: 50, name: "d", token_hash: None });
    assert_eq!(effects(&told), []);
    for (command, expected) in [
        (
            Command::DeleteMessages { user: ALICE, chat: Chat::Id(1), numbers: vec![1] },
            vec![(4, both.clone(), What::Deleted { conversation: 1, number: 1 })],
        ),
        (Command::MarkRead { user: BOB, conversation: 1, upto: 1 }, vec![(5, both.clone(), marks(1, 1))]),
        (
            Command::Mark { user: BOB, marks: vec![Marks { conversation: 1, delivered: 2, read: 0 }] },
            vec![(6, both.clone(), marks(2, 1))],
        ),
        (
            Command::ClearView { user: BOB, conversation: 1, upto: 2 },
            vec![(7, both.clone(), marks(2, 2)), (8, vec![BOB], What::Cleared { conversation: 1, user: BOB, upto: 2 })],
        ),
        (Command::SetNickname { user: BOB, nickname: "Bobby" }, vec![(9, both.clone(), What::Person { user: BOB })]),
        (Command::SetViewLimit { user: BOB, limit: 3 }, vec![(10, vec![BOB], What::Account { user: BOB })]),
        (
            Command::DeleteAccount { user: BOB },
            vec![
                (10, vec![BOB], What::DeviceRevoked { user: BOB, device: 50, why: Revocation::AccountDeleted }),
                (11, both, What::Person { user: BOB }),
            ],
        ),
    ] {
        m.apply(command.clone());
        assert_eq!(effects(&told), expected, "{command:?}");
    }
    m.payload(Payload::Membership(Membership::default())).unwrap();
    assert_eq!(effects(&told), [(11, vec![], What::MembersChanged)]);
}

#[test]
fn nothing_is_told_for_those_nobody_listens_for() {
    let (mut m, told, audience) = watched(StateDb::in_memory());
    let send = || Command::SendTo { user: ALICE, username: "bob", text: "x" };
    m.apply(send());
    m.payload(Payload::Membership(Membership::default())).unwrap();
    assert_eq!(effects(&told), []);
    audience.enter(CAROL);
    m.apply(send());
    assert_eq!(effects(&told), []);
    audience.enter(BOB);
    m.apply(send());
    assert!(matches!(&effects(&told)[..], [(4, users, What::Message { number: 3, .. })] if *users == [BOB]));
    audience.leave(BOB);
    m.apply(send());
    assert_eq!(effects(&told), []);
}

/// Whoever comes while a transaction is under way may have read before it was committed.
#[test]
fn who_comes_in_the_middle_is_told_of_having_missed_it() {
    let mut db = StateDb::in_memory();
    let told: Arc<Mutex<Vec<Applied>>> = Arc::default();
    let audience = Audience::default();
    audience.enter(ALICE);
    let (sink, coming) = (Arc::clone(&told), audience.clone());
    // The listener is called behind the commit and before the audience is looked at again.
    let tell = Box::new(move |applied: Applied| {
        if matches!(applied, Applied::Effects(_)) {
            coming.enter(ALICE);
            coming.enter(BOB);
        }
        sink.lock().unwrap().push(applied);
    });
    db.tell(Listener { audience, tell });
    let mut m = Machine::on(db);
    m.signup("alice");
    m.signup("bob");
    m.apply(Command::SetViewLimit { user: ALICE, limit: 9 });
    let told = told.lock().unwrap();
    assert!(matches!(&told[..], [Applied::Effects(_), Applied::Missed(users)] if *users == [BOB]), "{told:?}");
}

#[test]
fn an_installed_snapshot_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let source = Machine::on(StateDb::open(&path("source.db")).unwrap());
    copy_to(&path("source.db"), &path("copy.db")).unwrap();
    drop(source);
    let (mut m, told, _audience) = watched(StateDb::open(&path("state.db")).unwrap());
    m.db.install(&path("copy.db")).unwrap();
    assert_eq!(*told.lock().unwrap(), [Applied::Replaced]);
}

/// A conversation from before changes were numbered is news when its first message is.
#[test]
fn an_old_conversation_comes_into_sight_with_its_first_message() {
    let (mut m, told, audience) = watched(StateDb::in_memory());
    audience.enter(BOB);
    let open = Command::OpenConversation { user: ALICE, other: "bob" };
    let old = encode_run(RULE_LEVEL_NUMBERED - 1, START_MS, Writer { device: 77, epoch: 1 }, &[open]);
    m.payload(Payload::Batch(&old)).unwrap();
    assert_eq!(effects(&told), []);
    m.apply(Command::SendTo { user: ALICE, username: "bob", text: "x" });
    m.apply(Command::SendTo { user: ALICE, username: "bob", text: "y" });
    let effects = effects(&told);
    assert!(
        matches!(
            &effects[..],
            [
                (1, _, What::Conversation { conversation: 1 }),
                (1, _, What::Message { number: 1, .. }),
                (2, _, What::Message { number: 2, .. })
            ]
        ),
        "{effects:?}"
    );
}
