//! The chat machine on an in-memory database.

mod addresses;
mod devices;
mod effects;
mod exactly_once;
mod marks;
mod names;
mod replicas;
mod rules;

use wire::replication::command::{Batch, Command, Outcome, RULE_LEVEL, Run, Writer};
use wire::replication::encode;
use wire::replication::entry::{Entry, LogId, Payload};

use crate::storage::state::{AppliedEntry, ApplyError, StateDb};

/// The writer that tests use when it does not matter.
pub(crate) const WRITER: Writer = Writer { device: 1, epoch: 1 };

/// Time of the first batch of a [`Machine`]; each further one is a second later.
pub(crate) const START_MS: u64 = 1_795_000_000_000;

/// Commands as a run carries them.
pub(crate) fn encode_commands(commands: &[Command<'_>]) -> Vec<u8> {
    commands.iter().flat_map(|command| postcard::to_allocvec(command).unwrap()).collect()
}

/// A batch as an entry carries it, one run per item.
pub(crate) fn encode_batch(time_ms: u64, runs: &[(Writer, u64, &[Command<'_>])]) -> Vec<u8> {
    let encoded: Vec<Vec<u8>> = runs.iter().map(|(_, _, commands)| encode_commands(commands)).collect();
    let runs = runs
        .iter()
        .zip(&encoded)
        .map(|((writer, first_seq, commands), bytes)| Run {
            writer: *writer,
            first_seq: *first_seq,
            count: commands.len() as u32,
            commands: bytes,
        })
        .collect();
    encode(&Batch { rule_level: RULE_LEVEL, time_ms, runs })
}

/// A batch of one run from number 1, under a rule level of its own.
pub(crate) fn encode_run(rule_level: u16, time_ms: u64, writer: Writer, commands: &[Command<'_>]) -> Vec<u8> {
    let encoded = encode_commands(commands);
    let run = Run { writer, first_seq: 1, count: commands.len() as u32, commands: &encoded };
    encode(&Batch { rule_level, time_ms, runs: vec![run] })
}

pub(crate) fn log_id(index: u64) -> LogId {
    LogId { term: 1, node: 1, index }
}

/// A state with a log that only grows.
pub(crate) struct Machine {
    pub(crate) db: StateDb,
    pub(crate) next_index: u64,
    next_seq: u64,
    /// How far its clock was moved.
    ahead_ms: u64,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        Machine::on(StateDb::in_memory())
    }

    pub(crate) fn on(db: StateDb) -> Machine {
        Machine { db, next_index: 0, next_seq: 1, ahead_ms: 0 }
    }

    pub(crate) fn time_ms(&self) -> u64 {
        START_MS + self.next_index * 1000 + self.ahead_ms
    }

    /// Moves the clock to the millisecond after `ms`.
    pub(crate) fn later_than(&mut self, ms: u64) {
        self.ahead_ms += (ms + 1).saturating_sub(self.time_ms());
    }

    /// Applies one entry.
    pub(crate) fn payload(&mut self, payload: Payload<'_>) -> Result<AppliedEntry, ApplyError> {
        let entry = Entry { log_id: log_id(self.next_index), payload };
        let mut applied = self.db.apply([entry])?;
        self.next_index += 1;
        Ok(applied.remove(0))
    }

    /// Applies one batch of one run.
    pub(crate) fn run(&mut self, writer: Writer, first_seq: u64, commands: &[Command<'_>]) -> Vec<Outcome> {
        let batch = encode_batch(self.time_ms(), &[(writer, first_seq, commands)]);
        self.payload(Payload::Batch(&batch)).unwrap().outcomes.remove(0)
    }

    /// Applies one command as the next of [`WRITER`].
    pub(crate) fn apply(&mut self, command: Command<'_>) -> Outcome {
        self.next_seq += 1;
        self.run(WRITER, self.next_seq - 1, &[command]).remove(0)
    }

    /// Makes an account and returns its id.
    pub(crate) fn signup(&mut self, name: &str) -> u64 {
        match self.apply(Command::Signup { username: name, nickname: name, password_hash: "hash" }) {
            Outcome::UserCreated { user } => user,
            other => panic!("signup of {name}: {other:?}"),
        }
    }
}
