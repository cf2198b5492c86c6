//! How long applying takes: batches of short messages into an on-disk state, each in one transaction.

use std::time::{Duration, Instant};

use node::storage::state::StateDb;
use wire::replication::command::{Batch, Chat, Command, RULE_LEVEL, Run, Writer};
use wire::replication::encode;
use wire::replication::entry::{Entry, LogId, Payload};

const WRITER: Writer = Writer { device: 1, epoch: 1 };
const USERS: u64 = 32;
const TEXT: &str = "A short message of forty characters, so.";
/// Ids of devices are above this one.
const DEVICES: u64 = 1000;

/// Applies batches one by one.
struct Bench {
    db: StateDb,
    index: u64,
    seq: u64,
}

impl Bench {
    fn apply(&mut self, commands: &[Command<'_>]) -> Duration {
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
                text: TEXT,
            })
            .collect();
        let times = (0..rounds).map(|_| bench.apply(&commands)).collect();
        report("", batch, times);
    }
    // The same as writes of devices, one per user, each under its own number.
    for user in 1..=USERS / 2 {
        bench.apply(&[Command::AddDevice { user, device: DEVICES + user, name: "bench", token_hash: None }]);
    }
    let mut seqs = [0; USERS as usize / 2];
    for (batch, rounds) in [(1, 2000), (64, 500), (512, 300)] {
        let writes: Vec<(usize, Vec<u8>)> = (0..batch)
            .map(|n| {
                let at = n % ids.len();
                let send = Command::Send { user: 1 + at as u64, chat: Chat::Id(1 + at as u64), text: TEXT };
                (at, postcard::to_allocvec(&send).expect("encodes"))
            })
            .collect();
        let times = (0..rounds)
            .map(|_| {
                let commands: Vec<Command<'_>> = writes
                    .iter()
                    .map(|(at, command)| {
                        seqs[*at] += 1;
                        Command::ByDevice { device: DEVICES + 1 + *at as u64, seq: seqs[*at], command }
                    })
                    .collect();
                bench.apply(&commands)
            })
            .collect();
        report(" by devices", batch, times);
    }
}

fn report(what: &str, batch: usize, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let total: Duration = times.iter().sum();
    let rate = (batch * times.len()) as f64 / total.as_secs_f64();
    println!("batch of {batch:>3}{what}: p50 {p50:>10.1?}  p99 {p99:>10.1?}  {rate:>9.0} messages/s");
}
