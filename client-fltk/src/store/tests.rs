use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::model::{Account, Marks, Outgoing, Person, Refusal, Row, Summary, Target, Text, Way, Write, WriteState};
use wire::chat::Code;

const ME: u64 = 1;

fn open(path: &Path) -> (Store, Model) {
    Store::open(path).unwrap()
}

/// A process: what it does is a run of deltas, each committed or lost.
fn commit(store: &mut Store, model: &mut Model, deltas: &[Delta]) {
    model.apply_all(deltas);
    store.commit(deltas, model).unwrap();
}

fn account() -> Delta {
    Delta::Account(Account { user: ME, username: "al".into(), nickname: "Al".into(), view_limit: 6 })
}

fn message(conversation: u64, number: u64, sender: u64, seq: u64) -> Delta {
    let message = Message {
        number,
        id: 10 * number + conversation,
        sender,
        time_ms: 5,
        text: format!("m{number}").into(),
        deleted: false,
        seq,
    };
    Delta::Message { conversation, message, way: Way::Stream }
}

#[test]
fn who_this_is_survives_and_the_token_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let identity =
        Identity { cluster: "c1".into(), pin: Some(Pin([7; 16])), device: u64::MAX >> 1, token: Some(Token([9; 24])) };
    {
        let (mut store, model) = open(&path);
        assert_eq!((store.identity(), &model), (&Identity::default(), &Model::default()));
        assert_eq!(store.link().unwrap(), None);
        store.set_identity(identity.clone()).unwrap();
        store.set_addresses(["a:1", "[::1]:2"]).unwrap();
        store.set_setting("theme", "dark").unwrap();
    }
    let (mut store, mut model) = open(&path);
    assert_eq!(store.identity(), &identity);
    assert_eq!(store.link().unwrap().unwrap().to_string(), format!("samira://a:1,[::1]:2#{}", Pin([7; 16])));
    assert_eq!(store.setting("theme").unwrap().as_deref(), Some("dark"));
    assert_eq!(store.setting("size").unwrap(), None);
    // Leaving takes the token, not the way to the cluster.
    commit(&mut store, &mut model, &[account(), message(3, 1, 2, 0), Delta::Wipe]);
    drop(store);
    let (store, model) = open(&path);
    assert_eq!(model, Model::default());
    assert_eq!((store.identity().device, &store.identity().token), (0, &None));
    assert!(store.link().unwrap().is_some());
}

#[test]
fn what_was_not_committed_never_happened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let (mut store, mut model) = open(&path);
    commit(&mut store, &mut model, &[account(), message(3, 1, 2, 0), Delta::Cursor { cursor: 13, synced: true }]);
    // The process is killed after it took changes in and before they were on disk.
    model.apply_all(&[message(3, 2, 2, 0), Delta::Cursor { cursor: 23, synced: true }]);
    drop(store);
    let (mut store, mut model) = open(&path);
    assert_eq!((model.cursor, model.unread(3)), (13, 1));
    // It is told again, and then it is there.
    commit(&mut store, &mut model, &[message(3, 2, 2, 0), Delta::Cursor { cursor: 23, synced: true }]);
    drop(store);
    let (_, model) = open(&path);
    assert_eq!((model.cursor, model.unread(3)), (23, 2));
}

#[test]
fn a_failed_commit_leaves_nothing_of_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let (mut store, mut model) = open(&path);
    commit(&mut store, &mut model, &[account(), message(3, 1, 2, 0)]);
    // The disk fails in the middle: the cursor would be written, the message not.
    store
        .connection
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'full'); END")
        .unwrap();
    let deltas = [Delta::Cursor { cursor: 50, synced: true }, message(3, 2, 2, 0)];
    model.apply_all(&deltas);
    assert!(store.commit(&deltas, &model).is_err());
    store.connection.execute_batch("DROP TRIGGER full").unwrap();
    drop(store);
    let (_, model) = open(&path);
    assert_eq!((model.cursor, model.unread(3)), (0, 1));
}

#[test]
fn every_kind_of_write_survives() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let (mut store, mut model) = open(&path);
    let writes = [
        Write::Send { to: Target::Conversation(3), text: "a\nb".into() },
        Write::Send { to: Target::Username("bo".into()), text: "x".into() },
        Write::Send { to: Target::Account { user: 9, username: "bo".into() }, text: "x".into() },
        Write::Delete { conversation: 3, numbers: vec![4, 7, 5] },
        Write::Clear { conversation: 3, upto: 9 },
        Write::Nickname("Bö".into()),
        Write::ViewLimit(12),
    ];
    let states = [
        WriteState::Queued,
        WriteState::Sent,
        WriteState::Refused(Refusal { code: Code::NotYours, text: "no".into() }),
        WriteState::Stored { conversation: 3, number: 8 },
        WriteState::Queued,
        WriteState::Sent,
        WriteState::Queued,
    ];
    let mut deltas = vec![account()];
    for (key, (write, state)) in (1..).zip(writes.into_iter().zip(states)) {
        deltas.push(Delta::Queued(Outgoing { key, seq: 0, write, created_ms: 7, state: WriteState::Queued }));
        deltas.push(Delta::WriteState { key, seq: 40 + key, state });
    }
    deltas.push(Delta::Draft { conversation: 3, text: "begun".into() });
    commit(&mut store, &mut model, &deltas);
    let Some(Write::Delete { numbers, .. }) = model.outbox.get_mut(&4).map(|outgoing| &mut outgoing.write) else {
        panic!("another order")
    };
    // Which, not in which order.
    numbers.sort_unstable();
    drop(store);
    let (mut store, mut found) = open(&path);
    assert_eq!(found, model);
    // A message that came removes its write, and a draft that was sent its text.
    commit(&mut store, &mut found, &[message(3, 2, ME, 42), message(3, 8, ME, 0), Delta::Dropped { key: 3 }]);
    commit(&mut store, &mut found, &[Delta::Draft { conversation: 3, text: Text::default() }, message(3, 9, ME, 41)]);
    drop(store);
    let (_, again) = open(&path);
    assert_eq!(again, found);
    assert_eq!(again.outbox.keys().copied().collect::<Vec<_>>(), [4, 5, 6, 7]);
}

#[test]
fn a_number_of_an_earlier_device_is_nobodys_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let (mut store, mut model) = open(&path);
    commit(&mut store, &mut model, &[account(), message(3, 1, ME, 1)]);
    drop(store);
    // The next device of this profile counts from 1 again.
    let (mut store, mut model) = open(&path);
    let write = Write::Send { to: Target::Conversation(3), text: "new".into() };
    let sent = Outgoing { key: 1, seq: 1, write, created_ms: 7, state: WriteState::Sent };
    commit(&mut store, &mut model, &[Delta::Queued(sent)]);
    for held in store.messages_before(3, 0, 9).unwrap() {
        commit(&mut store, &mut model, &[Delta::Message { conversation: 3, message: held, way: Way::History }]);
    }
    assert_eq!(model.outbox.len(), 1);
}

#[test]
fn a_message_known_to_have_come_and_gone_leaves_the_outbox_on_disk_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let (mut store, mut model) = open(&path);
    let write = Write::Send { to: Target::Conversation(2), text: "x".into() };
    let queued = Outgoing { key: 2, seq: 0, write, created_ms: 7, state: WriteState::Queued };
    let state = WriteState::Stored { conversation: 2, number: 11 };
    commit(&mut store, &mut model, &[account(), Delta::Queued(queued), Delta::WriteState { key: 2, seq: 2, state }]);
    commit(&mut store, &mut model, &[Delta::Covered { conversation: 2, first: 5, last: 11 }]);
    assert!(model.outbox.is_empty());
    drop(store);
    assert_eq!(open(&path).1, model);
}

#[test]
fn old_messages_stay_on_disk_when_memory_lets_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let (mut store, mut model) = open(&path);
    let last = crate::limits::MEMORY_MESSAGES_MAX as u64 + 10;
    let mut deltas = vec![account()];
    deltas.extend((1..=last).map(|number| message(3, number, 2, 0)));
    deltas.push(Delta::Mark { conversation: 3, user: ME, marks: Marks { delivered: 0, read: last } });
    commit(&mut store, &mut model, &deltas);
    model.trim(None);
    assert!(model.conversations[&3].messages.len() <= TAIL_MESSAGES);
    let numbers = |messages: Vec<Message>| messages.iter().map(|message| message.number).collect::<Vec<_>>();
    assert_eq!(numbers(store.messages_before(3, 6, 3).unwrap()), [5, 4, 3]);
    assert_eq!(numbers(store.messages_before(3, 0, 2).unwrap()), [last, last - 1]);
    // A deletion reaches what is not in memory.
    commit(&mut store, &mut model, &[Delta::Deleted { conversation: 3, number: 4 }]);
    let gone = &store.messages_before(3, 5, 1).unwrap()[0];
    assert_eq!((gone.number, gone.deleted, &*gone.text), (4, true, ""));
    drop(store);
    let (_, found) = open(&path);
    assert_eq!((found.hash(), &found), (model.hash(), &model));
    assert!(matches!(found.timeline(3).first(), Some(Row::Message(..))));
}

#[test]
fn a_newer_profile_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    let (store, _) = open(&path);
    store.connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    drop(store);
    assert!(matches!(Store::open(&path), Err(StoreError::Newer { .. })));
}

#[test]
fn what_is_no_profile_is_told_as_that() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.db");
    std::fs::write(&path, "this is no database, but it is long enough to look at").unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Sqlite(_))));
    let path = directory.path().join("q.db");
    let (store, _) = open(&path);
    store.connection.execute("UPDATE identity SET token = x'00'", []).unwrap();
    drop(store);
    assert!(matches!(Store::open(&path), Err(StoreError::Damaged(_))));
}

fn delta() -> impl Strategy<Value = Delta> {
    let (conversation, number, user) = (1_u64..4, 1_u64..30, 1_u64..4);
    let place = (conversation, number);
    prop_oneof![
        8 => (place.clone(), user.clone(), 0_u64..5).prop_map(|((c, n), user, seq)| message(c, n, user, if user == ME { seq } else { 0 })),
        2 => place.clone().prop_map(|(conversation, number)| Delta::Deleted { conversation, number }),
        3 => (place.clone(), user, any::<bool>()).prop_map(|((conversation, upto), user, read)| Delta::Mark {
            conversation,
            user,
            marks: Marks { delivered: upto, read: if read { upto } else { 0 } },
        }),
        1 => place.clone().prop_map(|(conversation, upto)| Delta::Cleared { conversation, upto }),
        2 => place.clone().prop_map(|(conversation, upto)| Delta::ReadHere { conversation, upto }),
        1 => (place.clone(), 0_u64..9, any::<bool>()).prop_map(|((conversation, last_number), unread, behind)| {
            let person = |user| Person { user, username: format!("u{user}"), nickname: format!("n{unread}"), gone: behind };
            let members = vec![(person(1), Marks::default()), (person(2), Marks { delivered: 3, read: 2 })];
            Delta::Conversation(Summary { conversation, members, last_number, unread, behind, cleared: 0, newest: None })
        }),
        1 => (place.clone(), any::<bool>()).prop_map(|((conversation, last), more)| Delta::Next { conversation, last, more }),
        1 => place.clone().prop_map(|(conversation, last)| Delta::Covered { conversation, first: last / 2, last }),
        2 => (1_u64..6, place.clone()).prop_map(|(key, (conversation, _))| Delta::Queued(Outgoing {
            key,
            seq: 0,
            write: Write::Send { to: Target::Conversation(conversation), text: "x".into() },
            created_ms: key,
            state: WriteState::Queued,
        })),
        2 => (1_u64..6, place.clone()).prop_map(|(key, (conversation, number))| Delta::WriteState {
            key,
            seq: key,
            state: WriteState::Stored { conversation, number },
        }),
        1 => (1_u64..6).prop_map(|key| Delta::WriteState { key, seq: key, state: WriteState::Sent }),
        1 => (1_u64..6).prop_map(|key| Delta::Dropped { key }),
        1 => place.prop_map(|(conversation, cursor)| Delta::Draft { conversation, text: if cursor > 15 { "d".into() } else { Text::default() } }),
        2 => (1_u64..99).prop_map(|cursor| Delta::Cursor { cursor, synced: false }),
        1 => Just(Delta::SetAside),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A process that is killed between any two commits, and started again, goes on as if nothing had happened.
    #[test]
    fn a_killed_process_goes_on_as_if_nothing_had_happened(
        runs in proptest::collection::vec((proptest::collection::vec(delta(), 1..8), any::<bool>()), 1..20)
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.db");
        let mut never_killed = Model::default();
        never_killed.apply(&account());
        let (mut store, mut model) = open(&path);
        commit(&mut store, &mut model, &[account()]);
        for (deltas, killed) in runs {
            never_killed.apply_all(&deltas);
            commit(&mut store, &mut model, &deltas);
            if killed {
                drop(store);
                (store, model) = open(&path);
            }
            prop_assert_eq!(&model, &never_killed);
            prop_assert_eq!(model.hash(), never_killed.hash());
        }
    }
}
