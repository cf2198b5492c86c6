//! How long applying takes: batches of short messages into an on-disk state, each in one transaction.

use std::time::Instant;

use node::storage::state::StateDb;
use wire::replication::command::{Batch, Chat, Command, RULE_LEVEL, Run, Writer};
use wire::replication::encode;
use wire::replication::entry::{Entry, LogId, Payload};

const WRITER: Writer = Writer { device: 1, epoch: 1 };
const USERS: u64 = 32;

/// Applies batches one by one.
struct Bench {
    db: StateDb,
    index: u64,
    seq: u64,
}

impl Bench {
    fn apply(&mut self, commands: &[Command<'_>]) -> std::time::Duration {
        let bytes: Vec<u8> =
            commands.iter().flat_map(|command| postcard::to_allocvec(command).expect("encodes")).collect();
        let run = Run { writer: WRITER, first_seq: self.seq, count: commands.len() as u32, commands: &bytes };
        let batch = encode(&Batch { rule_level: RULE_LEVEL, time_ms: self.index, runs: vec![run] });
        let log_id = LogId { term: 1, node: 1, index: self.index };
        let begin = now();
        self.db.apply([Entry { log_id, payload: Payload::Batch(&batch) }]).expect("applies");
        let took = begin.elapsed();
        self.index += 1;
        self.seq += commands.len() as u64;
        took
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let db = StateDb::open(&directory.path().join("state.db")).expect("a new database");
    let mut bench = Bench { db, index: 0, seq: 1 };
    let names: Vec<String> = (1..=USERS).map(|user| format!("user{user}")).collect();
    for name in &names {
        bench.apply(&[Command::Signup { username: name, nickname: name, password_hash: "hash" }]);
    }
    let ids: Vec<String> = (1..=USERS / 2).map(|pair| format!("user{}_user{}", pair, pair + USERS / 2)).collect();
    for (batch, rounds) in [(1, 2000), (64, 500), (512, 300)] {
        let commands: Vec<Command<'_>> = (0..batch)
            .map(|n| Command::Send {
                user: 1 + n as u64 % (USERS / 2),
                chat: Chat::Legacy(&ids[n % ids.len()]),
                text: "A short message of forty characters, so.",
            })
            .collect();
        let mut times: Vec<_> = (0..rounds).map(|_| bench.apply(&commands)).collect();
        times.sort_unstable();
        let (p50, p99) = (times[rounds / 2], times[rounds * 99 / 100]);
        let total: std::time::Duration = times.iter().sum();
        let rate = (batch * rounds) as f64 / total.as_secs_f64();
        println!("batch of {batch:>3}: p50 {p50:>10.1?}  p99 {p99:>10.1?}  {rate:>9.0} messages/s");
    }
}
