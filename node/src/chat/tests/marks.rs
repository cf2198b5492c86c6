//! Marks, views, nicknames, and messages to people by name.

use wire::limits::{ITEMS_PER_REQUEST_MAX, NAME_CHARS_MAX};
use wire::replication::command::{Chat, Command, Marks, Outcome, Refusal};

use super::Machine;
use crate::storage::query::StateReader;
use crate::storage::state::StateDb;

const ALICE: u64 = 1;
const BOB: u64 = 2;

/// Alice has sent bob three messages; carol is somebody else.
fn talked() -> (tempfile::TempDir, Machine, StateReader) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let mut m = Machine::on(StateDb::open(&path).unwrap());
    for name in ["alice", "bob", "carol"] {
        m.signup(name);
    }
    for number in 1..=3 {
        let sent = m.apply(Command::SendTo { user: ALICE, username: "bob", text: "x" });
        assert_eq!(sent, Outcome::Sent { conversation: 1, number, id: number + 1 });
    }
    (directory, m, StateReader::open(&path).unwrap())
}

fn mark(user: u64, delivered: u64, read: u64) -> Command<'static> {
    Command::Mark { user, marks: vec![Marks { conversation: 1, delivered, read }] }
}

/// Delivered and read of bob, and the last change number.
fn standing(reader: &StateReader) -> (u64, u64, u64) {
    let summary = reader.summary(BOB, 1).unwrap().unwrap();
    let bob = summary.members.iter().find(|member| member.person.user == BOB).unwrap();
    (bob.delivered, bob.read, reader.last_change().unwrap())
}

#[test]
fn marks_rise_one_behind_the_other_and_no_further_than_there_are_messages() {
    let (_directory, mut m, reader) = talked();
    for (command, expected) in [
        (mark(BOB, 1, 0), (1, 0, 5)),
        (mark(BOB, 1, 0), (1, 0, 5)),
        (mark(BOB, 0, 0), (1, 0, 5)),
        (mark(BOB, 0, 2), (2, 2, 6)),
        (mark(BOB, 1, 1), (2, 2, 6)),
        (Command::MarkRead { user: BOB, conversation: 1, upto: 1 }, (2, 2, 6)),
        (mark(BOB, u64::MAX, 0), (3, 2, 7)),
        (Command::MarkRead { user: BOB, conversation: 1, upto: u64::MAX }, (3, 3, 8)),
        (mark(BOB, u64::MAX, u64::MAX), (3, 3, 8)),
        // Neither hers nor there.
        (mark(3, 1, 1), (3, 3, 8)),
        (Command::Mark { user: BOB, marks: vec![Marks { conversation: 9, delivered: 1, read: 1 }] }, (3, 3, 8)),
    ] {
        assert_eq!(m.apply(command.clone()), Outcome::Done, "{command:?}");
        assert_eq!(standing(&reader), expected, "{command:?}");
    }
    let many = vec![Marks { conversation: 1, delivered: 1, read: 1 }; ITEMS_PER_REQUEST_MAX + 1];
    assert_eq!(m.apply(Command::Mark { user: BOB, marks: many }), Outcome::Refused(Refusal::Malformed));
    assert_eq!(m.apply(mark(9, 1, 1)), Outcome::Refused(Refusal::NoSuchUser));
}

#[test]
fn a_view_is_emptied_for_its_owner_alone() {
    let (_directory, mut m, reader) = talked();
    let clear = |user, upto| Command::ClearView { user, conversation: 1, upto };
    assert_eq!(m.apply(clear(BOB, 2)), Outcome::Done);
    // The mark is one change, the view another.
    assert_eq!(standing(&reader), (2, 2, 6));
    let summary = reader.summary(BOB, 1).unwrap().unwrap();
    assert_eq!((summary.cleared, summary.unread, summary.newest.unwrap().number), (2, 1, 3));
    assert_eq!(reader.summary(ALICE, 1).unwrap().unwrap().cleared, 0);
    for unchanged in [clear(BOB, 2), clear(BOB, 1), clear(BOB, 0)] {
        assert_eq!(m.apply(unchanged), Outcome::Done);
        assert_eq!(standing(&reader), (2, 2, 6));
    }
    assert_eq!(m.apply(clear(BOB, u64::MAX)), Outcome::Done);
    assert_eq!(standing(&reader), (3, 3, 8));
    assert_eq!(reader.summary(BOB, 1).unwrap().unwrap().newest, None);
    assert_eq!(m.apply(clear(3, 1)), Outcome::Refused(Refusal::NoSuchConversation));
    assert_eq!(m.apply(clear(9, 1)), Outcome::Refused(Refusal::NoSuchUser));
}

#[test]
fn a_nickname_is_bounded_and_shown() {
    let (_directory, mut m, reader) = talked();
    let longest = "n".repeat(NAME_CHARS_MAX);
    for (user, nickname, expected) in [
        (ALICE, longest.as_str(), Outcome::Done),
        (ALICE, "", Outcome::Refused(Refusal::Malformed)),
        (ALICE, &format!("{longest}n"), Outcome::Refused(Refusal::Malformed)),
        (9, "n", Outcome::Refused(Refusal::NoSuchUser)),
    ] {
        assert_eq!(m.apply(Command::SetNickname { user, nickname }), expected);
    }
    assert_eq!(reader.person(ALICE).unwrap().unwrap().nickname, longest);
    assert_eq!(reader.last_change().unwrap(), 5);
}

#[test]
fn a_message_to_somebody_makes_the_conversation_if_there_is_somebody() {
    let (_directory, mut m, _reader) = talked();
    let to = |user, username| Command::SendTo { user, username, text: "x" };
    assert_eq!(m.apply(to(3, "alice")), Outcome::Sent { conversation: 2, number: 1, id: 6 });
    assert_eq!(m.apply(to(3, "carol")), Outcome::Sent { conversation: 3, number: 1, id: 8 });
    assert_eq!(m.apply(to(BOB, "alice")), Outcome::Sent { conversation: 1, number: 4, id: 9 });
    let gone = |name: &str| Outcome::Refused(Refusal::PeerGone { name: name.into() });
    assert_eq!(m.apply(to(ALICE, "nobody")), gone("nobody"));
    assert_eq!(m.apply(to(9, "bob")), Outcome::Refused(Refusal::NoSuchUser));
    let long = "x".repeat(500);
    assert_eq!(m.apply(to(ALICE, &long)), Outcome::Refused(Refusal::Malformed));
    m.apply(Command::DeleteAccount { user: BOB });
    assert_eq!(m.apply(to(ALICE, "bob")), gone("bob"));
    // Who comes by that name is somebody else.
    m.signup("bob");
    assert_eq!(m.apply(to(ALICE, "bob")), Outcome::Sent { conversation: 4, number: 1, id: 12 });
}

#[test]
fn deletions_of_every_dialect_are_numbered() {
    let (_directory, mut m, reader) = talked();
    let delete = |numbers| Command::DeleteMessages { user: ALICE, chat: Chat::Legacy("alice_bob"), numbers };
    assert_eq!(m.apply(delete(vec![1, 3])), Outcome::Deleted { count: 2 });
    assert_eq!(reader.last_change().unwrap(), 6);
    assert_eq!(m.apply(delete(vec![1])), Outcome::Deleted { count: 0 });
    assert_eq!(reader.last_change().unwrap(), 6);
}
