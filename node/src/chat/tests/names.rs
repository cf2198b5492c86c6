//! Names with keys.

use wire::limits::{NAME_KEY_BYTES_MAX, NAME_REST_MS};
use wire::names::{Keys, found_by, search_key};
use wire::replication::command::{Addressee, Command, NameKeys, Outcome, RULE_LEVEL_KEYED, Refusal, Writer};
use wire::replication::entry::Payload;

use super::{Machine, encode_run};

/// The name's keys, as a service makes them.
fn register(m: &mut Machine, name: &str) -> Outcome {
    let Keys { fold, skeleton, search } = Keys::of(name);
    let keys = NameKeys { fold: &fold, skeleton: &skeleton, search: &search };
    let nickname_search = &search_key(name);
    m.apply(Command::Register { username: name, nickname: name, password_hash: "hash", keys, nickname_search })
}

fn made(user: u64) -> Outcome {
    Outcome::UserCreated { user }
}

const TAKEN: Outcome = Outcome::Refused(Refusal::NameTaken);

#[test]
fn a_name_that_could_be_taken_for_another_is_refused() {
    let mut m = Machine::new();
    assert_eq!(register(&mut m, "Ann"), made(1));
    assert_eq!(register(&mut m, "сосо"), made(2));
    for like in ["ann", "ANN", "Ann", "Ａnn", "A\u{200d}nn", "coco", "COCO"] {
        assert_eq!(register(&mut m, like), TAKEN, "{like:?}");
    }
    assert_eq!(register(&mut m, "Anna"), made(3));
    // One without keys is compared to the letter.
    assert_eq!(m.signup("paul"), 4);
    assert_eq!(register(&mut m, "paul"), TAKEN);
}

#[test]
fn the_name_of_a_deleted_account_rests_by_the_clock_of_the_log() {
    let mut m = Machine::new();
    register(&mut m, "alice");
    register(&mut m, "bob");
    m.apply(Command::SendTo { user: 1, username: "bob", text: "to the first bob" });
    m.apply(Command::DeleteAccount { user: 2 });
    let deleted_at = m.time_ms() - 1000;
    for like in ["bob", "BOB"] {
        assert_eq!(register(&mut m, like), TAKEN);
    }
    m.later_than(deleted_at + NAME_REST_MS - 1000);
    assert_eq!(register(&mut m, "bob"), TAKEN);
    m.later_than(deleted_at + NAME_REST_MS);
    assert_eq!(register(&mut m, "bob"), made(3));
    let open = m.apply(Command::OpenConversation { user: 1, other: "bob" });
    assert_eq!(open, Outcome::Conversation { id: 2, legacy_id: "alice_bob~2".into() });
}

#[test]
fn a_message_for_an_account_never_reaches_the_next_owner_of_its_name() {
    let mut m = Machine::new();
    register(&mut m, "alice");
    register(&mut m, "bob");
    let to = |id| Command::SendToAccount { user: 1, to: Addressee::Account(id), text: "x" };
    assert_eq!(m.apply(to(2)), Outcome::Sent { conversation: 1, number: 1, id: 2 });
    m.apply(Command::DeleteAccount { user: 2 });
    m.later_than(m.time_ms() + NAME_REST_MS);
    assert_eq!(register(&mut m, "bob"), made(3));
    let gone = Outcome::Refused(Refusal::PeerGone { name: "bob".into() });
    assert_eq!(m.apply(to(2)), gone);
    assert_eq!(m.apply(to(9)), Outcome::Refused(Refusal::Malformed));
    assert!(matches!(m.apply(to(3)), Outcome::Sent { conversation: 2, number: 1, .. }));
}

#[test]
fn somebody_is_found_to_the_letter_or_by_a_key_that_is_theirs_alone() {
    let mut m = Machine::new();
    register(&mut m, "alice");
    register(&mut m, "Bob");
    let mut to = |name| {
        let to = Addressee::Named { name, fold: &found_by(name) };
        m.apply(Command::SendToAccount { user: 1, to, text: "x" })
    };
    assert!(matches!(to("BOB"), Outcome::Sent { conversation: 1, .. }));
    assert!(matches!(to("Bob"), Outcome::Sent { conversation: 1, .. }));
    assert_eq!(to("bo"), Outcome::Refused(Refusal::PeerGone { name: "bo".into() }));
}

#[test]
fn keys_are_bounded_and_of_their_rule_level() {
    let mut m = Machine::new();
    let long = "x".repeat(NAME_KEY_BYTES_MAX + 1);
    let keys = NameKeys { fold: &long, skeleton: "x", search: "x" };
    let command = Command::Register { username: "x", nickname: "x", password_hash: "h", keys, nickname_search: "x" };
    assert_eq!(m.apply(command), Outcome::Refused(Refusal::Malformed));
    register(&mut m, "alice");
    let set = Command::SetNicknameKeyed { user: 1, nickname: "A", search: &long };
    assert_eq!(m.apply(set), Outcome::Refused(Refusal::Malformed));
    m.apply(Command::AddDevice { user: 1, device: 7, name: "", token_hash: None });
    let inner = postcard::to_allocvec(&Command::SetNicknameKeyed { user: 1, nickname: "A", search: "a" }).unwrap();
    let write = Command::ByDevice { device: 7, seq: 1, command: &inner };
    // Builds of that level cannot read what is inside.
    let old = encode_run(RULE_LEVEL_KEYED - 1, m.time_ms(), Writer { device: 99, epoch: 1 }, &[write]);
    let applied = m.payload(Payload::Batch(&old)).unwrap();
    assert_eq!(applied.outcomes, [[Outcome::Refused(Refusal::Malformed)]]);
    let write = Command::ByDevice { device: 7, seq: 2, command: &inner };
    assert_eq!(m.apply(write), Outcome::Done);
}
