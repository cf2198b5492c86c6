//! The log on a real file: what is flushed, what is damaged, what is given back.

use std::sync::mpsc::channel;

use super::super::entry::LogPayload;
use super::*;

/// Runs one job to its end.
fn wait(start: impl FnOnce(Done)) -> io::Result<()> {
    let (done, answer) = channel();
    start(Box::new(move |result| done.send(result).unwrap()));
    answer.recv().unwrap()
}

#[test]
fn a_log_without_checksums_of_values_gets_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let old = "CREATE TABLE value (key TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
               INSERT INTO value VALUES ('vote', x'0102'), ('epoch', x'03');
               PRAGMA user_version = 1;";
    Connection::open(&path).unwrap().execute_batch(&format!("{ENTRIES} {old}")).unwrap();
    for _ in 0..2 {
        let log = LogStore::open(&path, Alarm::default()).unwrap();
        assert_eq!(log.get(Value::Vote).unwrap(), Some(vec![1, 2]));
        assert_eq!(log.get(Value::Epoch).unwrap(), Some(vec![3]));
        assert_eq!(log.get(Value::Purged).unwrap(), None);
    }
}

#[test]
fn a_log_that_contradicts_the_state_begins_anew_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = LogStore::open(&directory.path().join("log.db"), Alarm::default()).unwrap();
    let id = |term, index| LogId { term, node: 1, index };
    let entry = |index| LogEntry { log_id: id(1, index), payload: LogPayload::Blank };
    wait(|done| log.append((3..9).map(entry).collect(), done)).unwrap();
    let indexes = || -> Vec<u64> {
        log.read(0..u64::MAX, usize::MAX).unwrap().0.iter().map(|entry| entry.log_id.index).collect()
    };
    // Nothing applied, an entry that is here, one that is not here any more, one that is not here yet.
    for applied in [None, Some(id(1, 5)), Some(id(1, 2)), Some(id(2, 9))] {
        log.agree_with(applied).unwrap();
        assert_eq!(indexes(), [3, 4, 5, 6, 7, 8], "{applied:?}");
    }
    log.agree_with(Some(id(2, 6))).unwrap();
    assert_eq!(indexes(), [0; 0]);
    let purged = log.get(Value::Purged).unwrap().unwrap();
    assert_eq!(wire::replication::decode::<LogId>(&purged).unwrap(), id(2, 6));
}

#[test]
fn nothing_is_promised_once_anything_has_failed() {
    let directory = tempfile::tempdir().unwrap();
    let alarm = Alarm::default();
    let log = LogStore::open(&directory.path().join("log.db"), alarm.clone()).unwrap();
    wait(|done| log.put(Value::Vote, vec![1], done)).unwrap();
    alarm.raise("cannot write state.db", &io::Error::from_raw_os_error(5));
    let said = wait(|done| log.put(Value::Vote, vec![2], done)).unwrap_err().to_string();
    assert!(said.contains("cannot write state.db"), "{said}");
    assert_eq!(log.get(Value::Vote).unwrap(), Some(vec![1]));
}

#[test]
fn a_changed_bit_is_found_at_the_start_and_when_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let alarm = Alarm::default();
    let log = LogStore::open(&path, alarm.clone()).unwrap();
    wait(|done| log.put(Value::Vote, vec![1, 2, 3], done)).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute("UPDATE value SET bytes = x'010203FF' WHERE key = 'vote'", []).unwrap();
    assert!(log.get(Value::Vote).unwrap_err().to_string().contains("`vote`"));
    assert!(alarm.reason().is_some_and(|reason| reason.contains("damaged")));
    drop((log, other));
    assert!(matches!(LogStore::open(&path, Alarm::default()), Err(OpenError::Damaged(_))));
}

#[test]
fn what_is_purged_is_in_no_file_any_more_and_its_space_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let log = LogStore::open(&path, Alarm::default()).unwrap();
    let secret = b"a text that shall be gone";
    let entry = |index| LogEntry {
        log_id: LogId { term: 1, node: 1, index },
        payload: LogPayload::Batch(secret.repeat(400).into()),
    };
    for step in 0..10 {
        wait(|done| log.append((step * 50..step * 50 + 50).map(entry).collect(), done)).unwrap();
    }
    let blank = LogEntry { log_id: LogId { term: 1, node: 1, index: 500 }, payload: LogPayload::Blank };
    wait(|done| log.append(vec![blank], done)).unwrap();
    let files = || -> Vec<Vec<u8>> {
        [path.clone(), wal_path(&path)].iter().map(|path| std::fs::read(path).unwrap()).collect()
    };
    let bytes = || files().iter().map(Vec::len).sum::<usize>();
    let readable = || files().iter().any(|file| file.windows(secret.len()).any(|window| window == secret));
    assert!(readable() && bytes() > 4_000_000);
    wait(|done| log.purge(499, vec![0], done)).unwrap();
    let deadline = crate::env::Clock.monotonic() + std::time::Duration::from_secs(60);
    while bytes() > 100_000 || readable() {
        assert!(crate::env::Clock.monotonic() < deadline, "{} bytes are left", bytes());
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
    assert_eq!(log.last().unwrap().map(|entry| entry.log_id.index), Some(500));
}

#[test]
fn a_log_of_an_earlier_release_gives_its_space_back_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    Connection::open(&path).unwrap().execute_batch(&format!("{ENTRIES} {VALUES}")).unwrap();
    let log = LogStore::open(&path, Alarm::default()).unwrap();
    wait(|done| log.put(Value::Vote, vec![1, 2], done)).unwrap();
    let mode = || -> i64 {
        Connection::open(&path).unwrap().pragma_query_value(None, "auto_vacuum", |row| row.get(0)).unwrap()
    };
    assert_eq!(mode(), 2);
    drop(log);
    let log = LogStore::open(&path, Alarm::default()).unwrap();
    assert_eq!(log.get(Value::Vote).unwrap(), Some(vec![1, 2]));
}
