use proptest::prelude::*;

use super::delta::{of_changes, of_event, of_history, of_next};
use super::*;
use wire::chat::code::Code;
use wire::chat::{Event, event, item, reply};
use wire::limits::TYPING_TTL_MS;

const ME: u64 = 1;
const BO: u64 = 2;
const CY: u64 = 3;
/// The conversation of these tests.
const HERE: u64 = 7;

fn model() -> Model {
    let mut model = Model::default();
    let account = Account { user: ME, username: "al".into(), nickname: "al".into(), view_limit: 6 };
    model.apply(&Delta::Account(account));
    model
}

fn person(user: u64) -> Person {
    Person { user, username: format!("u{user}"), nickname: format!("U{user}"), gone: false }
}

fn summary(users: &[u64], last_number: u64, unread: u64) -> Summary {
    let members = users.iter().map(|&user| (person(user), Marks::default())).collect();
    Summary { conversation: HERE, members, last_number, unread, ..Summary::default() }
}

fn message(number: u64, sender: u64) -> Message {
    let text = Text(format!("text {number}"));
    Message { number, id: 100 + number, sender, time_ms: 1, text, deleted: false, seq: 0 }
}

fn streamed(number: u64, sender: u64) -> Delta {
    Delta::Message { conversation: HERE, message: message(number, sender), way: Way::Stream }
}

fn read(user: u64, number: u64) -> Delta {
    Delta::Mark { conversation: HERE, user, marks: Marks { delivered: 0, read: number } }
}

fn deleted(number: u64) -> Delta {
    Delta::Deleted { conversation: HERE, number }
}

fn next(after: u64, numbers: &[u64], more: bool) -> Vec<Delta> {
    let messages = numbers.iter().map(|&number| item::Message {
        conversation: HERE,
        number,
        sender: BO,
        text: "x",
        ..Default::default()
    });
    of_next(HERE, after, &reply::Messages { messages: messages.collect(), more, ..Default::default() })
}

/// Applies each in turn and returns the unread count behind it.
fn unread_after(model: &mut Model, deltas: &[Delta]) -> Vec<u64> {
    deltas
        .iter()
        .map(|delta| {
            model.apply(delta);
            model.unread(HERE)
        })
        .collect()
}

#[test]
fn unread_is_what_others_sent_above_the_mark() {
    let mut model = model();
    let deltas = [
        Delta::Conversation(summary(&[ME, BO], 0, 0)),
        streamed(1, BO),
        streamed(1, BO),
        streamed(2, ME),
        streamed(3, BO),
        deleted(1),
        deleted(1),
        streamed(4, BO),
        read(ME, 3),
        read(ME, 2),
        read(BO, 4),
        deleted(3),
        deleted(4),
        streamed(5, BO),
        Delta::Cleared { conversation: HERE, upto: 5 },
    ];
    assert_eq!(unread_after(&mut model, &deltas), [0, 1, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 0, 1, 0]);
}

#[test]
fn a_summary_counts_what_comes_with_it_and_behind_it() {
    // A new device: the summary is as of now, the messages are told in two parts.
    let mut model = model();
    let unread = unread_after(
        &mut model,
        &[
            streamed(1, BO),
            streamed(2, BO),
            Delta::Conversation(summary(&[ME, BO], 4, 4)),
            streamed(3, BO),
            streamed(4, BO),
            streamed(5, BO),
        ],
    );
    assert_eq!(unread, [1, 2, 4, 4, 4, 5]);
    // A deletion that the summary has counted already.
    let mut model = self::model();
    let deltas = [streamed(1, BO), streamed(2, BO), deleted(1), Delta::Conversation(summary(&[ME, BO], 2, 1))];
    assert_eq!(unread_after(&mut model, &deltas).last(), Some(&1));
    // Nothing was handed over at all.
    let mut model = self::model();
    model.apply(&Delta::Conversation(summary(&[ME, BO], 9, 9)));
    assert_eq!(model.unread(HERE), 9);
    assert!(model.conversations[&HERE].is_behind());
    model.apply(&read(ME, 9));
    assert_eq!(model.unread(HERE), 0);
}

#[test]
fn a_conversation_that_is_behind_is_fetched_piece_by_piece() {
    let mut model = model();
    model.apply_all(&[streamed(1, BO), streamed(2, BO)]);
    model.apply(&Delta::Conversation(Summary { behind: true, ..summary(&[ME, BO], 6, 6) }));
    let state = |model: &Model| {
        let found = &model.conversations[&HERE];
        (model.unread(HERE), found.handed, found.readable(), found.is_behind(), found.next_after(ME))
    };
    assert_eq!(state(&model), (6, 2, 2, true, 2));
    // The newest are kept back: a gap stands for them, and what is pushed tells numbers only.
    assert!(matches!(model.timeline(HERE)[..], [Row::Message(..), Row::Message(..), Row::Gap { after: 2, before: 7 }]));
    model.apply(&Delta::Conversation(Summary { behind: true, ..summary(&[ME, BO], 7, 7) }));
    assert_eq!(state(&model), (7, 2, 2, true, 2));
    // The user has read what was handed over.
    model.apply(&Delta::ReadHere { conversation: HERE, upto: 2 });
    assert_eq!(state(&model), (5, 2, 2, true, 2));
    model.apply_all(&next(2, &[3, 4], true));
    assert_eq!(state(&model), (5, 4, 4, true, 4));
    model.apply_all(&next(4, &[5, 6, 7], false));
    assert_eq!(state(&model), (5, 7, 7, false, 7));
    assert_eq!(model.timeline(HERE).len(), 7);
    // From here on messages are pushed again.
    model.apply(&streamed(8, BO));
    assert_eq!(state(&model), (6, 8, 8, false, 8));
}

#[test]
fn looking_at_the_newest_hands_nothing_over() {
    let mut model = model();
    model.apply(&streamed(1, BO));
    model.apply(&Delta::Conversation(Summary { behind: true, ..summary(&[ME, BO], 9, 9) }));
    let messages =
        [9, 8].map(|number| item::Message { conversation: HERE, number, sender: BO, text: "x", ..Default::default() });
    let page = reply::Messages { messages: messages.to_vec().into(), more: true, ..Default::default() };
    model.apply_all(&of_history(HERE, 0, 0, 9, &page));
    assert_eq!((model.unread(HERE), model.conversations[&HERE].handed), (9, 1));
    assert!(matches!(
        model.timeline(HERE)[..],
        [Row::Message(..), Row::Gap { after: 1, before: 8 }, Row::Message(..), Row::Message(..)]
    ));
    // What was handed over is delivered, what was looked at is not.
    assert_eq!(model.marks_due().collect::<Vec<_>>(), [(HERE, Marks { delivered: 1, read: 0 })]);
}

#[test]
fn history_closes_gaps_even_where_messages_were_deleted() {
    let mut model = model();
    model.apply(&Delta::Conversation(summary(&[ME, BO], 10, 0)));
    model.apply(&streamed(11, BO));
    let gap = |model: &Model| {
        model.timeline(HERE).iter().find_map(|row| match row {
            Row::Gap { after, before } => Some((*after, *before)),
            _ => None,
        })
    };
    let page = |numbers: &[u64], more| {
        let messages =
            numbers.iter().map(|&number| item::Message { number, sender: BO, text: "x", ..Default::default() });
        reply::Messages { messages: messages.collect(), more, ..Default::default() }
    };
    assert_eq!(gap(&model), Some((0, 11)));
    model.apply_all(&of_history(HERE, 0, 11, 11, &page(&[9, 6], true)));
    assert_eq!(gap(&model), Some((0, 6)));
    model.apply_all(&of_history(HERE, 0, 6, 11, &page(&[2], false)));
    assert_eq!(gap(&model), None);
    model.apply_all(&of_history(HERE, 3, 6, 11, &page(&[], false)));
    assert_eq!(gap(&model), None);
}

#[test]
fn delivery_speaks_of_everybody() {
    let check = |users: &[u64], marks: &[(u64, u64, u64)], expected| {
        let mut model = model();
        model.apply_all(&[Delta::Conversation(summary(users, 0, 0)), streamed(5, ME)]);
        for &(user, delivered, read) in marks {
            model.apply(&Delta::Mark { conversation: HERE, user, marks: Marks { delivered, read } });
        }
        assert_eq!(model.delivery(HERE, 5), expected, "{users:?} {marks:?}");
    };
    check(&[ME, BO], &[], Delivery::Stored);
    check(&[ME, BO], &[(BO, 4, 4), (ME, 5, 5)], Delivery::Stored);
    check(&[ME, BO], &[(BO, 5, 4)], Delivery::Delivered);
    check(&[ME, BO], &[(BO, 0, 5)], Delivery::Read);
    check(&[ME, BO, CY], &[(BO, 9, 9)], Delivery::Stored);
    check(&[ME, BO, CY], &[(BO, 9, 9), (CY, 5, 0)], Delivery::Delivered);
    check(&[ME, BO, CY], &[(BO, 9, 9), (CY, 5, 6)], Delivery::Read);
    check(&[ME], &[], Delivery::Read);
    // Who is gone is not waited for, unless there is nobody else.
    for (users, expected) in [(&[ME, BO][..], Delivery::Stored), (&[ME, BO, CY], Delivery::Read)] {
        let mut model = model();
        model.apply_all(&[Delta::Conversation(summary(users, 0, 0)), streamed(5, ME), read(CY, 5)]);
        model.apply(&Delta::Person(Person { gone: true, ..person(BO) }));
        if users.len() == 2 {
            model.conversations.get_mut(&HERE).unwrap().members.remove(&CY);
        }
        assert_eq!(model.delivery(HERE, 5), expected);
    }
}

#[test]
fn a_message_goes_from_the_outbox_into_the_conversation() {
    let outgoing = |key, to| Outgoing {
        key,
        seq: 0,
        write: Write::Send { to, text: "x".into() },
        created_ms: 1,
        state: WriteState::Queued,
    };
    let own = |number, seq| Delta::Message {
        conversation: HERE,
        message: Message { seq, ..message(number, ME) },
        way: Way::Stream,
    };
    let stored =
        |key, seq, number| Delta::WriteState { key, seq, state: WriteState::Stored { conversation: HERE, number } };
    let rows = |model: &Model| {
        let rows = model.timeline(HERE).into_iter().map(|row| match row {
            Row::Message(message, delivery) => (message.number, delivery),
            Row::Outgoing(outgoing, delivery) => (1000 + outgoing.key, Some(delivery)),
            Row::Gap { .. } => (0, None),
        });
        rows.collect::<Vec<_>>()
    };
    let queued = Some(Delivery::Queued);
    let mut model = model();
    model.apply(&Delta::Conversation(summary(&[ME, BO], 0, 0)));
    model.apply(&Delta::Queued(outgoing(1, Target::Username("u2".into()))));
    model.apply(&Delta::Queued(outgoing(2, Target::Conversation(HERE))));
    model.apply(&Delta::Queued(outgoing(3, Target::Conversation(99))));
    assert_eq!(rows(&model), [(1001, queued), (1002, queued)]);
    model.apply(&Delta::WriteState { key: 1, seq: 11, state: WriteState::Sent });
    model.apply(&Delta::WriteState { key: 2, seq: 12, state: WriteState::Sent });
    // The answer first, and the other one has read it meanwhile.
    model.apply(&stored(1, 11, 1));
    model.apply(&read(BO, 1));
    assert_eq!(rows(&model), [(0, None), (1001, Some(Delivery::Read)), (1002, queued)].map(|row| row)[1..]);
    model.apply(&own(1, 11));
    assert_eq!(rows(&model), [(1, Some(Delivery::Read)), (1002, queued)]);
    // The message first: the answer changes nothing more.
    model.apply(&own(2, 12));
    assert_eq!(rows(&model), [(1, Some(Delivery::Read)), (2, Some(Delivery::Stored))]);
    model.apply(&stored(2, 12, 2));
    assert_eq!(rows(&model).len(), 2);
    // Deleted before it came, or cleared.
    model.apply(&stored(3, 13, 3));
    assert_eq!(rows(&model).len(), 3);
    model.apply(&deleted(3));
    assert_eq!(rows(&model).len(), 2);
    assert!(model.outbox.is_empty());
}

#[test]
fn what_is_told_of_this_moment_goes_with_the_connection() {
    let mut model = model();
    model.apply(&Delta::Link(Link { state: LinkState::Online, ..Link::default() }));
    let typing = Event::Typing(event::Typing { conversation: HERE, user: BO, on: true });
    model.apply_all(&of_event(&typing, 1_000));
    model.apply_all(&of_event(&Event::Presence(event::Presence { user: BO, online: true }), 1_000));
    let typing_at = |model: &Model, now| model.typing(HERE, now).collect::<Vec<_>>();
    assert_eq!(typing_at(&model, 999 + TYPING_TTL_MS), [BO]);
    assert!(typing_at(&model, 1_000 + TYPING_TTL_MS).is_empty());
    assert!(model.is_online(BO));
    // Who has deleted their account is not there, although nobody has said that they left.
    let mut without = model.clone();
    without.apply(&Delta::Person(Person { gone: true, ..person(BO) }));
    assert!(!without.is_online(BO));
    // Who has sent something does not type it any more.
    model.apply(&streamed(1, BO));
    assert!(typing_at(&model, 1_001).is_empty());
    model.apply_all(&of_event(&typing, 2_000));
    model.apply(&Delta::Link(Link::default()));
    assert!(typing_at(&model, 2_000).is_empty() && !model.is_online(BO));
}

#[test]
fn events_move_the_cursor_and_changes_replace_when_they_say_so() {
    let mut model = model();
    model.apply_all(&of_event(
        &Event::Message(item::Message {
            id: 5,
            conversation: HERE,
            number: 1,
            sender: BO,
            text: "x",
            ..Default::default()
        }),
        0,
    ));
    assert_eq!((model.cursor, model.unread(HERE)), (5, 1));
    model.apply(&Delta::Draft { conversation: HERE, text: "begun".into() });
    let summary = item::Conversation { conversation: 8, last_number: 2, ..Default::default() };
    let changes = reply::Changes { conversations: vec![summary].into(), cursor: 3, resync: true, ..Default::default() };
    model.apply_all(&of_changes(&changes));
    assert_eq!(model.conversations.keys().copied().collect::<Vec<_>>(), [8, HERE | aside::ASIDE]);
    assert_eq!((model.unread_total(), model.marks_due().count()), (0, 0), "what was set aside asks for nothing");
    assert_eq!((model.cursor, model.synced, model.drafts.len()), (3, true, 1));
    assert!(of_event(&Event::Bye(event::Bye { code: Code::Stopping, text: "" }), 0).is_empty());
}

#[test]
fn memory_stays_bounded_and_what_is_unread_stays() {
    let mut model = model();
    model.apply(&Delta::Conversation(summary(&[ME, BO], 0, 0)));
    let last = crate::limits::MEMORY_MESSAGES_MAX as u64 + 1;
    (1..=last).for_each(|number| model.apply(&streamed(number, BO)));
    model.trim(None);
    assert_eq!((model.conversations[&HERE].messages.len() as u64, model.unread(HERE)), (last, last));
    model.apply(&read(ME, last - 300));
    let before = model.hash();
    model.trim(Some(HERE));
    assert_eq!(model.conversations[&HERE].messages.len() as u64, last);
    model.trim(None);
    assert_eq!((model.conversations[&HERE].messages.len(), model.unread(HERE), model.hash()), (300, 300, before));
}

#[test]
fn the_hash_is_of_what_devices_share() {
    let mut one = model();
    one.apply_all(&[Delta::Conversation(summary(&[ME, BO], 0, 0)), streamed(1, BO), streamed(2, ME), deleted(1)]);
    // Another device never saw the deleted one, and has its own affairs.
    let mut other = model();
    other.apply_all(&[streamed(2, ME), Delta::Conversation(summary(&[ME, BO], 2, 0))]);
    other.apply(&Delta::Draft { conversation: HERE, text: "begun".into() });
    other.apply(&Delta::Presence { user: BO, online: true });
    assert_eq!(one.hash(), other.hash());
    for delta in
        [read(BO, 1), deleted(2), streamed(3, BO), Delta::Person(Person { nickname: "B".into(), ..person(BO) })]
    {
        let mut changed = one.clone();
        changed.apply(&delta);
        assert_ne!(changed.hash(), one.hash(), "{delta:?}");
    }
}

#[test]
fn names_and_titles() {
    let mut model = model();
    model.apply(&Delta::Conversation(summary(&[ME, BO, CY], 0, 0)));
    assert_eq!((model.title(HERE), model.title(99)), ("U2, U3".into(), "#99".into()));
    model.apply(&Delta::Person(Person { gone: true, ..person(BO) }));
    assert_eq!((model.name(BO), model.name(44)), ("U2 (deleted)".into(), "user 44".into()));
    assert!(model.person_named("u2").is_none() && model.person_named("u3").is_some());
    // What others were told of oneself may be older than the account.
    assert_eq!(model.name(ME), "al");
    let notes = Summary { conversation: 8, ..summary(&[ME], 0, 0) };
    model.apply(&Delta::Conversation(notes));
    assert_eq!((model.title(8), model.direct("al").map(|found| found.id)), ("Notes".into(), Some(8)));
}

#[test]
fn a_nickname_that_is_somebody_elses_is_shown_with_the_user_name() {
    let mut model = model();
    model.apply(&Delta::Conversation(summary(&[ME, BO, CY], 0, 0)));
    let called = |user, nickname: &str| Delta::Person(Person { nickname: nickname.into(), ..person(user) });
    let check = |model: &Model, me: &str, bo: &str, cy: &str| {
        assert_eq!((&*model.name(ME), &*model.name(BO), &*model.name(CY)), (me, bo, cy));
    };
    model.apply(&called(BO, "Ann"));
    check(&model, "al", "Ann", "U3");
    // Whatever the case, and what looks the same.
    model.apply(&called(CY, "ann"));
    check(&model, "al", "Ann (@u2)", "ann (@u3)");
    assert_eq!(model.title(HERE), "Ann (@u2), ann (@u3)");
    model.apply(&called(CY, "Аnn"));
    check(&model, "al", "Ann (@u2)", "Аnn (@u3)");
    // Somebody else's user name, also one's own.
    model.apply(&called(CY, "U2"));
    check(&model, "al", "Ann", "U2 (@u3)");
    model.apply(&called(CY, "AL"));
    check(&model, "al (@al)", "Ann", "AL (@u3)");
    model.apply(&called(CY, "Cy"));
    check(&model, "al", "Ann", "Cy");
    // What the program says in brackets, and its own title, are nobody's to take.
    model.apply(&called(CY, "Bo (@u2)"));
    check(&model, "al", "Ann", "Bo (@u2) (@u3)");
    model.apply(&called(CY, "notes"));
    check(&model, "al", "Ann", "notes (@u3)");
    // Who is gone is nobody's double, and does not pass for who is here.
    model.apply(&Delta::Person(Person { gone: true, nickname: "Ann".into(), ..person(CY) }));
    check(&model, "al", "Ann", "Ann (@u3) (deleted)");
    model.apply(&called(CY, "Ann"));
    model.apply(&Delta::Person(Person { gone: true, ..person(BO) }));
    check(&model, "al", "U2 (deleted)", "Ann");
    model.apply(&Delta::SetAside);
    assert_eq!(model.name(ME), "al");
}

#[test]
fn people_are_found_however_they_are_typed() {
    let mut model = model();
    let named = |user, username: &str, nickname: &str| {
        Delta::Person(Person { user, username: username.into(), nickname: nickname.into(), gone: false })
    };
    model.apply(&Delta::Conversation(summary(&[ME, BO], 0, 0)));
    model.apply(&named(BO, "Łukasz", "Café"));
    let fits = |text: &str| model.fits(HERE, &Pattern::parse(text));
    for text in ["lukasz", "ŁUKASZ", "cafe", "CAFÉ", "l*z", ""] {
        assert!(fits(text), "{text}");
    }
    assert!(!fits("cafes") && !fits("al") && !fits("l?z"));
    assert_eq!(model.person_typed("ŁUKASZ").map(|person| person.user), Some(BO));
    assert!(model.person_typed("lukasz").is_none(), "an accent tells names apart");
    let mut model = model.clone();
    model.apply(&named(CY, "łukasz", "x"));
    assert_eq!(model.person_typed("łukasz").map(|person| person.user), Some(CY));
    assert!(model.person_typed("ŁUKASZ").is_none(), "two are meant");
}

#[test]
fn debug_output_shows_no_text() {
    let shown = format!("{:?}", streamed(1, BO));
    assert!(!shown.contains("text 1") && shown.contains("Text(6 bytes)"), "{shown}");
}

proptest! {
    /// Everything is told twice, or again from an earlier cursor: nothing changes by that.
    #[test]
    fn what_comes_twice_changes_nothing(steps in proptest::collection::vec((0_u8..4, 1_u64..12, any::<bool>()), 0..40), again in 0_usize..40) {
        let deltas: Vec<_> = steps.iter().enumerate().scan(0, |last, (_, &(kind, number, own))| {
            Some(match kind {
                0 | 1 => { *last += 1; streamed(*last, if own { ME } else { BO }) }
                2 => read(if own { ME } else { BO }, number.min(*last)),
                _ => deleted(number.min(*last).max(1)),
            })
        }).collect();
        let mut once = model();
        once.apply(&Delta::Conversation(summary(&[ME, BO], 0, 0)));
        let mut twice = once.clone();
        once.apply_all(&deltas);
        twice.apply_all(&deltas);
        twice.apply_all(deltas.iter().skip(again.min(deltas.len())));
        prop_assert_eq!(once.hash(), twice.hash());
        prop_assert_eq!(once, twice);
    }
}

#[test]
fn a_stored_message_that_is_gone_leaves_the_outbox() {
    let stored =
        |key, seq, number| Delta::WriteState { key, seq, state: WriteState::Stored { conversation: HERE, number } };
    let write = Write::Send { to: Target::Conversation(HERE), text: "x".into() };
    let outgoing = Outgoing { key: 1, seq: 0, write, created_ms: 1, state: WriteState::Queued };
    let begun = || {
        let mut model = model();
        model.apply(&streamed(1, BO));
        model.apply(&Delta::Queued(outgoing.clone()));
        model
    };
    // Deleted before the answer to its sending came.
    let mut model = begun();
    model.apply(&Delta::Deleted { conversation: HERE, number: 2 });
    model.apply(&stored(1, 11, 2));
    assert!(model.outbox.is_empty());

    // Not among those that history shows at its place; before the answer, and after it.
    let page = || of_history(HERE, 0, 3, 0, &reply::Messages { more: false, ..Default::default() });
    let mut model = begun();
    model.apply_all(&page());
    model.apply(&stored(1, 11, 2));
    assert!(model.outbox.is_empty());
    let mut model = begun();
    model.apply(&stored(1, 11, 2));
    assert_eq!(model.outbox.len(), 1, "it may come yet");
    model.apply_all(&page());
    assert!(model.outbox.is_empty());
}
