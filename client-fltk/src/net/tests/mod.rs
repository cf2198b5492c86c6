//! The driver against nodes in this process.

mod node;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wire::chat::Code;
use wire::codec::Codec;
use wire::limits::NAME_REST_MS;

use self::node::Node;
use super::driver::{Driver, Settings, StartError};
use super::names::LookUp;
use crate::command::{Answer, Command, Failure, Note, Password, Ticket};
use crate::env::Clock;
use crate::model::{Delivery, Delta, LinkState, Model, Outgoing, Row, Summary, Target, Write, WriteState};
use crate::store::Store;

/// Longer than anything here takes on a busy machine; nothing waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program on top of a driver: it folds what it is told.
struct Person {
    driver: Driver,
    model: Model,
    answers: HashMap<Ticket, Result<Answer, Failure>>,
}

impl Person {
    fn start(settings: Settings) -> Self {
        Self::of(Driver::start(settings, || ()).unwrap())
    }

    fn of(driver: Driver) -> Self {
        Self { driver, model: Model::default(), answers: HashMap::new() }
    }

    fn new(node: &Node) -> Self {
        Self::start(at(node))
    }

    fn signed_up(node: &Node, name: &str) -> Self {
        let mut person = Self::new(node);
        person.sign_up(name);
        person
    }

    fn sign_up(&mut self, name: &str) {
        let command =
            Command::SignUp { username: name.into(), nickname: String::new(), password: Password::of("secret") };
        assert_eq!(self.ask(command), Ok(Answer::Done));
    }

    fn fold(&mut self, note: Note) {
        match note {
            Note::Model(model) => self.model = *model,
            Note::Changed(deltas) => self.model.apply_all(&deltas),
            Note::Answer { ticket, outcome } => {
                assert!(self.answers.insert(ticket, outcome).is_none(), "one answer each");
            }
            Note::Broken(why) => panic!("{why}"),
        }
    }

    /// Folds notes until something holds.
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let clock = Clock::start();
        while !holds(self) {
            let left = PATIENCE.saturating_sub(Duration::from_millis(clock.monotonic().as_ms()));
            match self.driver.wait_note(left) {
                Some(note) => self.fold(note),
                None => panic!("{what}: {:#?}", self.model),
            }
        }
    }

    fn answer(&mut self, ticket: Ticket) -> Result<Answer, Failure> {
        self.until("an answer", |person| person.answers.contains_key(&ticket));
        self.answers.remove(&ticket).unwrap()
    }

    fn ask(&mut self, command: Command) -> Result<Answer, Failure> {
        let ticket = self.driver.send(command).unwrap();
        self.answer(ticket)
    }

    fn send(&self, to: &str, text: &str) -> Ticket {
        let to = Target::Username(to.into());
        self.driver.send(Command::Send { to, text: text.into() }).unwrap()
    }

    fn texts(&self, conversation: u64) -> Vec<String> {
        let rows = self.model.timeline(conversation).into_iter();
        rows.filter_map(|row| match row {
            Row::Message(message, _) => Some(message.text.0.clone()),
            _ => None,
        })
        .collect()
    }

    fn is_online(&self) -> bool {
        self.model.link.state == LinkState::Online && self.model.synced
    }
}

fn at(node: &Node) -> Settings {
    Settings { link: Some(node.address.to_string().parse().unwrap()), ..Settings::default() }
}

fn on_disk(node: &Node, directory: &Path) -> Settings {
    Settings { directory: Some(directory.to_owned()), ..at(node) }
}

fn stored(number: u64) -> Result<Answer, Failure> {
    Ok(Answer::Stored { conversation: 1, number })
}

/// The real node is looked at in the same way (`tests/tests/contract.rs`).
#[test]
fn the_node_of_these_tests_keeps_what_the_real_one_keeps() {
    for codec in Codec::CHAT {
        let node = Node::start();
        let place = contract::Place { address: node.address, codec };
        let known = contract::with_a_majority(place).unwrap();
        node.world().stale = true;
        contract::without_a_majority(place, &known).unwrap();
        node.world().stale = false;
        contract::again_with_a_majority(place, &known).unwrap();
    }
}

#[test]
fn two_people_talk_in_both_codecs() {
    for codec in Codec::CHAT {
        let node = Node::start();
        let mut al = Person::start(Settings { codec, ..at(&node) });
        al.sign_up("al");
        let mut bo = Person::signed_up(&node, "bo");
        let hello = al.send("bo", "hello");
        assert_eq!(al.answer(hello), stored(1));
        bo.until("a message", |bo| bo.texts(1) == ["hello"] && bo.model.unread(1) == 1);
        al.until("delivered", |al| al.model.delivery(1, 1) == Delivery::Delivered);
        bo.driver.send(Command::MarkRead { conversation: 1, upto: 1 }).unwrap();
        bo.until("read here", |bo| bo.model.unread_total() == 0);
        al.until("read", |al| al.model.delivery(1, 1) == Delivery::Read);
        assert!(al.model.outbox.is_empty());
        assert!(bo.ask(Command::Delete { conversation: 1, numbers: vec![] }).is_err());
        assert_eq!(al.ask(Command::Delete { conversation: 1, numbers: vec![1] }), Ok(Answer::Count(1)));
        bo.until("deleted", |bo| bo.texts(1).is_empty());
        al.until("the same", |al| al.texts(1).is_empty());
        // Marks of oneself do not come back to who reads them from another number of changes.
        assert_eq!(node.world().entries, ["signup", "signup"]);
    }
}

#[test]
fn a_write_whose_answer_is_lost_is_stored_once() {
    let node = Node::start();
    node.add_user("bo");
    let mut al = Person::signed_up(&node, "al");
    node.world().swallow_replies = 2;
    let tickets: Vec<_> = ["a", "b", "c"].map(|text| al.send("bo", text)).into();
    for (ticket, number) in tickets.into_iter().zip(1..) {
        assert_eq!(al.answer(ticket), stored(number));
    }
    assert_eq!(node.texts(1), ["a", "b", "c"]);
    assert!(node.world().entries.iter().filter(|entry| **entry == "resume").count() >= 1);
    al.until("all there", |al| al.texts(1) == ["a", "b", "c"] && al.model.outbox.is_empty());
}

#[test]
fn refused_for_now_is_sent_again_and_refused_for_good_is_told() {
    let node = Node::start();
    node.add_user("bo");
    let mut al = Person::signed_up(&node, "al");
    node.world().refuse = 1;
    let (first, second) = (al.send("bo", "a"), al.send("bo", "b"));
    assert_eq!((al.answer(first), al.answer(second)), (stored(1), stored(2)));
    let nobody = al.send("cy", "lost");
    assert!(matches!(al.answer(nobody), Err(Failure::Refused(refusal)) if refusal.code == Code::NoSuchUser));
    // It stays in sight until it is taken back, and its number is used up.
    let key = al.model.outbox.values().find(|outgoing| outgoing.seq == 0).map(|outgoing| outgoing.key).unwrap();
    assert!(matches!(&al.model.outbox[&key].state, WriteState::Refused(_)));
    assert_eq!(al.ask(Command::Discard { key }), Ok(Answer::Done));
    let third = al.send("bo", "c");
    assert_eq!(al.answer(third), stored(3));
    // Refused before its number was looked at: the number is used up by nothing, and the next write goes through.
    node.world().refuse_at_door = 1;
    let (odd, fourth) = (al.send("bo", "odd"), al.send("bo", "d"));
    assert!(matches!(al.answer(odd), Err(Failure::Refused(refusal)) if refusal.code == Code::Malformed));
    assert_eq!(al.answer(fourth), stored(4));
    assert_eq!(node.texts(1), ["a", "b", "c", "d"]);
}

#[test]
fn a_lost_connection_comes_back_and_nothing_is_missed() {
    let node = Node::start();
    let bo = node.add_user("bo");
    let mut al = Person::signed_up(&node, "al");
    let me = al.model.me();
    node.say(bo, me, "1");
    al.until("pushed", |al| al.texts(1) == ["1"]);
    for round in 2..6 {
        node.cut();
        node.say(bo, me, &round.to_string());
        al.until("caught up", |al| al.texts(1).len() == round && al.is_online());
    }
    assert_eq!(al.model.unread(1), 5);
    // Marks of one's own are changes too, and come back.
    al.until("the newest change", |al| al.model.cursor == node.world().cursor());
}

#[test]
fn another_node_takes_over() {
    let first = Node::start();
    let second = Node::of(first.world.clone());
    first.world().nodes = vec![first.address.to_string(), second.address.to_string()];
    first.add_user("bo");
    let mut al = Person::signed_up(&first, "al");
    al.until("online", Person::is_online);
    assert_eq!(al.model.nodes.len(), 2);
    first.close();
    let ticket = al.send("bo", "hello");
    assert_eq!(al.answer(ticket), stored(1));
    assert_eq!(al.model.link.address, second.address.to_string());
}

#[test]
fn a_token_that_is_no_good_asks_to_log_in_and_nothing_is_lost() {
    let node = Node::start();
    node.add_user("bo");
    let mut al = Person::signed_up(&node, "al");
    let hello = al.send("bo", "hello");
    assert_eq!(al.answer(hello), stored(1));
    node.forget_tokens();
    node.cut();
    al.until("asked", |al| matches!(al.model.link.state, LinkState::LogInNeeded { .. }));
    let later = al.send("bo", "later");
    assert!(matches!(al.ask(Command::Devices), Err(Failure::LogInNeeded(_))));
    let wrong = Command::LogIn { username: "al".into(), password: Password::of("wrong") };
    assert!(matches!(al.ask(wrong), Err(Failure::Refused(refusal)) if refusal.code == Code::BadCredentials));
    let right = Command::LogIn { username: "al".into(), password: Password::of("secret") };
    assert_eq!(al.ask(right), Ok(Answer::Done));
    // As the same device, so that numbers go on.
    assert_eq!(al.answer(later), stored(2));
    assert_eq!(node.world().applied.iter().map(|applied| (applied.0, applied.1)).collect::<Vec<_>>().len(), 2);
    let devices: Vec<_> = node.world().applied.iter().map(|applied| applied.0).collect();
    assert_eq!(devices[0], devices[1]);
}

#[test]
fn a_device_that_is_logged_out_elsewhere_asks_to_log_in() {
    let node = Node::start();
    let mut al = Person::signed_up(&node, "al");
    // That the node stops is no reason to ask anybody.
    node.say_bye(Code::Stopping);
    al.until("noticed", |al| !matches!(al.model.link.state, LinkState::Online));
    al.until("back", Person::is_online);
    node.say_bye(Code::Revoked);
    al.until("asked", |al| matches!(&al.model.link.state, LinkState::LogInNeeded { why } if why.contains("elsewhere")));
    assert_eq!(node.world().entries, ["signup", "resume"]);
}

#[test]
fn what_was_written_without_a_connection_survives_the_program() {
    let node = Node::start();
    node.add_user("bo");
    let directory = tempfile::tempdir().unwrap();
    let mut al = Person::start(on_disk(&node, directory.path()));
    al.sign_up("al");
    al.until("online", Person::is_online);
    node.close();
    al.until("noticed", |al| !matches!(al.model.link.state, LinkState::Online));
    al.send("bo", "one");
    al.send("bo", "two");
    al.until("kept", |al| al.model.outbox.len() == 2);
    drop(al);
    let again = Node::of(node.world.clone());
    // The profile knows who it is; only the address is new.
    let mut al = Person::start(on_disk(&again, directory.path()));
    al.until("sent", |al| al.texts(1) == ["one", "two"] && al.model.outbox.is_empty());
    assert_eq!(node.texts(1), ["one", "two"]);
    assert_eq!(node.world().entries, ["signup", "resume"]);
}

#[test]
fn what_is_stored_comes_back_to_a_program_that_ends_at_once() {
    let node = Node::start();
    let bo = node.add_user("bo");
    let directory = tempfile::tempdir().unwrap();
    let mut al = Person::start(on_disk(&node, directory.path()));
    al.sign_up("al");
    al.until("online", Person::is_online);
    let (me, mut model) = (al.model.me(), al.model.clone());
    drop(al);
    // A first sync that met the message told the conversation and not what is its user's own in it; then the answer came.
    node.say(me, bo, "hello");
    let database = directory.path().join("profile.db");
    let write = Write::Send { to: Target::Username("bo".into()), text: "hello".into() };
    let deltas = [
        Delta::Queued(Outgoing { key: 1, seq: 1, write, created_ms: 1, state: WriteState::Sent }),
        Delta::Conversation(Summary { conversation: 1, last_number: 1, ..Summary::default() }),
        Delta::Cursor { cursor: node.world().cursor(), synced: true },
        Delta::WriteState { key: 1, seq: 1, state: WriteState::Stored { conversation: 1, number: 1 } },
    ];
    model.apply_all(&deltas);
    let (mut store, _) = Store::open(&database).unwrap();
    store.commit(&deltas, &model).unwrap();
    drop(store);
    node.world().slow_history = true;

    let mut al = Person::start(on_disk(&node, directory.path()));
    al.until("online", Person::is_online);
    drop(al);
    let (_store, model) = Store::open(&database).unwrap();
    assert!(model.outbox.is_empty(), "{:?}", model.outbox);
}

#[test]
fn a_message_is_for_the_account_that_had_the_name_when_it_was_written() {
    let node = Node::start();
    let bo = node.add_user("bo");
    let mut al = Person::start(at(&node));
    al.sign_up("al");
    let me = al.model.me();
    node.say(bo, me, "hello");
    al.until("the first message", |al| al.model.person_named("bo").is_some());
    node.world().rename(bo, "somebody that used to be bo");
    let other = node.add_user("bo");
    let ticket = al.send("bo", "for you alone");
    assert_eq!(al.answer(ticket), stored(2));
    assert!(al.model.conversation_with(other).is_none());
    // Nobody here has met this one.
    let ticket = al.send("somebody that used to be bo", "whoever you are");
    assert_eq!(al.answer(ticket), stored(3));
}

#[test]
fn a_message_for_a_name_does_not_outlive_the_rest_of_a_name() {
    let node = Node::start();
    node.add_user("bo");
    let directory = tempfile::tempdir().unwrap();
    let mut al = Person::start(on_disk(&node, directory.path()));
    al.sign_up("al");
    al.until("online", Person::is_online);
    let mut model = al.model.clone();
    drop(al);
    let now = Clock::start().unix_ms();
    let waits = |key, created_ms| {
        let write = Write::Send { to: Target::Username("bo".into()), text: "hello".into() };
        Delta::Queued(Outgoing { key, seq: 0, write, created_ms, state: WriteState::Queued })
    };
    let deltas = [waits(1, now - NAME_REST_MS - 1000), waits(2, now - NAME_REST_MS + 3_600_000)];
    model.apply_all(&deltas);
    let (mut store, _) = Store::open(&directory.path().join("profile.db")).unwrap();
    store.commit(&deltas, &model).unwrap();
    drop(store);

    let mut al = Person::start(on_disk(&node, directory.path()));
    al.until("the younger one to be stored", |al| !al.model.outbox.is_empty() && !al.model.outbox.contains_key(&2));
    let refused = &al.model.outbox[&1].state;
    assert!(matches!(refused, WriteState::Refused(refusal) if refusal.code == Code::NoSuchUser), "{refused:?}");
    assert_eq!(node.world().applied.len(), 1);
}

#[test]
fn a_node_that_says_nothing_is_left() {
    let mute = Node::start();
    mute.world().mute = true;
    let node = Node::start();
    let link = format!("{},{}", mute.address, node.address);
    let mut al = Person::start(Settings { link: Some(link.parse().unwrap()), ..Settings::default() });
    al.sign_up("al");
    assert_eq!(al.model.link.address, node.address.to_string());
}

/// Its machine is switched off, or the cable pulled: nothing closes the connection.
#[test]
fn a_node_that_falls_silent_is_left() {
    let first = Node::start();
    let second = Node::of(first.world.clone());
    first.world().nodes = vec![first.address.to_string(), second.address.to_string()];
    let mut al = Person::signed_up(&first, "al");
    al.until("online", Person::is_online);
    first.freeze();
    al.until("there", |al| al.is_online() && al.model.link.address == second.address.to_string());
}

/// A laptop away from its network: the name server never answers.
#[test]
fn a_silent_name_server_keeps_neither_other_addresses_nor_the_end_waiting() {
    let node = Node::start();
    let (asked, queries) = std::sync::mpsc::channel();
    let (_never, silence) = std::sync::mpsc::channel::<()>();
    let silence = std::sync::Mutex::new(silence);
    let look_up: LookUp = Arc::new(move |host, _| {
        asked.send(host.to_owned()).unwrap();
        let _ = silence.lock().unwrap().recv();
        Err(std::io::Error::other("over"))
    });
    let link = format!("ship.example,{}", node.address);
    let settings = Settings { link: Some(link.parse().unwrap()), plaintext_any: true, ..Settings::default() };
    let mut al = Person::of(Driver::start_with(settings.clone(), look_up.clone(), || ()).unwrap());
    al.sign_up("al");
    assert_eq!(
        (queries.recv().unwrap(), al.model.link.address.clone()),
        ("ship.example".to_owned(), node.address.to_string())
    );
    drop(al);
    // Nobody waits for the name when the program ends, and what else was asked is answered meanwhile.
    let link = "ship.example".parse().unwrap();
    let settings = Settings { link: Some(link), ..settings };
    let mut bo = Person::of(Driver::start_with(settings, look_up, || ()).unwrap());
    let log_in = bo.driver.send(Command::LogIn { username: "bo".into(), password: Password::of("") }).unwrap();
    assert_eq!(queries.recv().unwrap(), "ship.example");
    assert_eq!(bo.ask(Command::ConnectNow), Ok(Answer::Done));
    bo.until("told", |bo| bo.model.link.why().is_some_and(|why| why.contains("the name server does not answer")));
    assert!(!bo.answers.contains_key(&log_in));
    drop(bo);
}

#[test]
fn a_session_without_a_majority_reads_and_becomes_whole() {
    let node = Node::start();
    let bo = node.add_user("bo");
    let mut al = Person::signed_up(&node, "al");
    let me = al.model.me();
    node.say(bo, me, "hello");
    al.until("there", |al| al.texts(1) == ["hello"] && al.is_online());
    node.world().stale = true;
    node.cut();
    al.until("stale", |al| al.is_online() && al.model.link.stale);
    let ticket = al.send("bo", "held");
    node.world().stale = false;
    assert_eq!(al.answer(ticket), stored(2));
    al.until("whole", |al| !al.model.link.stale);
}

#[test]
fn an_outage_logs_nobody_out() {
    let node = Node::start();
    node.add_user("bo");
    let directory = tempfile::tempdir().unwrap();
    let mut al = Person::start(on_disk(&node, directory.path()));
    al.sign_up("al");
    let hello = al.send("bo", "hello");
    assert_eq!(al.answer(hello), stored(1));
    node.world().stale = true;
    node.cut();
    al.until("stale", |al| al.is_online() && al.model.link.stale);
    drop(al);
    // Another process of the same profile, still without a majority, and then with one.
    let mut al = Person::start(on_disk(&node, directory.path()));
    al.until("stale", |al| al.is_online() && al.model.link.stale);
    al.send("bo", "held");
    drop(al);
    node.world().stale = false;
    let mut al = Person::start(on_disk(&node, directory.path()));
    al.until("whole", |al| al.is_online() && al.texts(1) == ["hello", "held"]);
    assert_eq!(node.world().applied.iter().map(|applied| applied.1).collect::<Vec<_>>(), [1, 2]);
    assert!(node.world().entries.iter().all(|entry| *entry != "login"));
}

#[test]
fn a_node_that_has_not_heard_of_a_token_logs_nobody_out() {
    let node = Node::start();
    let mut al = Person::signed_up(&node, "al");
    let token = node.swap_token(None);
    node.world().stale = true;
    node.cut();
    al.until("noticed", |al| matches!(al.model.link.state, LinkState::Offline { .. }));
    node.swap_token(Some(token));
    node.world().stale = false;
    al.until("back", Person::is_online);
}

#[test]
fn another_account_is_not_let_in_over_held_messages_without_a_majority() {
    let node = Node::start();
    let bo = node.add_user("bo");
    let mut al = Person::signed_up(&node, "al");
    let me = al.model.me();
    node.say(bo, me, "hello");
    al.until("there", |al| al.texts(1) == ["hello"]);
    node.forget_tokens();
    node.cut();
    al.until("asked", |al| matches!(al.model.link.state, LinkState::LogInNeeded { .. }));
    node.world().stale = true;
    let other = Command::LogIn { username: "bo".into(), password: Password::of("") };
    node.set_password("bo", Password::of("").wire());
    assert!(matches!(al.ask(other.clone()), Err(Failure::NotNow(why)) if why.contains("the messages of al")));
    assert_eq!(al.texts(1), ["hello"]);
    // With a majority neither: what was shown stays until its user says otherwise.
    node.world().stale = false;
    assert!(matches!(al.ask(other.clone()), Err(Failure::NotNow(why)) if why.contains("the messages of al")));
    assert_eq!(al.texts(1), ["hello"]);
    assert_eq!(al.ask(Command::LogOut), Ok(Answer::Done));
    assert_eq!(al.ask(other), Ok(Answer::Done));
    al.until("let in", |al| al.model.account.as_ref().is_some_and(|account| account.username == "bo"));
}

/// A backup was restored: what came after it is on people's devices alone.
#[test]
fn what_the_servers_have_lost_stays_readable_and_is_marked() {
    let node = Node::start();
    let bo = node.add_user("bo");
    let directory = tempfile::tempdir().unwrap();
    let mut al = Person::start(on_disk(&node, directory.path()));
    al.sign_up("al");
    let me = al.model.me();
    for text in ["one", "two", "three"] {
        node.say(bo, me, text);
    }
    al.until("there", |al| al.texts(1).len() == 3 && al.is_online());
    node.roll_back(1);
    node.cut();
    let kept = 1 | crate::model::aside::ASIDE;
    al.until("begun again", |al| al.is_online() && al.texts(1) == ["one"]);
    assert_eq!(al.texts(kept), ["one", "two", "three"]);
    assert_eq!((al.model.title(1), al.model.title(kept)), ("bo".to_owned(), "bo (kept here)".to_owned()));
    assert_eq!(al.model.unread(kept), 0);
    // What goes on takes the numbers of what was lost, and nothing else.
    node.say(bo, me, "again");
    al.until("going on", |al| al.texts(1) == ["one", "again"]);
    let to = Target::Conversation(kept);
    let send = Command::Send { to, text: "?".into() };
    assert!(matches!(al.ask(send), Err(Failure::NotNow(why)) if why.contains("kept here")));
    let hello = al.send("bo", "to the living one");
    assert_eq!(al.answer(hello), stored(3));
    drop(al);
    let mut al = Person::start(on_disk(&node, directory.path()));
    al.until("online", Person::is_online);
    assert_eq!(al.texts(kept), ["one", "two", "three"]);
    let old = Command::History { conversation: kept, before: 3, limit: 9 };
    assert!(matches!(al.ask(old), Ok(Answer::Messages { messages, .. }) if messages.len() == 2));
}

/// The account was deleted and its name taken anew: another user, whose login must not cost what is held.
#[test]
fn a_name_that_became_somebody_elses_takes_nothing_away() {
    let node = Node::start();
    let bo = node.add_user("bo");
    let mut al = Person::signed_up(&node, "al");
    let me = al.model.me();
    node.say(bo, me, "hello");
    al.until("there", |al| al.texts(1) == ["hello"]);
    node.rename(me, "al-before");
    node.add_user("al");
    node.set_password("al", Password::of("new").wire());
    node.forget_tokens();
    node.cut();
    al.until("asked", |al| matches!(al.model.link.state, LinkState::LogInNeeded { .. }));
    let new = Command::LogIn { username: "al".into(), password: Password::of("new") };
    assert!(matches!(al.ask(new), Err(Failure::NotNow(why)) if why.contains("the messages of al")));
    assert_eq!((al.texts(1), al.model.me()), (vec!["hello".to_owned()], me));
}

#[test]
fn without_a_token_the_password_is_kept_in_memory() {
    let node = Node::start();
    node.world().no_tokens = true;
    let mut al = Person::signed_up(&node, "al");
    node.cut();
    al.until("noticed", |al| !matches!(al.model.link.state, LinkState::Online));
    al.until("back", Person::is_online);
    assert_eq!(node.world().entries, ["signup", "login"]);
}

#[test]
fn old_messages_come_from_the_node_once_and_from_disk_then() {
    let node = Node::start();
    let bo = node.add_user("bo");
    let mut al = Person::signed_up(&node, "al");
    let me = al.model.me();
    for number in 1..=7 {
        node.say(bo, me, &number.to_string());
    }
    al.until("there", |al| al.model.unread(1) == 7);
    let page = |al: &mut Person, before, limit| match al.ask(Command::History { conversation: 1, before, limit }) {
        Ok(Answer::Messages { messages, more, stale, .. }) => {
            (messages.iter().map(|message| message.number).collect::<Vec<_>>(), more, stale)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(page(&mut al, 0, 3), (vec![7, 6, 5], true, false));
    assert_eq!(page(&mut al, 5, 10), (vec![4, 3, 2, 1], false, false));
    node.close();
    al.until("noticed", |al| !matches!(al.model.link.state, LinkState::Online));
    assert_eq!(page(&mut al, 3, 1), (vec![2], true, false));
}

#[test]
fn a_profile_belongs_to_one_cluster() {
    let node = Node::start();
    let directory = tempfile::tempdir().unwrap();
    let mut al = Person::start(on_disk(&node, directory.path()));
    al.sign_up("al");
    assert!(matches!(
        Driver::start(on_disk(&node, directory.path()), || ()),
        Err(StartError::Profile(crate::profile::ProfileError::InUse(_)))
    ));
    drop(al);
    node.close();
    let other = Node::of_cluster(node.world.clone(), "c2");
    let mut al = Person::start(on_disk(&other, directory.path()));
    al.until("refused", |al| {
        al.model.link.outage.as_ref().is_some_and(|outage| outage.why.contains("another cluster"))
    });
    // It was not told a token.
    assert_eq!(node.world().entries, ["signup"]);
}

#[test]
fn nobody_far_away_is_trusted_without_a_pin() {
    let start = |link: &str| {
        let settings = Settings { link: Some(link.parse().unwrap()), ..Settings::default() };
        Driver::start(settings, || ()).map(drop)
    };
    assert!(matches!(start("192.0.2.1"), Err(StartError::NoPin(_))));
    assert!(matches!(start("127.0.0.1,ship.example"), Err(StartError::NoPin(_))));
    assert!(start("192.0.2.1#abcdefghijklmnopqrstuvwxya").is_ok());
    assert!(matches!(Driver::start(Settings::default(), || ()), Err(StartError::NoLink)));
}

#[test]
fn logging_out_leaves_nothing_behind() {
    let node = Node::start();
    let bo = node.add_user("bo");
    let directory = tempfile::tempdir().unwrap();
    let mut al = Person::start(on_disk(&node, directory.path()));
    al.sign_up("al");
    let me = al.model.me();
    node.say(bo, me, "secret");
    al.until("there", |al| al.texts(1) == ["secret"]);
    assert_eq!(al.ask(Command::LogOut), Ok(Answer::Done));
    al.until("gone", |al| al.model.conversations.is_empty() && al.model.account.is_none());
    drop(al);
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
    }
    let mut al = Person::start(on_disk(&node, directory.path()));
    al.until("asked", |al| matches!(al.model.link.state, LinkState::LogInNeeded { .. }));
}

#[test]
fn notes_that_nobody_takes_do_not_grow() {
    let node = Node::start();
    let bo = node.add_user("bo");
    let mut al = Person::signed_up(&node, "al");
    let me = al.model.me();
    al.until("online", Person::is_online);
    for number in 0..2 * crate::limits::NOTES_MAX {
        node.say(bo, me, &number.to_string());
    }
    // Everything is there once somebody takes it.
    al.until("all there", |al| al.model.unread(1) == 2 * crate::limits::NOTES_MAX as u64);
}
