//! What stays over a reopen, a copy and an installation, and how fast applying is.

use std::path::PathBuf;

use tempfile::TempDir;
use wire::replication::command::{Chat, Command, Outcome, Writer};
use wire::replication::entry::{Entry, Member, Membership, Payload};

use super::*;
use crate::chat::tests::{Machine, encode_batch, log_id};
use crate::storage::query::{Message, Page, StateReader};

const PAGE: Page = Page { messages_max: 100, text_chars_max: 1000, bytes_max: usize::MAX };

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    (directory, path)
}

/// Two people who have talked, on disk.
fn talked(path: &Path) -> Machine {
    let mut machine = Machine::on(StateDb::open(path).unwrap());
    let alice = machine.signup("alice");
    machine.signup("bob");
    for text in ["one", "two", "three"] {
        machine.apply(Command::Send { user: alice, chat: Chat::Legacy("alice_bob"), text });
    }
    let member = Member { id: 9, address: "h:1".into(), name: "n".into() };
    let membership = Membership { configs: vec![vec![9]], nodes: vec![member] };
    machine.payload(Payload::Membership(membership)).unwrap();
    machine
}

fn texts(reader: &StateReader) -> Vec<String> {
    reader.oldest(1, 0..u64::MAX, PAGE).unwrap().into_iter().map(|message| message.text).collect()
}

#[test]
fn everything_is_there_again_after_reopening() {
    let (_directory, path) = place();
    let machine = talked(&path);
    let before = (machine.db.applied(), machine.db.membership(), machine.db.state_hash());
    drop(machine);
    let db = StateDb::open(&path).unwrap();
    assert_eq!((db.applied(), db.membership(), db.state_hash()), before);
    let mut machine = Machine::on(db);
    machine.next_index = before.0.unwrap().index + 1;
    let other = Writer { device: 77, epoch: 1 };
    let outcome = machine.run(other, 1, &[Command::Send { user: 2, chat: Chat::Legacy("alice_bob"), text: "four" }]);
    assert_eq!(outcome, [Outcome::Sent { conversation: 1, number: 4, id: 5 }]);
}

#[test]
fn no_more_is_read_than_there_is_room_for() {
    let (_directory, path) = place();
    let _machine = talked(&path);
    let reader = StateReader::open(&path).unwrap();
    let read = |bytes_max| {
        let page = Page { bytes_max, ..PAGE };
        let texts = |messages: Vec<Message>| messages.into_iter().map(|message| message.text).collect::<Vec<_>>();
        let oldest = reader.oldest(1, 0..u64::MAX, page).unwrap();
        (texts(oldest), texts(reader.newest(1, 0..u64::MAX, page).unwrap()))
    };
    // The one that goes beyond it is the last.
    assert_eq!(read(3), (vec!["one".into(), "two".into()], vec!["three".into()]));
    assert_eq!(read(0), (vec!["one".into()], vec!["three".into()]));
    assert_eq!(read(11).0.len(), 3);
}

#[test]
fn a_checkpoint_reports_what_is_durable_also_beside_a_reader() {
    let (_directory, path) = place();
    let mut machine = talked(&path);
    let mut checkpointer = Checkpointer::open(&path).unwrap();
    assert_eq!(checkpointer.checkpoint().unwrap().applied, machine.db.applied());
    // A reader that holds an old state keeps pages from being moved; the promise still holds.
    let reader = StateReader::open(&path).unwrap();
    reader
        .snapshot(|reader| {
            reader.applied()?;
            machine.signup("carol");
            assert!(!state_copy::passive_checkpoint(&machine.db.connection)?);
            assert_eq!(checkpointer.checkpoint().unwrap().applied, machine.db.applied());
            assert_eq!(machine.db.checkpoint().unwrap(), machine.db.applied());
            Ok(())
        })
        .unwrap();
    assert!(state_copy::passive_checkpoint(&machine.db.connection).unwrap());
}

/// A database as releases made it whose pages had SQLite's usual size.
fn with_larger_pages(path: &Path) {
    Connection::open(path).unwrap().execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL").unwrap();
}

#[test]
fn a_copy_is_consistent_and_installs_over_another_state() {
    for (old_source, old_target) in [(false, false), (true, false), (false, true), (true, true)] {
        a_copy_is_installed(old_source, old_target);
    }
}

fn a_copy_is_installed(old_source: bool, old_target: bool) {
    let (directory, path) = place();
    if old_source {
        with_larger_pages(&path);
    }
    let source = talked(&path);
    let copy = directory.path().join("copy.db");
    let info = copy_to(&path, &copy).unwrap();
    let (membership_log_id, membership) = source.db.membership();
    assert_eq!(
        info,
        CopyInfo { applied: source.db.applied(), membership_log_id, membership, state_hash: source.db.state_hash() }
    );

    let other_path = directory.path().join("other.db");
    if old_target {
        with_larger_pages(&other_path);
    }
    let mut other = Machine::on(StateDb::open(&other_path).unwrap());
    other.signup("zoe");
    let reader = StateReader::open(&other_path).unwrap();
    let mut checkpointer = Checkpointer::open(&other_path).unwrap();
    assert!(reader.account("zoe").unwrap().is_some());

    let page_bytes = |path: &Path| {
        Connection::open(path).unwrap().pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0)).unwrap()
    };
    assert_eq!((page_bytes(&path), page_bytes(&other_path)), {
        let size = |is_old| if is_old { 4096 } else { 1024 };
        (size(old_source), size(old_target))
    });
    let copied = std::fs::read(&copy).unwrap();
    other.db.install(&copy).unwrap();
    assert_eq!(std::fs::read(&copy).unwrap(), copied);
    let left = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("pages")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(other.db.applied(), source.db.applied());
    assert_eq!(other.db.membership(), source.db.membership());
    assert_eq!(other.db.state_hash(), source.db.state_hash());
    // The reader and the checkpointer that were open before go on with the new content.
    assert!(reader.account("zoe").unwrap().is_none());
    assert_eq!(texts(&reader), ["one", "two", "three"]);
    assert_eq!(checkpointer.checkpoint().unwrap().applied, source.db.applied());

    // Both go on alike.
    let (mut source, mut other) = (source, other);
    let writer = Writer { device: 77, epoch: 1 };
    let batch =
        encode_batch(1, &[(writer, 1, &[Command::Send { user: 2, chat: Chat::Legacy("alice_bob"), text: "four" }])]);
    let entry = Entry { log_id: log_id(source.next_index), payload: Payload::Batch(&batch) };
    assert_eq!(source.db.apply([entry.clone()]).unwrap(), other.db.apply([entry]).unwrap());
    assert_eq!(source.db.state_hash(), other.db.state_hash());
    drop(other);
    assert_eq!(StateDb::open(&other_path).unwrap().state_hash(), source.db.state_hash());
}

#[test]
fn a_reader_inside_a_snapshot_keeps_the_old_content_during_an_installation() {
    let (directory, path) = place();
    talked(&path);
    let copy = directory.path().join("copy.db");
    copy_to(&path, &copy).unwrap();
    let other_path = directory.path().join("other.db");
    let mut other = Machine::on(StateDb::open(&other_path).unwrap());
    other.signup("zoe");
    let reader = StateReader::open(&other_path).unwrap();
    reader
        .snapshot(|reader| {
            assert!(reader.account("zoe")?.is_some());
            other.db.install(&copy).unwrap();
            assert!(reader.account("zoe")?.is_some());
            Ok(())
        })
        .unwrap();
    assert!(reader.account("zoe").unwrap().is_none());
    assert!(reader.account("alice").unwrap().is_some());
}

#[test]
fn deleted_text_is_in_no_copy() {
    let (directory, path) = place();
    let mut machine = talked(&path);
    let secret = "a text that shall be gone";
    machine.apply(Command::Send { user: 1, chat: Chat::Legacy("alice_bob"), text: secret });
    machine.apply(Command::DeleteMessages { user: 1, chat: Chat::Legacy("alice_bob"), numbers: vec![4] });
    let copy = directory.path().join("copy.db");
    copy_to(&path, &copy).unwrap();
    let bytes = std::fs::read(&copy).unwrap();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    assert!(bytes.windows(5).any(|window| window == b"three"));
}

#[test]
fn what_is_no_whole_copy_is_refused_and_changes_nothing() {
    let (directory, path) = place();
    let mut machine = talked(&path);
    let before = machine.db.state_hash();
    let copy = directory.path().join("copy.db");
    copy_to(&path, &copy).unwrap();
    let bytes = std::fs::read(&copy).unwrap();
    let bad = directory.path().join("bad.db");

    let mut damaged = bytes.clone();
    let page = 1024 * 3;
    damaged[page..page + 1024].fill(0x5a);
    let empty = Vec::new();
    let noise = vec![0x5a; 8192];
    for content in [&damaged[..], &bytes[..bytes.len() / 2], &empty, &noise] {
        std::fs::write(&bad, content).unwrap();
        let error = machine.db.install(&bad).unwrap_err();
        assert!(matches!(error, CopyError::Unusable(_)), "{error:?}");
        assert_eq!(machine.db.state_hash(), before);
        assert_eq!(texts(&StateReader::open(&path).unwrap()), ["one", "two", "three"]);
    }
    assert!(matches!(
        machine.db.install(&directory.path().join("missing.db")),
        Err(CopyError::Unusable(OpenError::Sqlite { .. }))
    ));
    std::fs::write(&bad, &bytes).unwrap();
    rusqlite::Connection::open(&bad).unwrap().pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    assert!(matches!(machine.db.install(&bad), Err(CopyError::Unusable(OpenError::Newer { .. }))));
}

#[test]
fn unbroken_load_does_not_let_the_write_ahead_log_grow_for_ever() {
    let (_directory, path) = place();
    let mut machine = talked(&path);
    machine.db.keep_log_short(Alarm::default()).unwrap();
    let text = "x".repeat(60_000);
    let commands = vec![Command::Send { user: 1, chat: Chat::Legacy("alice_bob"), text: &text }; 10];
    let writer = Writer { device: 77, epoch: 1 };
    let pages = |machine: &Machine| machine.db.checkpoints.as_ref().unwrap().pages();
    // Until it was moved and begun again three times, however slow the other thread is.
    let (mut before, mut restarts) = (0, 0);
    for run in 0..10_000 {
        machine.run(writer, 1 + run * 10, &commands);
        machine.db.tend().unwrap();
        let now = pages(&machine);
        restarts += u32::from(now < before);
        before = now;
        if restarts == 3 {
            return;
        }
    }
    panic!("it has {before} pages and was begun again {restarts} times");
}

#[test]
fn queries_read_indices_and_nothing_else() {
    let (_directory, path) = place();
    let machine = talked(&path);
    let plan = |query: &str| -> Vec<String> {
        let mut statement = machine.db.connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        statement.query_map([], |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let unread = "SELECT count(*) FROM messages WHERE conversation = 1 AND number > 1 AND sender <> 1 AND deleted = 0";
    let newest = "SELECT id FROM messages WHERE conversation = 1 AND deleted = 0 ORDER BY number DESC LIMIT 1";
    let behind = "SELECT id, number, sender FROM messages WHERE conversation = 1 AND number >= 2 AND deleted = 0
                  ORDER BY number LIMIT 9";
    for query in [unread, newest, behind] {
        let plan = plan(query);
        assert_eq!(plan.len(), 1, "{plan:?}");
        assert!(plan[0].contains("COVERING INDEX messages_live"), "{plan:?}");
    }
    let deleted = plan(
        "SELECT changed, number FROM messages WHERE conversation = 1 AND deleted = 1 AND changed > 3 ORDER BY changed",
    );
    assert!(deleted.len() == 1 && deleted[0].contains("INDEX messages_deleted"), "{deleted:?}");
    let names = plan(crate::storage::query::people::SEARCHED);
    assert!(names.len() == 1 && names[0].contains("COVERING INDEX users_searched"), "{names:?}");
    for (column, index) in [("fold", "users_by_fold"), ("skeleton", "users_by_skeleton")] {
        let held =
            plan(&format!("SELECT 1 FROM users WHERE {column} = 'x' AND (deleted_ms IS NULL OR deleted_ms > 3)"));
        assert!(held.len() == 1 && held[0].contains(index), "{held:?}");
    }
}
