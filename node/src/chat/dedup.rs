//! Exactly once: which commands of a run are new, and what the others are answered with.
//!
//! A writer numbers its commands densely from 1 within an epoch. Only the next number is ever applied, so a run that
//! reaches the log twice (a lost answer, a second leader) has its effect once, and the outcome that was lost is told
//! again from what is kept of the last [`OUTCOMES_KEPT`] numbers.

use wire::limits::OUTCOMES_KEPT;
use wire::replication::command::Writer;

use super::state::Position;

/// What to do with one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The next number: apply it.
    Apply,
    /// Applied before, and its outcome is kept.
    Repeat,
    /// Applied before, its outcome forgotten.
    Forgotten,
    /// Neither the next number nor an earlier one.
    Gap,
    /// Its writer has begun a newer epoch.
    Stale,
}

/// Where a writer stands before its run, given what is stored. A higher epoch starts again.
pub fn begin(stored: Option<Position>, writer: Writer) -> Position {
    match stored {
        Some(position) if position.epoch >= writer.epoch => position,
        _ => Position { epoch: writer.epoch, last_seq: 0 },
    }
}

/// What to do with command `seq` of `epoch` when its writer stands at `position`. `None` for `seq`: the number does not
/// fit 64 bits.
pub fn judge(position: Position, epoch: u64, seq: Option<u64>) -> Verdict {
    let kept_above = position.last_seq.saturating_sub(OUTCOMES_KEPT as u64);
    match seq {
        _ if epoch < position.epoch => Verdict::Stale,
        // Numbers start at 1; nothing was ever applied under 0.
        None | Some(0) => Verdict::Gap,
        Some(seq) if seq <= kept_above => Verdict::Forgotten,
        Some(seq) if seq <= position.last_seq => Verdict::Repeat,
        Some(seq) if Some(seq) == position.last_seq.checked_add(1) => Verdict::Apply,
        Some(_) => Verdict::Gap,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_relative_to_the_position_has_its_verdict() {
        let at = |last_seq| Position { epoch: 5, last_seq };
        let table = [
            (at(0), 5, Some(1), Verdict::Apply),
            (at(0), 5, Some(2), Verdict::Gap),
            (at(0), 5, Some(0), Verdict::Gap),
            (at(0), 4, Some(1), Verdict::Stale),
            (at(10), 5, Some(10), Verdict::Repeat),
            (at(10), 5, Some(1), Verdict::Repeat),
            (at(10), 5, Some(11), Verdict::Apply),
            (at(10), 5, Some(12), Verdict::Gap),
            (at(10), 5, None, Verdict::Gap),
            (at(512), 5, Some(1), Verdict::Repeat),
            (at(513), 5, Some(1), Verdict::Forgotten),
            (at(513), 5, Some(2), Verdict::Repeat),
            (at(u64::MAX), 5, Some(u64::MAX), Verdict::Repeat),
            (at(u64::MAX), 5, None, Verdict::Gap),
        ];
        for (position, epoch, seq, expected) in table {
            assert_eq!(judge(position, epoch, seq), expected, "{position:?} {epoch} {seq:?}");
        }
    }

    #[test]
    fn only_a_higher_epoch_starts_again() {
        let stored = Some(Position { epoch: 5, last_seq: 9 });
        let epoch = |epoch| Writer { device: 1, epoch };
        assert_eq!(begin(stored, epoch(4)), Position { epoch: 5, last_seq: 9 });
        assert_eq!(begin(stored, epoch(5)), Position { epoch: 5, last_seq: 9 });
        assert_eq!(begin(stored, epoch(6)), Position { epoch: 6, last_seq: 0 });
        assert_eq!(begin(None, epoch(0)), Position { epoch: 0, last_seq: 0 });
    }
}
