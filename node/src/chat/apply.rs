//! One log entry applied: runs of commands in, outcomes out, every changed row into the chained hash.

use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use sha2::{Digest, Sha256};
use wire::DecodeError;
use wire::limits::RUN_COMMANDS_MAX;
use wire::replication::command::{Batch, Command, Outcome, RULE_LEVEL, Refusal, Run};
use wire::replication::entry::{Entry, LogId, Payload};

use super::dedup::{self, Verdict};
use super::effect::Effects;
use super::rules::{self, Context};
use super::state::{
    Change, Conversation, Device, JoinCode, KeptRun, Lookup, NextIds, Position, Standing, State, Token, User,
};

/// The newest rule level this process applies. One number for the whole process, set before anything is applied: tests run
/// servers that stand for older releases.
static LEVEL: AtomicU16 = AtomicU16::new(RULE_LEVEL);

/// The newest rule level this process can apply: [`RULE_LEVEL`], or less in tests.
pub fn rule_level() -> u16 {
    LEVEL.load(Ordering::Relaxed)
}

/// Makes this process one of an older release, as far as rules go. For tests only, at the start.
pub fn set_rule_level(level: u16) {
    LEVEL.store(level.min(RULE_LEVEL), Ordering::Relaxed);
}

/// What became of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedEntry {
    /// Which.
    pub log_id: LogId,
    /// Per run of its batch one outcome per command. Empty for entries without a batch.
    pub outcomes: Vec<Vec<Outcome>>,
}

/// Why an entry cannot be applied. The node must stop: a replica that skips what it cannot read is no replica.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError<E> {
    /// The entry follows rules that this build does not know.
    #[error(
        "it follows rules of level {got}, and this release knows them up to level {}: start this server with the release that \
         the others run. Its data is complete up to there; nothing has to be removed",
        rule_level()
    )]
    RuleLevel {
        /// The entry's rule level.
        got: u16,
    },
    /// The batch around the commands is damaged.
    #[error("undecodable batch: {0}")]
    Batch(DecodeError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] E),
}

/// Applies one entry and moves `hash` on: `SHA-256(hash, index, what happened)`, where what happened is every changed
/// row in order and, behind the rows of each run, the run's outcomes. Equal hash at equal index: equal replicas. What
/// sessions are told of it is added to `effects`.
///
/// # Errors
/// The entry must not be applied, or storage failed. `hash` is then as before, the state is not: its transaction has to
/// be rolled back.
pub fn apply_entry<S: State>(
    state: &mut S,
    hash: &mut [u8; 32],
    entry: &Entry<'_>,
    effects: &mut Effects,
) -> Result<AppliedEntry, EntryError<S::Error>> {
    let mut hasher = Sha256::new();
    hasher.update(&hash);
    hasher.update(entry.log_id.index.to_le_bytes());
    let mut recorded = Recorded { state, hasher, effects, scratch: Vec::new() };
    let outcomes = match &entry.payload {
        Payload::Blank => Vec::new(),
        Payload::Membership(membership) => {
            recorded.record(Record::Membership, membership);
            recorded.effects.note_membership(recorded.state);
            Vec::new()
        }
        Payload::Batch(bytes) => apply_batch(&mut recorded, bytes)?,
    };
    *hash = recorded.hasher.finalize().into();
    Ok(AppliedEntry { log_id: entry.log_id, outcomes })
}

fn apply_batch<S: State>(state: &mut Recorded<'_, S>, bytes: &[u8]) -> Result<Vec<Vec<Outcome>>, EntryError<S::Error>> {
    let batch: Batch<'_> = wire::replication::decode(bytes).map_err(EntryError::Batch)?;
    if batch.rule_level > rule_level() {
        return Err(EntryError::RuleLevel { got: batch.rule_level });
    }
    let mut outcomes = Vec::with_capacity(batch.runs.len());
    for run in &batch.runs {
        let of_run = apply_run(state, &batch, run)?;
        state.record(Record::Outcomes, &of_run);
        outcomes.push(of_run);
    }
    Ok(outcomes)
}

/// Applies the commands of a run that are new and answers the others from what is kept. A command that does not decode
/// is refused together with all behind it, for where the next one would begin is not known; they count as applied. So is
/// one that came with a higher rule level than the entry's: builds that know nothing above that level do the same.
fn apply_run<S: State>(
    state: &mut Recorded<'_, S>,
    batch: &Batch<'_>,
    run: &Run<'_>,
) -> Result<Vec<Outcome>, S::Error> {
    let &Batch { time_ms, rule_level, .. } = batch;
    // Leaders do not accept such a run. Were one logged nevertheless, nobody waits for this many outcomes.
    if run.count as usize > RUN_COMMANDS_MAX {
        return Ok(vec![Outcome::Refused(Refusal::Malformed)]);
    }
    let writer = run.writer;
    let stored = state.position(writer.device)?;
    let mut position = dedup::begin(stored, writer);
    let mut outcomes = Vec::with_capacity(run.count as usize);
    let mut first_new = None;
    let mut kept: Option<KeptRun> = None;
    let mut rest = Some(run.commands);

    for offset in 0..u64::from(run.count) {
        let command = rest.and_then(|bytes| postcard::take_from_bytes::<Command<'_>>(bytes).ok());
        let command = command.filter(|(command, _)| command.rule_level() <= rule_level);
        rest = command.as_ref().map(|(_, behind)| *behind);
        let seq = run.first_seq.checked_add(offset);
        let outcome = match (dedup::judge(position, writer.epoch, seq), seq) {
            (Verdict::Apply, Some(seq)) => {
                first_new.get_or_insert((seq, outcomes.len()));
                position.last_seq = seq;
                match command {
                    Some((command, _)) => rules::apply(state, Context { time_ms, writer, seq, rule_level }, &command)?,
                    None => Outcome::Refused(Refusal::Malformed),
                }
            }
            (Verdict::Repeat, Some(seq)) => kept_outcome(state, &mut kept, writer.device, seq)?,
            (Verdict::Forgotten, _) => Outcome::Refused(Refusal::AlreadyApplied),
            (Verdict::Stale, _) => Outcome::Refused(Refusal::StaleEpoch),
            _ => Outcome::Refused(Refusal::SequenceGap),
        };
        outcomes.push(outcome);
    }

    if let Some((kept_first, from)) = first_new {
        // New numbers are always the tail of a run: what is applied is the next number, and so the next, to the end.
        let new = &outcomes[from..];
        let kept = postcard::to_allocvec(new).expect("outcomes always encode into a growing buffer");
        let kept_count = new.len() as u32;
        state.write(&Change::WriterMoved {
            writer,
            last_seq: position.last_seq,
            kept: &kept,
            kept_first,
            kept_count,
        })?;
    } else if stored.is_none_or(|stored| stored.epoch < writer.epoch) {
        let last_seq = position.last_seq;
        state.write(&Change::WriterMoved { writer, last_seq, kept: &[], kept_first: 0, kept_count: 0 })?;
    }
    Ok(outcomes)
}

/// The kept outcome of `seq`; `kept` remembers the run it came from, because its neighbours are usually asked for next.
pub(super) fn kept_outcome<S: State>(
    state: &S,
    kept: &mut Option<KeptRun>,
    device: u64,
    seq: u64,
) -> Result<Outcome, S::Error> {
    let find = |kept: &Option<KeptRun>| {
        let run = kept.as_ref()?;
        run.outcomes.get(usize::try_from(seq.checked_sub(run.first_seq)?).ok()?).cloned()
    };
    if let Some(outcome) = find(kept) {
        return Ok(outcome);
    }
    *kept = state.kept_run(device, seq)?;
    // Numbers this close to the last one are always kept; if they are not, it is still certain that they were applied.
    Ok(find(kept).unwrap_or(Outcome::Refused(Refusal::AlreadyApplied)))
}

/// What kind of thing goes into the hash next, so that no two histories write the same bytes.
#[derive(Clone, Copy)]
enum Record {
    Change = 1,
    Outcomes = 2,
    Membership = 3,
}

/// A state whose changes also go into the hash, and to sessions.
struct Recorded<'s, S> {
    state: &'s mut S,
    hasher: Sha256,
    effects: &'s mut Effects,
    scratch: Vec<u8>,
}

impl<S> Recorded<'_, S> {
    fn record<T: serde::Serialize + ?Sized>(&mut self, kind: Record, value: &T) {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        bytes.push(kind as u8);
        let bytes = postcard::to_extend(value, bytes).expect("rows always encode into a growing buffer");
        self.hasher.update(&bytes);
        self.scratch = bytes;
    }
}

impl<S: State> Lookup for Recorded<'_, S> {
    type Error = S::Error;

    fn user(&self, id: u64) -> Result<Option<Rc<User>>, S::Error> {
        self.state.user(id)
    }

    fn user_named(&self, name: &str) -> Result<Option<u64>, S::Error> {
        self.state.user_named(name)
    }

    fn user_folded(&self, fold: &str) -> Result<Option<u64>, S::Error> {
        self.state.user_folded(fold)
    }

    fn conversation(&self, id: u64) -> Result<Option<Rc<Conversation>>, S::Error> {
        self.state.conversation(id)
    }

    fn direct(&self, one: u64, other: u64) -> Result<Option<u64>, S::Error> {
        self.state.direct(one, other)
    }

    fn labelled(&self, legacy_id: &str) -> Result<Option<u64>, S::Error> {
        self.state.labelled(legacy_id)
    }
}

impl<S: State> State for Recorded<'_, S> {
    fn next_ids(&self) -> NextIds {
        self.state.next_ids()
    }

    fn is_name_held(&self, fold: &str, skeleton: &str, since_ms: u64) -> Result<bool, S::Error> {
        self.state.is_name_held(fold, skeleton, since_ms)
    }

    fn last_number(&self, conversation: u64) -> Result<u64, S::Error> {
        self.state.last_number(conversation)
    }

    fn sender(&self, conversation: u64, number: u64) -> Result<Option<u64>, S::Error> {
        self.state.sender(conversation, number)
    }

    fn standing(&self, conversation: u64, user: u64) -> Result<Standing, S::Error> {
        self.state.standing(conversation, user)
    }

    fn acquaintances(&self, user: u64) -> Result<Vec<u64>, S::Error> {
        self.state.acquaintances(user)
    }

    fn device(&self, id: u64) -> Result<Option<Device>, S::Error> {
        self.state.device(id)
    }

    fn live_devices(&self, user: u64) -> Result<Vec<u64>, S::Error> {
        self.state.live_devices(user)
    }

    fn long_revoked_devices(&self, user: u64, kept: usize, at_once: usize) -> Result<Vec<u64>, S::Error> {
        self.state.long_revoked_devices(user, kept, at_once)
    }

    fn tokens(&self, device: u64) -> Result<Vec<Token>, S::Error> {
        self.state.tokens(device)
    }

    fn is_token(&self, hash: &[u8; 32]) -> Result<bool, S::Error> {
        self.state.is_token(hash)
    }

    fn position(&self, device: u64) -> Result<Option<Position>, S::Error> {
        self.state.position(device)
    }

    fn kept_run(&self, device: u64, seq: u64) -> Result<Option<KeptRun>, S::Error> {
        self.state.kept_run(device, seq)
    }

    fn addresses(&self, user: u64) -> Result<Vec<[u8; 16]>, S::Error> {
        self.state.addresses(user)
    }

    fn join_code(&self, hash: &[u8; 32]) -> Result<Option<JoinCode>, S::Error> {
        self.state.join_code(hash)
    }

    fn is_removed(&self, node: u64) -> Result<bool, S::Error> {
        self.state.is_removed(node)
    }

    fn write(&mut self, change: &Change<'_>) -> Result<(), S::Error> {
        self.record(Record::Change, change);
        self.state.write(change)?;
        self.effects.note(self.state, change)
    }
}
