//! What each command does, one behaviour per test.

use wire::limits::{MESSAGE_TEXT_BYTES_MAX, VIEW_LIMIT_MAX};
use wire::replication::command::{Chat, Command, Outcome, Refusal};

use super::Machine;

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

fn gone(name: &str) -> Outcome {
    refused(Refusal::PeerGone { name: name.into() })
}

fn open(machine: &mut Machine, user: u64, other: &str) -> (u64, String) {
    match machine.apply(Command::OpenConversation { user, other }) {
        Outcome::Conversation { id, legacy_id } => (id, legacy_id),
        other => panic!("{other:?}"),
    }
}

fn send(machine: &mut Machine, user: u64, chat: &str, text: &str) -> Outcome {
    machine.apply(Command::Send { user, chat: Chat::Legacy(chat), text })
}

fn sent(conversation: u64, number: u64, id: u64) -> Outcome {
    Outcome::Sent { conversation, number, id }
}

#[test]
fn names_without_keys_are_unique_by_exact_case_and_ids_never_come_back() {
    let mut m = Machine::new();
    assert_eq!(m.signup("alice"), 1);
    assert_eq!(m.signup("Alice"), 2);
    let again = Command::Signup { username: "alice", nickname: "x", password_hash: "y" };
    assert_eq!(m.apply(again.clone()), refused(Refusal::NameTaken));
    assert_eq!(m.apply(Command::DeleteAccount { user: 1 }), Outcome::Done);
    assert_eq!(m.apply(Command::DeleteAccount { user: 1 }), refused(Refusal::NoSuchUser));
    assert_eq!(m.apply(again), Outcome::UserCreated { user: 3 });
}

#[test]
fn messages_are_numbered_per_conversation_and_identified_over_all() {
    let mut m = Machine::new();
    let (alice, bob, carol) = (m.signup("alice"), m.signup("bob"), m.signup("carol"));
    // A new conversation takes a number of the same counter.
    assert_eq!(send(&mut m, alice, "alice_bob", "1"), sent(1, 1, 2));
    assert_eq!(send(&mut m, carol, "alice_carol", "2"), sent(2, 1, 4));
    assert_eq!(send(&mut m, bob, "alice_bob", "3"), sent(1, 2, 5));
    assert_eq!(send(&mut m, bob, "bob_alice", "an unsorted id is understood"), sent(1, 3, 6));
    assert_eq!(send(&mut m, carol, "alice_bob", "not hers"), refused(Refusal::NoSuchConversation));
    assert_eq!(m.apply(Command::Send { user: bob, chat: Chat::Id(1), text: "5" }), sent(1, 4, 7));
    assert_eq!(
        m.apply(Command::Send { user: carol, chat: Chat::Id(1), text: "no" }),
        refused(Refusal::NoSuchConversation)
    );
    assert_eq!(
        m.apply(Command::Send { user: carol, chat: Chat::Id(u64::MAX), text: "no" }),
        refused(Refusal::NoSuchConversation)
    );
}

#[test]
fn deleted_messages_leave_their_numbers_behind() {
    let mut m = Machine::new();
    let (alice, bob) = (m.signup("alice"), m.signup("bob"));
    for text in ["1", "2", "3"] {
        send(&mut m, alice, "alice_bob", text);
    }
    send(&mut m, bob, "alice_bob", "4");
    let delete = |m: &mut Machine, user, numbers: &[u64]| {
        m.apply(Command::DeleteMessages { user, chat: Chat::Legacy("alice_bob"), numbers: numbers.to_vec() })
    };
    assert_eq!(delete(&mut m, alice, &[1, 4]), refused(Refusal::NotYours));
    assert_eq!(delete(&mut m, bob, &[1]), refused(Refusal::NotYours));
    assert_eq!(delete(&mut m, alice, &[3, 1, 3, 99, 0, u64::MAX]), Outcome::Deleted { count: 2 });
    assert_eq!(delete(&mut m, alice, &[3]), Outcome::Deleted { count: 0 });
    assert_eq!(send(&mut m, alice, "alice_bob", "5"), sent(1, 5, 8));
    assert_eq!(delete(&mut m, alice, &vec![1; 513]), refused(Refusal::Malformed));
}

#[test]
fn an_id_handed_out_wins_and_a_collision_gets_a_suffix() {
    let mut m = Machine::new();
    let (a_b, c, a, b_c) = (m.signup("a_b"), m.signup("c"), m.signup("a"), m.signup("b_c"));
    assert_eq!(open(&mut m, a_b, "c"), (1, "a_b_c".into()));
    assert_eq!(open(&mut m, a, "b_c"), (2, "a_b_c~2".into()));
    assert_eq!(open(&mut m, c, "a_b"), (1, "a_b_c".into()));
    // Each means the conversation of its own two names, although the text is the same.
    assert_eq!(send(&mut m, a_b, "a_b_c", "x"), sent(1, 1, 3));
    assert_eq!(send(&mut m, a, "a_b_c", "x"), sent(2, 1, 4));
    assert_eq!(send(&mut m, b_c, "a_b_c", "x"), sent(2, 2, 5));
    assert_eq!(send(&mut m, b_c, "a_b_c~2", "x"), sent(2, 3, 6));
    assert_eq!(send(&mut m, c, "a_b_c~2", "x"), refused(Refusal::NoSuchConversation));
}

#[test]
fn a_name_on_both_ends_of_an_id_is_read_in_proper_order_first() {
    let mut m = Machine::new();
    let x = m.signup("x");
    m.signup("x_y");
    m.signup("y_x");
    // x + y_x and x_y + x: only the first is sorted.
    assert_eq!(send(&mut m, x, "x_y_x", "1"), sent(1, 1, 2));
    assert_eq!(open(&mut m, x, "y_x"), (1, "x_y_x".into()));
    assert_eq!(open(&mut m, x, "x_y"), (2, "x_x_y".into()));
}

#[test]
fn nobody_talks_to_who_has_no_account() {
    let mut m = Machine::new();
    let (alice, bob) = (m.signup("alice"), m.signup("bob"));
    assert_eq!(send(&mut m, alice, "alice_nobody", "x"), gone("nobody"));
    assert_eq!(m.apply(Command::OpenConversation { user: alice, other: "nobody" }), gone("nobody"));
    assert_eq!(send(&mut m, alice, "bob", "x"), refused(Refusal::NoSuchConversation));
    assert_eq!(send(&mut m, alice, "", "x"), refused(Refusal::NoSuchConversation));
    assert_eq!(send(&mut m, alice, "alice_", "x"), refused(Refusal::NoSuchConversation));
    let long = format!("alice_{}", "x".repeat(500));
    assert_eq!(send(&mut m, alice, &long, "x"), refused(Refusal::Malformed));

    send(&mut m, alice, "alice_bob", "x");
    m.apply(Command::DeleteAccount { user: bob });
    assert_eq!(send(&mut m, alice, "alice_bob", "x"), gone("bob"));
    assert_eq!(send(&mut m, bob, "alice_bob", "x"), refused(Refusal::NoSuchUser));
}

#[test]
fn a_name_that_comes_back_is_somebody_else() {
    let mut m = Machine::new();
    let (alice, bob) = (m.signup("alice"), m.signup("bob"));
    send(&mut m, alice, "alice_bob", "to the first bob");
    m.apply(Command::DeleteAccount { user: bob });
    let second = m.signup("bob");
    // The old id stays that of the old conversation for who has it; the new bob has never had it.
    assert_eq!(send(&mut m, alice, "alice_bob", "x"), gone("bob"));
    assert_eq!(send(&mut m, second, "alice_bob", "x"), sent(2, 1, 5));
    assert_eq!(open(&mut m, alice, "bob"), (2, "alice_bob~2".into()));
}

#[test]
fn a_notebook_has_one_member() {
    let mut m = Machine::new();
    let x = m.signup("x");
    assert_eq!(send(&mut m, x, "x_x", "note"), sent(1, 1, 2));
    assert_eq!(open(&mut m, x, "x"), (1, "x_x".into()));
    assert_eq!(m.apply(Command::MarkRead { user: x, conversation: 1, upto: 1 }), Outcome::Done);
}

#[test]
fn bounds_are_checked_again_at_apply() {
    let mut m = Machine::new();
    let alice = m.signup("alice");
    m.signup("bob");
    fn signup<'a>(username: &'a str, password_hash: &'a str) -> Command<'a> {
        Command::Signup { username, nickname: "n", password_hash }
    }
    assert_eq!(m.apply(signup("", "h")), refused(Refusal::Malformed));
    assert_eq!(m.apply(signup(&"x".repeat(65), "h")), refused(Refusal::Malformed));
    assert_eq!(m.apply(signup("carol", &"h".repeat(257))), refused(Refusal::Malformed));
    let longest = "x".repeat(MESSAGE_TEXT_BYTES_MAX);
    assert_eq!(send(&mut m, alice, "alice_bob", ""), refused(Refusal::Malformed));
    assert_eq!(send(&mut m, alice, "alice_bob", &longest), sent(1, 1, 2));
    assert_eq!(send(&mut m, alice, "alice_bob", &(longest + "x")), refused(Refusal::Malformed));
    for (limit, expected) in [
        (0, refused(Refusal::Malformed)),
        (1, Outcome::Done),
        (VIEW_LIMIT_MAX, Outcome::Done),
        (VIEW_LIMIT_MAX + 1, refused(Refusal::Malformed)),
    ] {
        assert_eq!(m.apply(Command::SetViewLimit { user: alice, limit }), expected);
    }
}

#[test]
fn a_read_mark_rises_up_to_what_exists() {
    let mut m = Machine::new();
    let (alice, bob, carol) = (m.signup("alice"), m.signup("bob"), m.signup("carol"));
    send(&mut m, alice, "alice_bob", "x");
    let mark = |m: &mut Machine, user, upto| m.apply(Command::MarkRead { user, conversation: 1, upto });
    assert_eq!(mark(&mut m, bob, u64::MAX), Outcome::Done);
    assert_eq!(mark(&mut m, carol, 1), refused(Refusal::NoSuchConversation));
    // What arrives later is unread: the mark did not run ahead. Seen by the hash: marking 1 again changes nothing.
    send(&mut m, alice, "alice_bob", "y");
    let before = m.db.state_hash();
    assert_eq!(mark(&mut m, bob, 2), Outcome::Done);
    assert_ne!(m.db.state_hash(), before);
}

#[test]
fn join_codes_work_once_and_in_time() {
    let mut m = Machine::new();
    let (hash, late) = ([1; 32], [2; 32]);
    let expires_ms = m.time_ms() + 60_000;
    let consume = |hash, node| Command::ConsumeJoinCode { hash, node };
    assert_eq!(m.apply(consume(hash, 7)), refused(Refusal::CodeUnknown));
    assert_eq!(m.apply(Command::AddJoinCode { hash, expires_ms }), Outcome::Done);
    assert_eq!(m.apply(consume(hash, 7)), Outcome::Done);
    assert_eq!(m.apply(consume(hash, 7)), Outcome::Done);
    assert_eq!(m.apply(consume(hash, 8)), refused(Refusal::CodeUsed));
    assert_eq!(m.apply(Command::AddJoinCode { hash: late, expires_ms: m.time_ms() }), Outcome::Done);
    assert_eq!(m.apply(consume(late, 7)), refused(Refusal::CodeExpired));
    // A day later nobody remembers it.
    let later = super::encode_batch(
        m.time_ms() + 25 * 60 * 60 * 1000,
        &[(
            wire::replication::command::Writer { device: 9, epoch: 1 },
            1,
            &[Command::AddJoinCode { hash: [3; 32], expires_ms: u64::MAX }, consume(late, 7)],
        )],
    );
    let applied = m.payload(wire::replication::entry::Payload::Batch(&later)).unwrap();
    assert_eq!(applied.outcomes[0][1], refused(Refusal::CodeUnknown));
}

#[test]
fn a_removed_node_keeps_its_name_for_the_record_and_joins_never_again() {
    let mut m = Machine::new();
    let (hash, expires_ms) = ([1; 32], m.time_ms() + 60_000);
    m.apply(Command::AddJoinCode { hash, expires_ms });
    fn remove<'a>(name: &'a str, by: &'a str) -> Command<'a> {
        Command::RemoveNode { node: 7, name, by }
    }
    assert_eq!(m.apply(remove(&"n".repeat(65), "alpha")), refused(Refusal::Malformed));
    let removed_at = m.time_ms();
    assert_eq!(m.apply(remove("gamma", "alpha")), Outcome::Done);
    // Twice is once: the first word stays.
    let before = m.db.state_hash();
    assert_eq!(m.apply(remove("delta", "beta")), Outcome::Done);
    assert_ne!(m.db.state_hash(), before, "outcomes are in the hash");
    let removed = m.db.removals().nodes[&7].clone();
    assert_eq!((removed.name.as_str(), removed.by.as_str(), removed.time_ms), ("gamma", "alpha", removed_at));
    // The code is not used up by it.
    assert_eq!(m.apply(Command::ConsumeJoinCode { hash, node: 7 }), refused(Refusal::NodeRemoved));
    assert_eq!(m.apply(Command::ConsumeJoinCode { hash, node: 8 }), Outcome::Done);
}
