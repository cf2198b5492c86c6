//! The client without a display.

use std::collections::BTreeSet;

use client_fltk::command::{Answer, Command, Failure};
use client_fltk::model::{
    Account, Delta, Link, LinkState, Marks, Message, Model, Outage, Outgoing, Person, Refusal, Summary, Target, Way,
    Write, WriteState,
};
use proptest::prelude::*;
use wire::chat::Code;

use super::chat::Line;
use super::drafts::SAVE_AFTER_MS;
use super::*;

const ME: u64 = 1;
const SAM: u64 = 2;
const CHAT: u64 = 7;
const NOW: u64 = 1_800_000_000_000;

fn person(user: u64, name: &str) -> Person {
    Person { user, username: name.into(), nickname: name.into(), gone: false }
}

fn message(number: u64, sender: u64) -> Message {
    let text = format!("text {number}").into();
    Message { number, id: number, sender, time_ms: NOW + number, text, deleted: false, seq: 0 }
}

fn summary(last_number: u64, unread: u64, behind: bool) -> Summary {
    Summary {
        conversation: CHAT,
        members: vec![(person(ME, "me"), Marks::default()), (person(SAM, "sam"), Marks::default())],
        last_number,
        unread,
        cleared: 0,
        behind,
        newest: None,
    }
}

/// Somebody who is logged in and connected, and has nothing yet.
fn app() -> App {
    let mut model = Model::default();
    let account = Account { user: ME, username: "me".into(), nickname: "Me".into(), view_limit: 5 };
    let link = Link { state: LinkState::Online, ..Link::default() };
    model.apply_all(&[Delta::Account(account), Delta::Link(link), Delta::Cursor { cursor: 1, synced: true }]);
    let mut app = App::default();
    update(&mut app, Msg::Started(Box::new(model)), NOW);
    update(&mut app, Msg::Focus(true), NOW);
    app
}

fn told(app: &mut App, deltas: Vec<Delta>) {
    update(app, Msg::Changed(deltas), NOW);
}

fn stream(number: u64, sender: u64) -> Delta {
    Delta::Message { conversation: CHAT, message: message(number, sender), way: Way::Stream }
}

/// With a conversation of `count` messages of Sam's.
fn with_messages(count: u64) -> App {
    let mut app = app();
    told(&mut app, vec![Delta::Conversation(summary(0, 0, false))]);
    told(&mut app, (1..=count).map(|number| stream(number, SAM)).collect());
    app
}

/// The same, all of them read: only the newest are certain to be in memory.
fn with_read_messages(count: u64) -> App {
    let mut app = with_messages(count);
    let marks = Marks { delivered: count, read: count };
    told(&mut app, vec![Delta::Mark { conversation: CHAT, user: ME, marks }]);
    app
}

fn commands(cmds: &[Cmd]) -> Vec<&Command> {
    let asked = cmds.iter().filter_map(|cmd| match cmd {
        Cmd::Ask(Command::Watch(_), _) => None,
        Cmd::Ask(command, _) => Some(command),
        _ => None,
    });
    asked.collect()
}

fn typed(text: &str) -> Msg {
    Msg::Typed { conversation: CHAT, text: text.into() }
}

fn sent(text: &str) -> Msg {
    Msg::Send { conversation: CHAT, text: text.into() }
}

fn written(text: &str) -> Cmd {
    Cmd::Write { conversation: CHAT, text: text.into() }
}

fn refused(code: Code, text: &str) -> Result<Answer, Failure> {
    Err(Failure::Refused(Refusal { code, text: text.into() }))
}

#[test]
fn pages_follow_what_is_known() {
    let mut app = App::default();
    assert_eq!(app.page(), Page::Server);
    update(&mut app, Msg::NotStarted("no address in it".into()), NOW);
    assert_eq!((app.page(), app.server.as_deref()), (Page::Server, Some("No address in it.")));
    update(&mut app, Msg::Started(Box::default()), NOW);
    assert_eq!((app.page(), app.entry.is_signup), (Page::Entry, true));
    let mut app = self::app();
    assert_eq!(app.page(), Page::Main);
    let link = Link { state: LinkState::LogInNeeded { why: "logged out elsewhere".into() }, ..Link::default() };
    told(&mut app, vec![Delta::Link(link.clone())]);
    // Whoever reads goes on reading, and logs in when they like.
    assert_eq!((app.page(), app.is_logged_out()), (Page::Main, true));
    update(&mut app, Msg::LogIn, NOW);
    assert_eq!((app.page(), app.why_entry().as_deref()), (Page::Entry, Some("Logged out elsewhere.")));
    update(&mut app, Msg::ReadOn, NOW);
    assert_eq!(app.page(), Page::Main);
    // A fresh start leads to the form, where everything can be read all the same.
    let mut model = app.model.clone();
    model.link = link;
    update(&mut app, Msg::Started(Box::new(model)), NOW);
    assert_eq!((app.page(), app.entry.is_signup), (Page::Entry, false));
    assert_eq!(commands(&update(&mut app, Msg::LogOut, NOW)), [] as [&Command; 0]);
    // Not by the second half of a double click.
    assert_eq!(commands(&update(&mut app, Msg::Confirm, NOW + UNANSWERED_MS - 1)), [] as [&Command; 0]);
    assert_eq!(commands(&update(&mut app, Msg::Confirm, NOW + UNANSWERED_MS)), [&Command::LogOut]);
    update(&mut app, Msg::Broken("disk full".into()), NOW);
    assert_eq!(app.page(), Page::Broken);
}

#[test]
fn who_cannot_log_in_is_told_why_for_as_long_as_that_is_so() {
    let mut app = App::default();
    update(&mut app, Msg::Started(Box::default()), NOW);
    let mut link = |state, why: Option<&str>| {
        let outage = why.map(|why| Outage { since_ms: NOW, why: why.into() });
        told(&mut app, vec![Delta::Link(Link { state, outage, ..Link::default() })]);
        app.why_no_entry()
    };
    let connecting = || LinkState::Connecting { address: "10.0.0.5:5555".into() };
    assert_eq!(link(connecting(), Some("")), None);
    let why = Some("10.0.0.5:5555: no answer. Trying again until it works.".to_owned());
    assert_eq!(link(LinkState::Offline { retry_ms: 1 }, Some("10.0.0.5:5555: no answer")), why);
    assert_eq!(link(connecting(), Some("10.0.0.5:5555: no answer")), why);
    assert_eq!(link(LinkState::LogInNeeded { why: "nobody".into() }, None), None);
    assert_eq!(
        link(LinkState::Stopped { why: "no server is known".into() }, None),
        Some("No server is known.".to_owned())
    );
}

#[test]
fn everybody_is_listed_again_after_a_search_and_after_an_outage() {
    let mut app = with_messages(1);
    let asked = |cmds: &[Cmd]| {
        let patterns = commands(cmds).into_iter().filter_map(|one| match one {
            Command::Users { pattern, .. } => Some(pattern.clone()),
            _ => None,
        });
        patterns.collect::<Vec<_>>()
    };
    let found = |app: &mut App, outcome| {
        let serial = app.search.serial;
        update(app, Msg::Answered(For::People { serial }, outcome), NOW)
    };
    assert_eq!(asked(&update(&mut app, Msg::Tab(Tab::People), NOW)), [""]);
    assert_eq!(asked(&update(&mut app, Msg::Search("sa".into()), NOW)), ["*sa*"]);
    assert_eq!(asked(&update(&mut app, Msg::Open(CHAT), NOW)), [""]);
    assert_eq!(asked(&update(&mut app, Msg::Search("sa".into()), NOW)), ["*sa*"]);
    assert_eq!(asked(&update(&mut app, Msg::Back, NOW)), [""]);
    found(&mut app, Err(Failure::Offline("10.0.0.5: no answer".into())));
    assert!(app.why_empty().unwrap().contains("no answer"));
    told(&mut app, vec![Delta::Link(Link { state: LinkState::Offline { retry_ms: 0 }, ..Link::default() })]);
    let online = Delta::Link(Link { state: LinkState::Online, ..Link::default() });
    assert_eq!(asked(&update(&mut app, Msg::Changed(vec![online]), NOW)), [""]);
}

#[test]
fn the_search_is_found_from_everywhere() {
    let mut app = with_messages(1);
    update(&mut app, Msg::Open(CHAT), NOW);
    update(&mut app, Msg::Tab(Tab::Settings), NOW);
    update(&mut app, Msg::Uncover, NOW);
    assert!(update(&mut app, Msg::Find, NOW).contains(&Cmd::FocusSearch));
    assert!(app.chat.is_none() && app.tab == Tab::Chats);
}

#[test]
fn what_is_wrong_stands_at_its_field() {
    let mut app = App::default();
    update(&mut app, Msg::Started(Box::default()), NOW);
    let enter = |app: &mut App, username: &str, password: &str| {
        let msg = Msg::Enter { username: username.into(), nickname: String::new(), password: password.into() };
        update(app, msg, NOW)
    };
    let field = |app: &App| app.entry.error.as_ref().map(|(field, _)| *field);
    assert!(enter(&mut app, " ", "x").is_empty());
    assert_eq!(field(&app), Some(EntryField::Username));
    assert!(enter(&mut app, "me", "").is_empty());
    assert_eq!(field(&app), Some(EntryField::Password));
    assert!(enter(&mut app, &"x".repeat(65), "x").is_empty());
    assert_eq!(field(&app), Some(EntryField::Username));
    let cmds = enter(&mut app, " me ", "secret");
    assert!(matches!(commands(&cmds)[..], [Command::SignUp { username, .. }] if username == "me"));
    assert!(enter(&mut app, "me", "secret").is_empty(), "one at a time");
    update(&mut app, Msg::Answered(For::Entry, refused(Code::NameTaken, "taken")), NOW);
    assert_eq!(field(&app), Some(EntryField::Username));
    update(&mut app, Msg::SwitchEntry, NOW);
    assert_eq!((field(&app), app.entry.is_signup), (None, false));
    enter(&mut app, "me", "secret");
    update(&mut app, Msg::Answered(For::Entry, refused(Code::BadCredentials, "no")), NOW);
    assert_eq!(field(&app), Some(EntryField::Password));
    enter(&mut app, "me", "secret");
    update(&mut app, Msg::Answered(For::Entry, Err(Failure::Offline("nobody answers".into()))), NOW);
    assert_eq!(app.entry.error, Some((EntryField::Form, "Nobody answers.".into())));
}

#[test]
fn opening_shows_where_one_stopped_and_reading_is_told_only_when_somebody_looks() {
    let mut app = with_messages(3);
    assert_eq!(app.window_title(), "(3) Samira");
    update(&mut app, Msg::Open(CHAT), NOW);
    let chat = app.chat.as_ref().unwrap();
    assert_eq!((chat.new_from, chat.new_count), (Some(1), 3));
    update(&mut app, Msg::Focus(false), NOW);
    assert!(update(&mut app, Msg::Seen(3), NOW).is_empty());
    update(&mut app, Msg::Focus(true), NOW);
    let cmds = update(&mut app, Msg::Seen(9), NOW);
    assert_eq!(
        commands(&cmds),
        [&Command::MarkRead { conversation: CHAT, upto: 3 }],
        "no farther than was handed over"
    );
    told(&mut app, vec![Delta::ReadHere { conversation: CHAT, upto: 3 }]);
    assert!(update(&mut app, Msg::Seen(3), NOW).is_empty());
    assert_eq!(app.window_title(), "sam – Samira");
}

#[test]
fn attention_is_wanted_for_what_comes_while_nobody_looks() {
    let mut app = with_messages(1);
    let attention =
        |cmds: &[Cmd]| cmds.iter().find_map(|cmd| if let Cmd::Attention(on) = cmd { Some(*on) } else { None });
    let arrive = |app: &mut App, number| attention(&update(app, Msg::Changed(vec![stream(number, SAM)]), NOW));
    assert_eq!(arrive(&mut app, 2), None, "somebody looks");
    update(&mut app, Msg::Focus(false), NOW);
    assert_eq!(attention(&update(&mut app, Msg::Tick, NOW)), None);
    assert_eq!(arrive(&mut app, 3), Some(true));
    assert_eq!(arrive(&mut app, 4), None, "once is enough");
    assert_eq!(attention(&update(&mut app, Msg::Focus(true), NOW)), Some(false));
    assert_eq!(attention(&update(&mut app, Msg::Tick, NOW)), None);
}

#[test]
fn sending_empties_the_draft_and_typing_is_told_now_and_then() {
    let mut app = with_messages(1);
    update(&mut app, Msg::Open(CHAT), NOW);
    let typing = |cmds: &[Cmd]| commands(cmds).iter().any(|one| matches!(one, Command::Typing { on: true, .. }));
    assert!(typing(&update(&mut app, typed("h"), NOW)));
    assert!(update(&mut app, typed("h"), NOW).is_empty(), "nothing has changed");
    assert!(!typing(&update(&mut app, typed("he"), NOW + 1_000)));
    let now = NOW + TYPING_AGAIN_MS;
    assert!(typing(&update(&mut app, typed("hel"), now)));
    assert!(update(&mut app, sent(" \n "), now).is_empty());
    let cmds = update(&mut app, sent(" hello "), now);
    let expected = [
        &Command::Typing { conversation: CHAT, on: false },
        &Command::Send { to: Target::Conversation(CHAT), text: "hello".into() },
        &Command::Draft { conversation: CHAT, text: "".into() },
    ];
    assert_eq!(commands(&cmds), expected);
    assert!(!cmds.iter().any(|cmd| matches!(cmd, Cmd::Write { .. })), "the field is of the next message already");
}

#[test]
fn what_was_written_for_one_conversation_is_not_sent_to_another() {
    let mut app = with_messages(1);
    update(&mut app, Msg::Open(CHAT), NOW);
    let other = Summary { conversation: CHAT + 1, ..summary(0, 0, false) };
    told(&mut app, vec![Delta::Conversation(other)]);
    // All at once, before the window could follow.
    update(&mut app, Msg::Open(CHAT + 1), NOW);
    for msg in [typed("for Sam"), sent("for Sam")] {
        assert!(update(&mut app, msg, NOW).is_empty());
    }
    assert_eq!((app.drafts.of(CHAT), app.drafts.of(CHAT + 1)), ("for Sam", ""));
    assert!(update(&mut app, Msg::Open(CHAT), NOW).contains(&written("for Sam")));
}

fn drafts(cmds: &[Cmd]) -> Vec<&str> {
    let texts = commands(cmds).into_iter().filter_map(|one| match one {
        Command::Draft { conversation: CHAT, text } => Some(&**text),
        _ => None,
    });
    texts.collect()
}

#[test]
fn a_draft_comes_back_with_its_conversation() {
    let mut model = Model::default();
    model.apply_all(&[
        Delta::Conversation(summary(1, 0, false)),
        Delta::Draft { conversation: CHAT, text: "half".into() },
    ]);
    let mut app = App::default();
    update(&mut app, Msg::Started(Box::new(model)), NOW);
    assert!(update(&mut app, Msg::Open(CHAT), NOW).contains(&written("half")));
    // What the driver tells is older than what was typed since.
    update(&mut app, typed("half a"), NOW);
    told(&mut app, vec![Delta::Draft { conversation: CHAT, text: "half".into() }]);
    update(&mut app, Msg::Back, NOW);
    assert!(update(&mut app, Msg::Open(CHAT), NOW).contains(&written("half a")));
}

#[test]
fn a_draft_goes_to_disk_a_moment_after_it_was_typed() {
    let mut app = with_messages(1);
    update(&mut app, Msg::Open(CHAT), NOW);
    let mut written = Vec::new();
    let text: String = ('a'..='z').collect();
    // One key every 50 ms, for 1.3 s, with a look at the clock in between.
    for length in 1..=text.len() {
        let now = NOW + 50 * length as u64;
        let cmds = update(&mut app, typed(&text[..length]), now);
        assert!(!drafts(&cmds).is_empty() || app.changes_in_ms() <= SAVE_AFTER_MS, "it looks again in time");
        written.extend(drafts(&cmds).into_iter().map(str::to_owned));
    }
    assert_eq!(written, [&text[..7], &text[..14], &text[..21]]);
    let last = NOW + 50 * text.len() as u64;
    assert!(drafts(&update(&mut app, Msg::Tick, last + 49)).is_empty());
    assert_eq!(drafts(&update(&mut app, Msg::Tick, last + 100)), [&text]);
    assert!(drafts(&update(&mut app, Msg::Tick, last + 10_000)).is_empty(), "once");
    assert!(app.changes_in_ms() > SAVE_AFTER_MS);
}

#[test]
fn a_draft_goes_to_disk_at_once_when_one_looks_away() {
    let ways: [fn() -> Msg; 5] = [
        || Msg::Left,
        || Msg::Back,
        || Msg::Uncover,
        || Msg::Open(CHAT + 1),
        || Msg::Connect("samira://127.0.0.1:1".into()),
    ];
    for way in ways {
        let mut app = with_messages(1);
        told(&mut app, vec![Delta::Conversation(Summary { conversation: CHAT + 1, ..summary(0, 0, false) })]);
        update(&mut app, Msg::Open(CHAT), NOW);
        assert!(drafts(&update(&mut app, typed("half"), NOW)).is_empty());
        let cmds = update(&mut app, way(), NOW);
        assert_eq!(drafts(&cmds), ["half"], "{:?}", way());
        let at = |wanted: fn(&Cmd) -> bool| cmds.iter().position(wanted);
        let connected = at(|cmd| matches!(cmd, Cmd::Connect(_)));
        assert!(connected.is_none_or(|connected| at(|cmd| matches!(cmd, Cmd::Ask(..))) < Some(connected)));
        assert!(drafts(&update(&mut app, Msg::Left, NOW)).is_empty(), "once");
    }
}

#[test]
fn a_draft_that_the_driver_has_not_taken_is_handed_over_again() {
    let mut app = with_messages(1);
    update(&mut app, Msg::Open(CHAT), NOW);
    update(&mut app, typed("half"), NOW);
    update(&mut app, Msg::Left, NOW);
    update(&mut app, Msg::Answered(For::Draft(CHAT), Err(Failure::NotNow("busy".into()))), NOW);
    assert_eq!(drafts(&update(&mut app, Msg::Tick, NOW + SAVE_AFTER_MS)), ["half"]);
}

#[test]
fn only_own_messages_are_deleted_and_only_after_a_question() {
    let mut app = with_messages(2);
    told(&mut app, vec![stream(3, ME)]);
    update(&mut app, Msg::Open(CHAT), NOW);
    for number in 1..=3 {
        update(&mut app, Msg::Toggle(number), NOW);
    }
    update(&mut app, Msg::Toggle(2), NOW);
    update(&mut app, Msg::DeleteChosen, NOW);
    assert_eq!(app.question, Some(Question::Delete(vec![3])));
    let cmds = update(&mut app, Msg::Confirm, NOW + UNANSWERED_MS);
    assert_eq!(commands(&cmds), [&Command::Delete { conversation: CHAT, numbers: vec![3] }]);
    assert!(!app.chat.as_ref().unwrap().choosing && app.question.is_none());
    update(&mut app, Msg::DeleteOne(1), NOW);
    assert!(app.question.is_none() && app.notice.is_some(), "somebody else's");
    // Chosen messages that vanish are not chosen any more.
    update(&mut app, Msg::Toggle(3), NOW);
    told(&mut app, vec![Delta::Deleted { conversation: CHAT, number: 3 }]);
    assert!(app.chat.as_ref().unwrap().chosen.is_empty());
}

#[test]
fn back_leaves_one_thing_at_a_time() {
    let mut app = with_messages(2);
    update(&mut app, Msg::Open(CHAT), NOW);
    update(&mut app, Msg::Toggle(1), NOW);
    update(&mut app, Msg::Clear, NOW);
    assert!(app.question.is_some());
    update(&mut app, Msg::Back, NOW);
    assert!(app.question.is_none() && app.chat.as_ref().unwrap().choosing);
    update(&mut app, Msg::Back, NOW);
    assert!(!app.chat.as_ref().unwrap().choosing);
    update(&mut app, Msg::Back, NOW);
    assert!(app.chat.is_none());
}

#[test]
fn an_answer_to_an_older_search_is_not_shown() {
    let mut app = app();
    let serial = |cmds: &[Cmd]| match cmds {
        [Cmd::Ask(Command::Users { .. }, For::People { serial }), ..] => *serial,
        other => panic!("{other:?}"),
    };
    update(&mut app, Msg::Tab(Tab::People), NOW);
    let first = serial(&update(&mut app, Msg::Search("s".into()), NOW));
    let cmds = update(&mut app, Msg::Search("sa".into()), NOW);
    let second = serial(&cmds);
    assert!(matches!(commands(&cmds)[..], [Command::Users { pattern, .. }] if pattern == "*sa*"));
    let people = |names: &[&str], total| {
        let people = names.iter().zip(10..).map(|(name, user)| person(user, name)).collect();
        Ok(Answer::People { people, total, stale: false })
    };
    update(&mut app, Msg::Answered(For::People { serial: first }, people(&["stu"], 1)), NOW);
    assert!(app.listed().is_empty() && app.search.waiting);
    update(&mut app, Msg::Answered(For::People { serial: second }, people(&["sal", "sam"], 3)), NOW);
    assert!(matches!(app.listed()[..], [Listed::Person(_), Listed::Person(_), Listed::More(1)]));
    let cmds = update(&mut app, Msg::MorePeople, NOW);
    assert!(matches!(commands(&cmds)[..], [Command::Users { skip: 2, .. }]));
    let cmds = update(&mut app, Msg::Search("s?m".into()), NOW);
    assert!(matches!(commands(&cmds)[..], [Command::Users { pattern, .. }] if pattern == "s?m"), "wildcards are kept");
}

#[test]
fn settings_say_what_came_of_them() {
    let mut app = app();
    update(&mut app, Msg::Tab(Tab::Settings), NOW);
    for wrong in ["", "0", "x", "100001"] {
        assert!(update(&mut app, Msg::ViewLimit(wrong.into()), NOW).is_empty(), "{wrong}");
        assert!(app.settings.under(Setting::ViewLimit).is_some_and(|(done, _)| !done));
    }
    let cmds = update(&mut app, Msg::ViewLimit(" 12 ".into()), NOW);
    assert_eq!(commands(&cmds), [&Command::ViewLimit(12)]);
    update(&mut app, Msg::Answered(For::Setting(Setting::ViewLimit), Ok(Answer::Done)), NOW);
    assert_eq!(app.settings.under(Setting::ViewLimit), Some((true, "Saved.")));
    let password =
        |old: &str, new: &str, again: &str| Msg::Password { old: old.into(), new: new.into(), again: again.into() };
    for wrong in [password("", "b", "b"), password("a", "", ""), password("a", "b", "c")] {
        assert!(commands(&update(&mut app, wrong, NOW)).is_empty());
    }
    update(&mut app, password("a", "b", "b"), NOW);
    update(&mut app, Msg::Answered(For::Setting(Setting::Password), refused(Code::WrongPassword, "no")), NOW);
    assert_eq!(app.settings.under(Setting::Password), Some((false, "The password is wrong.")));
}

#[test]
fn an_account_is_deleted_only_after_it_was_told_what_goes_with_it() {
    let mut app = app();
    update(&mut app, Msg::Tab(Tab::Settings), NOW);
    let delete = || Msg::DeleteAccount { password: "secret".into() };
    let cmds = update(&mut app, delete(), NOW);
    assert!(matches!(commands(&cmds)[..], [Command::DeleteAccount { confirm: false, .. }]));
    update(&mut app, Msg::Answered(For::Loss, Ok(Answer::Count(4))), NOW);
    assert_eq!(app.settings.loss, Some(4));
    assert!(update(&mut app, delete(), NOW + UNANSWERED_MS - 1).is_empty(), "nobody can have read it");
    let cmds = update(&mut app, delete(), NOW + UNANSWERED_MS);
    assert!(matches!(commands(&cmds)[..], [Command::DeleteAccount { confirm: true, .. }]));
    told(&mut app, vec![Delta::Wipe]);
    assert_eq!((app.page(), app.settings.loss), (Page::Entry, None));
}

#[test]
fn a_refused_message_can_be_written_again() {
    let mut app = with_messages(1);
    update(&mut app, Msg::Open(CHAT), NOW);
    let write = Write::Send { to: Target::Conversation(CHAT), text: "no".into() };
    let refusal = Refusal { code: Code::PeerGone, text: "gone".into() };
    let outgoing = Outgoing { key: 3, seq: 0, write, created_ms: NOW, state: WriteState::Refused(refusal) };
    told(&mut app, vec![Delta::Queued(outgoing)]);
    assert_eq!(app.chat.as_ref().unwrap().last(&app.model), Some(Line::Outgoing(3)));
    // It goes behind what was begun meanwhile, and is a draft before it is no message any more.
    update(&mut app, typed("well"), NOW);
    let cmds = update(&mut app, Msg::Rewrite(3), NOW);
    let draft = Command::Draft { conversation: CHAT, text: "well\nno".into() };
    assert_eq!(commands(&cmds), [&draft, &Command::Discard { key: 3 }]);
    assert!(cmds.contains(&written("well\nno")));
}

#[test]
fn unread_messages_that_are_kept_back_are_not_fetched_behind_the_persons_back() {
    let mut app = app();
    told(&mut app, vec![Delta::Conversation(summary(9, 9, true))]);
    let next = Delta::Message { conversation: CHAT, message: message(1, SAM), way: Way::Next { after: 0 } };
    told(&mut app, vec![next, Delta::Next { conversation: CHAT, last: 1, more: true }]);
    update(&mut app, Msg::Open(CHAT), NOW);
    let chat = app.chat.as_ref().unwrap();
    assert_eq!(chat.below(&app.model, Line::Message(1)), Some(Line::KeptBack { after: 1, before: 10 }));
    let cmds = update(&mut app, Msg::Next, NOW);
    assert_eq!(commands(&cmds), [&Command::Next { conversation: CHAT }]);
    assert!(update(&mut app, Msg::Next, NOW).is_empty(), "one at a time");
}

#[test]
fn what_is_out_of_reach_is_asked_for_again_when_the_connection_is_back() {
    let mut app = with_messages(1);
    update(&mut app, Msg::Open(CHAT), NOW);
    let need = |app: &mut App| !commands(&update(app, Msg::Need { before: 1 }, NOW)).is_empty();
    assert!(need(&mut app));
    assert!(!need(&mut app), "it is under way");
    let of = For::History { conversation: CHAT, before: 1 };
    update(&mut app, Msg::Answered(of, Err(Failure::Offline("nobody".into()))), NOW);
    assert!(!need(&mut app), "nobody is there to ask");
    told(&mut app, vec![Delta::Link(Link { state: LinkState::Online, ..Link::default() })]);
    assert!(need(&mut app));
}

#[test]
fn memory_is_kept_for_what_is_looked_at_and_for_the_newest() {
    let count = 9_000;
    let mut app = with_read_messages(count);
    update(&mut app, Msg::Open(CHAT), NOW);
    // As if all of it had been looked at.
    app.chat.as_mut().unwrap().loaded.add(1, count);
    update(&mut app, Msg::Viewing { first: 3_000, last: 3_020 }, NOW);
    let held: BTreeSet<_> = app.model.conversations[&CHAT].messages.keys().copied().collect();
    assert!(held.contains(&3_000) && held.contains(&count) && held.len() < 3_000, "{}", held.len());
    let chat = app.chat.as_ref().unwrap();
    for number in [1, 3_010, 6_000, count] {
        assert_eq!(chat.loaded.covers(number, number), held.contains(&number), "{number}");
    }
    let lowest = *held.first().unwrap();
    assert_eq!(chat.above(&app.model, Line::Message(lowest)), Some(Line::Gap { after: 0, before: lowest }));
}

#[test]
fn a_page_fills_the_hole_it_was_asked_for() {
    let mut app = with_read_messages(1_000);
    let found = app.model.conversations.get_mut(&CHAT).unwrap();
    found.messages.retain(|number, _| *number > 800);
    update(&mut app, Msg::Open(CHAT), NOW);
    let chat = app.chat.as_mut().unwrap();
    chat.loaded = client_fltk::model::Spans::from_ranges([(801, 1_000)]);
    assert_eq!(chat.above(&app.model, Line::Message(801)), Some(Line::Gap { after: 0, before: 801 }));
    let messages: Vec<_> = (601..=800).rev().map(|number| message(number, SAM)).collect();
    let deltas = messages.iter().cloned();
    let deltas = deltas.map(|message| Delta::Message { conversation: CHAT, message, way: Way::History }).collect();
    told(&mut app, deltas);
    let answer = Answer::Messages { conversation: CHAT, messages, more: true, stale: false };
    update(&mut app, Msg::Answered(For::History { conversation: CHAT, before: 801 }, Ok(answer)), NOW);
    let chat = app.chat.as_ref().unwrap();
    assert_eq!(chat.above(&app.model, Line::Message(801)), Some(Line::Message(800)));
    assert_eq!(chat.above(&app.model, Line::Message(601)), Some(Line::Gap { after: 0, before: 601 }));
}

proptest! {
    /// Whatever is held, deleted and missing: from the last line up and from the first line down one meets the same
    /// lines.
    #[test]
    fn up_and_down_are_the_same_lines(
        held in proptest::collection::btree_map(1_u64..40, any::<bool>(), 0..30),
        ranges in proptest::collection::vec((1_u64..40, 0_u64..10), 0..6),
        cleared in 0_u64..10,
        behind in any::<bool>(),
    ) {
        let mut app = app();
        told(&mut app, vec![Delta::Conversation(summary(40, 0, false))]);
        update(&mut app, Msg::Open(CHAT), NOW);
        let found = app.model.conversations.get_mut(&CHAT).unwrap();
        found.cleared = cleared;
        (found.behind, found.handed) = (behind, 20);
        let messages = held.iter().filter(|(number, _)| **number > cleared);
        found.messages = messages
            .map(|(&number, &deleted)| (number, Message { deleted, ..message(number, SAM) }))
            .collect();
        let mut spans = client_fltk::model::Spans::default();
        for (first, length) in ranges {
            spans.add(first, (first + length).min(40));
        }
        for &number in held.keys() {
            spans.add(number, number);
        }
        spans.cut(cleared);
        let chat = app.chat.as_mut().unwrap();
        chat.loaded = spans;
        let chat = &*chat;
        let up: Vec<_> = std::iter::successors(chat.last(&app.model), |line| chat.above(&app.model, *line)).collect();
        let shown = |lines: &[Line]| -> Vec<u64> {
            lines.iter().filter_map(|line| match line { Line::Message(number) => Some(*number), _ => None }).collect()
        };
        let mut numbers = shown(&up);
        numbers.reverse();
        let expected: Vec<_> = held.iter().filter(|(number, deleted)| **number > cleared && !**deleted).map(|(number, _)| *number).collect();
        prop_assert_eq!(&numbers, &expected);
        if let Some(&first) = up.last() {
            let down: Vec<_> = std::iter::successors(Some(first), |line| chat.below(&app.model, *line)).collect();
            prop_assert_eq!(shown(&down), expected);
            prop_assert!(down.len() <= up.len() + 1);
        }
    }
}

#[test]
fn nothing_is_said_of_how_a_server_is_protected_before_that_is_known() {
    let mut link = Link { state: LinkState::LogInNeeded { why: String::new() }, ..Link::default() };
    assert_eq!(words::server(&link, "10.0.0.5:5555"), "10.0.0.5:5555");
    link.address = "10.0.0.6:5555".into();
    assert_eq!(words::server(&link, "10.0.0.5:5555"), "10.0.0.6:5555 · not encrypted");
    link.encrypted = true;
    assert_eq!(words::server(&link, ""), "10.0.0.6:5555 · verified");
}
