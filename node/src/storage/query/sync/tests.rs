//! What a device puts together is the same however it is told: in one sync, in chunks of any size, or live.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tempfile::TempDir;
use wire::replication::command::{Chat, Command, Marks, Outcome};

use super::*;
use crate::chat::effect::{Applied, Audience, Effect, Listener, What};
use crate::chat::tests::Machine;
use crate::storage::query::timeline::Span;
use crate::storage::state::StateDb;

const USERS: u64 = 4;
const NAMES: [&str; USERS as usize] = ["ann", "bob", "cat", "dan"];
/// Whose device it is.
const ME: u64 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct View {
    members: BTreeMap<u64, (u64, u64)>,
    last_number: u64,
    cleared: u64,
    messages: BTreeMap<u64, (u64, u64, String)>,
}

/// What a device holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Device {
    conversations: BTreeMap<u64, View>,
    people: BTreeMap<u64, (String, String, bool)>,
    account: Option<Profile>,
    behind: BTreeSet<u64>,
    cursor: u64,
}

impl Device {
    fn summary(&mut self, summary: &Summary) {
        let view = self.conversations.entry(summary.conversation).or_default();
        view.last_number = view.last_number.max(summary.last_number);
        view.cleared = view.cleared.max(summary.cleared);
        let cleared = view.cleared;
        view.messages.retain(|number, _| *number > cleared);
        for member in &summary.members {
            let marks = view.members.entry(member.person.user).or_default();
            *marks = (marks.0.max(member.delivered), marks.1.max(member.read));
        }
        summary.members.iter().for_each(|member| self.person(&member.person));
    }

    fn person(&mut self, person: &Person) {
        if person.user != ME {
            self.people.insert(person.user, (person.username.clone(), person.nickname.clone(), person.live));
        }
    }

    fn marks(&mut self, conversation: u64, user: u64, delivered: u64, read: u64) {
        let view = self.conversations.get_mut(&conversation).expect("a conversation is told before its marks");
        let marks = view.members.entry(user).or_default();
        *marks = (marks.0.max(delivered), marks.1.max(read));
    }

    fn message(&mut self, conversation: u64, number: u64, told: (u64, u64, String)) {
        let view = self.conversations.get_mut(&conversation).expect("a conversation is told before its messages");
        view.last_number = view.last_number.max(number);
        if number > view.cleared {
            assert_eq!(view.messages.insert(number, told), None, "a message is told once");
        }
    }

    fn deleted(&mut self, conversation: u64, number: u64) {
        let view = self.conversations.get_mut(&conversation).expect("a conversation is told before its deletions");
        view.last_number = view.last_number.max(number);
        view.messages.remove(&number);
    }

    fn chunk(&mut self, chunk: &SyncChunk) {
        for summary in &chunk.conversations {
            self.summary(summary);
        }
        for message in &chunk.messages {
            let told = (message.id, message.sender, message.text.clone());
            self.message(message.conversation, message.number, told);
        }
        for deletion in &chunk.deleted {
            self.deleted(deletion.conversation, deletion.number);
        }
        for marks in &chunk.marks {
            self.marks(marks.conversation, marks.user, marks.delivered, marks.read);
        }
        for person in &chunk.people {
            self.person(person);
        }
        if let Some(account) = &chunk.account {
            self.account = Some(account.clone());
        }
        assert!(chunk.next.cursor >= self.cursor);
        self.cursor = chunk.next.cursor;
        self.behind = chunk.next.behind.clone();
    }

    fn effect(&mut self, reader: &StateReader, effect: &Effect) {
        if !effect.audience.contains(&ME) {
            return;
        }
        assert!(effect.id >= self.cursor, "ids never fall");
        self.cursor = effect.id;
        match &effect.what {
            What::Message { conversation, number, sender, text, .. } => {
                self.message(*conversation, *number, (effect.id, *sender, text.to_string()));
            }
            What::Deleted { conversation, number } => self.deleted(*conversation, *number),
            What::Marks { conversation, user, delivered, read } => {
                self.marks(*conversation, *user, *delivered, *read);
            }
            What::Cleared { conversation, user, upto } => {
                assert_eq!(*user, ME, "nobody else's view is told");
                let view = self.conversations.get_mut(conversation).unwrap();
                view.cleared = view.cleared.max(*upto);
                view.messages.retain(|number, _| *number > *upto);
            }
            What::Conversation { conversation } => {
                self.summary(&reader.summary(ME, *conversation).unwrap().unwrap());
            }
            What::Person { user } if *user == ME => self.account = reader.profile(ME).unwrap().or(self.account.take()),
            What::Person { user } => self.person(&reader.person(*user).unwrap().unwrap()),
            What::Account { .. } => self.account = reader.profile(ME).unwrap(),
            What::DeviceRevoked { .. } | What::MembersChanged => {}
        }
    }

    /// Takes all chunks of a sync; `between` runs after each but the last.
    fn sync(&mut self, reader: &StateReader, view_limit: u32, limits: &[usize], mut between: impl FnMut()) {
        let mut from = SyncFrom::cursor(self.cursor, view_limit);
        for limit in limits.iter().cycle() {
            let chunk = reader.snapshot(|reader| reader.sync(ME, &from, *limit, false)).unwrap();
            assert!(!chunk.resync);
            self.chunk(&chunk);
            from = chunk.next;
            if !chunk.more {
                return;
            }
            between();
        }
    }
}

/// One step of the world; numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Send(u64, u64),
    Delete(u64, u64, u64),
    Mark(u64, u64, u64, u64),
    MarkRead(u64, u64, u64),
    Clear(u64, u64, u64),
    Nickname(u64, String),
    ViewLimit(u64, u32),
    Open(u64, u64),
    DeleteAccount,
}

fn steps(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let user = || prop_oneof![2 => Just(ME), 3 => 1..=USERS];
    let step = prop_oneof![
        12 => (user(), user()).prop_map(|(one, other)| Step::Send(one, other)),
        3 => (user(), 1..7u64, 1..9u64).prop_map(|(user, at, number)| Step::Delete(user, at, number)),
        3 => (user(), 1..7u64, 0..9u64, 0..9u64).prop_map(|(user, at, one, other)| Step::Mark(user, at, one, other)),
        2 => (user(), 1..7u64, 1..9u64).prop_map(|(user, at, upto)| Step::MarkRead(user, at, upto)),
        1 => (user(), 1..7u64, 1..9u64).prop_map(|(user, at, upto)| Step::Clear(user, at, upto)),
        1 => (user(), "[a-z]{1,3}").prop_map(|(user, nickname)| Step::Nickname(user, nickname)),
        1 => (user(), 1..9u32).prop_map(|(user, limit)| Step::ViewLimit(user, limit)),
        1 => (user(), user()).prop_map(|(one, other)| Step::Open(one, other)),
        1 => Just(Step::DeleteAccount),
    ];
    prop::collection::vec(step, count)
}

struct World {
    machine: Machine,
    reader: StateReader,
    told: Arc<Mutex<Vec<Effect>>>,
    _directory: TempDir,
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let mut db = StateDb::open(&path).unwrap();
        let told: Arc<Mutex<Vec<Effect>>> = Arc::default();
        let audience = Audience::default();
        (1..=USERS).for_each(|user| audience.enter(user));
        let sink = Arc::clone(&told);
        let tell = Box::new(move |applied| match applied {
            Applied::Effects(effects) => sink.lock().unwrap().extend(effects),
            other => panic!("{other:?}"),
        });
        db.tell(Listener { audience, tell });
        let mut machine = Machine::on(db);
        for name in NAMES {
            machine.signup(name);
        }
        // Before anything has happened at all, whoever has seen everything has seen nothing.
        machine.apply(Command::SetViewLimit { user: 2, limit: 7 });
        World { machine, reader: StateReader::open(&path).unwrap(), told, _directory: directory }
    }

    fn step(&mut self, step: &Step) {
        let name = |user: u64| NAMES[user as usize - 1];
        let command = match *step {
            Step::Send(user, other) => Command::SendTo { user, username: name(other), text: name(user) },
            Step::Delete(user, at, number) => {
                Command::DeleteMessages { user, chat: Chat::Id(at), numbers: vec![number] }
            }
            Step::Mark(user, conversation, delivered, read) => {
                Command::Mark { user, marks: vec![Marks { conversation, delivered, read }] }
            }
            Step::MarkRead(user, conversation, upto) => Command::MarkRead { user, conversation, upto },
            Step::Clear(user, conversation, upto) => Command::ClearView { user, conversation, upto },
            Step::Nickname(user, ref nickname) => Command::SetNickname { user, nickname },
            Step::ViewLimit(user, limit) => Command::SetViewLimit { user, limit },
            Step::Open(user, other) => Command::OpenConversation { user, other: name(other) },
            Step::DeleteAccount => Command::DeleteAccount { user: USERS },
        };
        self.machine.apply(command);
    }

    fn effects(&self) -> Vec<Effect> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn one_sync_chunks_and_effects_tell_the_same(
        before in steps(0..40), after in steps(0..40), limits in prop::collection::vec(1..9usize, 1..4),
    ) {
        let mut world = World::new();
        before.iter().for_each(|step| world.step(step));
        let mut at_once = Device::default();
        at_once.sync(&world.reader, u32::MAX, &[usize::MAX], || panic!("it fits one chunk"));
        let mut in_chunks = Device::default();
        in_chunks.sync(&world.reader, u32::MAX, &limits, || {});
        prop_assert_eq!(&at_once, &in_chunks, "first sync");

        let mut live = at_once.clone();
        world.effects();
        for step in &after {
            world.step(step);
            // As a session would: each effect is told before the next transaction.
            world.effects().iter().for_each(|effect| live.effect(&world.reader, effect));
        }
        at_once.sync(&world.reader, u32::MAX, &[usize::MAX], || panic!("it fits one chunk"));
        in_chunks.sync(&world.reader, u32::MAX, &limits, || {});
        prop_assert_eq!(&at_once, &in_chunks);
        live.cursor = at_once.cursor;
        prop_assert_eq!(&at_once, &live);
    }

    #[test]
    fn a_sync_during_which_things_happen_loses_and_doubles_nothing(
        before in steps(0..40), between in steps(1..20), limits in prop::collection::vec(1..4usize, 1..4),
    ) {
        let mut world = World::new();
        before.iter().for_each(|step| world.step(step));
        let mut live = Device::default();
        live.sync(&world.reader, u32::MAX, &[usize::MAX], || panic!("it fits one chunk"));
        world.effects();

        let reader = StateReader::open(&world._directory.path().join("state.db")).unwrap();
        let mut in_chunks = Device::default();
        let mut coming = between.iter();
        in_chunks.sync(&reader, u32::MAX, &limits, || coming.next().into_iter().for_each(|step| world.step(step)));
        in_chunks.sync(&reader, u32::MAX, &limits, || {});
        // Messages that were read while the first sync was under way are told live and not in it.
        for effect in world.effects() {
            live.effect(&reader, &effect);
        }
        for (conversation, view) in &live.conversations {
            let synced = &in_chunks.conversations[conversation];
            prop_assert_eq!(&view.members, &synced.members);
            prop_assert_eq!((view.cleared, view.last_number), (synced.cleared, synced.last_number));
            let read = view.members[&ME].1;
            let open = |view: &View| {
                let unread = view.messages.iter().filter(|(number, (_, sender, _))| **number > read && *sender != ME);
                unread.map(|(number, _)| *number).collect::<Vec<_>>()
            };
            prop_assert_eq!(open(view), open(synced));
        }
        prop_assert_eq!(live.people, in_chunks.people);
        prop_assert_eq!(live.account, in_chunks.account);
    }

    #[test]
    fn the_view_limit_holds_over_all_chunks(
        before in steps(20..80), view_limit in 0..12u32, limits in prop::collection::vec(1..9usize, 1..4),
    ) {
        let mut world = World::new();
        before.iter().for_each(|step| world.step(step));
        let reader = &world.reader;
        let mut at_once = Device::default();
        at_once.sync(reader, view_limit, &[usize::MAX], || panic!("it fits one chunk"));
        let mut in_chunks = Device::default();
        in_chunks.sync(reader, view_limit, &limits, || {});
        prop_assert_eq!(&at_once, &in_chunks);

        let others = |view: &View| view.messages.values().filter(|(_, sender, _)| *sender != ME).count() as u64;
        let handed: u64 = at_once.conversations.values().map(others).sum();
        let total = reader.unread_total(ME).unwrap();
        prop_assert_eq!(handed, total.min(u64::from(view_limit)), "a first sync tells unread messages only");
        for (conversation, view) in &mut at_once.conversations {
            let unread = reader.summary(ME, *conversation).unwrap().unwrap().unread;
            prop_assert_eq!(at_once.behind.contains(conversation), others(view) < unread);
            // What is missing comes with `next`, in as many steps as it takes.
            let mut after = view.messages.keys().next_back().copied().unwrap_or(0);
            let read = view.members[&ME].1;
            after = after.max(read);
            let mut seen = others(view);
            while seen < unread {
                let handed = reader.next(ME, *conversation, after, 2).unwrap().unwrap();
                let new = handed.messages.iter().filter(|message| message.sender != ME).count() as u64;
                prop_assert!((1..=2).contains(&new));
                seen += new;
                prop_assert_eq!(handed.unread, unread - seen);
                after = handed.messages.last().unwrap().number;
            }
        }
    }
}

#[test]
fn a_cursor_of_another_history_begins_again() {
    let mut world = World::new();
    world.step(&Step::Send(2, ME));
    let chunk = world.reader.sync(ME, &SyncFrom::cursor(1000, 9), 100, false).unwrap();
    assert!(chunk.resync && !chunk.more);
    assert_eq!((chunk.conversations.len(), chunk.messages.len(), chunk.next.cursor), (1, 1, 3));
    assert!(!world.reader.sync(ME, &SyncFrom::cursor(3, 9), 100, false).unwrap().resync);
    // A state that may be old may be behind the cursor: it tells nothing, and leaves it where it is.
    let from = SyncFrom::cursor(4, 9);
    let chunk = world.reader.sync(ME, &from, 100, true).unwrap();
    assert!(!chunk.resync && !chunk.more && chunk.conversations.is_empty() && chunk.messages.is_empty());
    assert_eq!(chunk.next, from);
}

#[test]
fn a_chunk_holds_no_more_than_a_reply() {
    let mut world = World::new();
    let text = "x".repeat(40 << 10);
    for _ in 0..10 {
        let sent = world.machine.apply(Command::SendTo { user: 2, username: NAMES[0], text: &text });
        assert!(matches!(sent, Outcome::Sent { .. }));
    }
    let mut from = SyncFrom::cursor(0, 100);
    let mut sizes = Vec::new();
    loop {
        let chunk = world.reader.sync(ME, &from, 100, false).unwrap();
        sizes.push(chunk.messages.len());
        from = chunk.next;
        if !chunk.more {
            break;
        }
    }
    assert_eq!(sizes, [4, 4, 2]);
    let handed = world.reader.history(ME, 1, Span::Before(u64::MAX), 100, 100).unwrap().unwrap();
    assert_eq!((handed.messages.len(), handed.more, handed.messages[0].number), (4, true, 10));
}

#[test]
fn history_hands_over_no_more_unread_messages_than_it_may_and_nothing_cleared() {
    let mut world = World::new();
    for step in [Step::Send(2, ME), Step::Send(ME, 2), Step::Send(2, ME), Step::Send(2, ME), Step::Send(ME, 2)] {
        world.step(&step);
    }
    let numbers = |span, unread_max| {
        let handed = world.reader.history(ME, 1, span, 10, unread_max).unwrap().unwrap();
        (handed.messages.iter().map(|message| message.number).collect::<Vec<_>>(), handed.more, handed.unread)
    };
    assert_eq!(numbers(Span::After(0), 2), (vec![1, 2, 3], true, 1));
    assert_eq!(numbers(Span::Before(5), 1), (vec![4], true, 2));
    assert_eq!(numbers(Span::Before(u64::MAX), 9), (vec![5, 4, 3, 2, 1], false, 0));
    world.step(&Step::Clear(ME, 1, 3));
    let handed = world.reader.history(ME, 1, Span::After(0), 10, 0).unwrap().unwrap();
    assert_eq!((handed.messages.len(), handed.more, handed.unread, handed.last_number), (0, true, 1, 5));
    assert_eq!(handed.change, 9, "a limit, the conversation, five messages, a mark and a view");
    assert_eq!(world.reader.history(3, 1, Span::After(0), 10, 0).unwrap(), None, "not hers");
    assert_eq!(world.reader.next(3, 1, 0, 9).unwrap(), None);
    let summary = world.reader.summary(ME, 1).unwrap().unwrap();
    assert_eq!((summary.unread, summary.cleared, summary.newest.unwrap().number), (1, 3, 5));
    assert_eq!(world.reader.summary(3, 1).unwrap(), None);
}

#[test]
fn conversations_come_with_the_newest_message_first_and_the_silent_ones_last() {
    let mut world = World::new();
    for step in [Step::Open(ME, 3), Step::Send(ME, 2), Step::Send(ME, ME), Step::Send(2, ME), Step::Open(ME, 4)] {
        world.step(&step);
    }
    let ids = |skip, count| {
        let (summaries, more) = world.reader.summaries(ME, skip, count).unwrap();
        (summaries.iter().map(|summary| summary.conversation).collect::<Vec<_>>(), more)
    };
    assert_eq!(ids(0, 10), (vec![2, 3, 4, 1], false));
    assert_eq!(ids(1, 2), (vec![3, 4], true));
    assert_eq!(ids(9, 2), (vec![], false));
    let (summaries, _) = world.reader.summaries(ME, 0, 10).unwrap();
    assert_eq!(summaries[0].newest.as_ref().unwrap().number, 2);
    assert_eq!(summaries[1].members.len(), 1, "a notebook");
    assert_eq!(world.reader.unread_total(ME).unwrap(), 1);
}
