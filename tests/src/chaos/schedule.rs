//! What goes wrong, to whom, when and for how long: a function of the seed alone.
//!
//! The kinds of faults are dealt like cards: each comes once before any comes again, so that a campaign of any length has
//! a fair share of all. Who leads when a fault comes is not known beforehand; so a step carries, beside its times, a seed
//! for choosing its victims among those who are there then.

use std::fmt;
use std::time::Duration;

use super::rng::Rng;

/// Who is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victims {
    /// The leader.
    Leader,
    /// One that does not lead.
    Follower,
    /// As many as the cluster can do without, the leader perhaps among them, at the same instant.
    Minority,
    /// One more than that: nobody can write until they are back.
    Majority,
    /// All of them.
    All,
}

/// What happens to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// `kill -9`, later a start.
    Kill,
    /// A clean stop, later a start.
    Stop,
    /// Standing still, then going on as if nothing had been.
    Freeze,
    /// Standing still, then `kill -9`, later a start.
    FreezeThenKill,
}

/// Which ways of the network lead nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Some nodes and the others are two networks.
    Off(Victims),
    /// What others send does not reach the victim.
    Deaf(Victims),
    /// What the victim sends reaches nobody.
    Mute(Victims),
    /// The leader and one follower do not reach each other, but everybody else reaches both.
    Pair,
}

impl Cut {
    /// At whom.
    pub fn victims(self) -> Victims {
        match self {
            Self::Off(victims) | Self::Deaf(victims) | Self::Mute(victims) => victims,
            Self::Pair => Victims::Leader,
        }
    }
}

/// How a node is away until the others have purged the part of the log that it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// Its process is killed and started again; it dies once more while it catches up.
    Dead,
    /// Its process stands still, goes on, and is made leader.
    Frozen,
    /// The other nodes are not reached, its clients are. Its process goes on, and is made leader.
    Cut,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Some nodes fail at the same instant, and are back some time later.
    Strike(Blow, Victims),
    /// The leader fails, and each of its successors a moment after its election, the one before just coming back.
    Successors(Blow),
    /// A node is away until the others have purged what it lacks.
    Absence(Away, Victims),
    /// A node is gone for good: it is removed, and a blank one takes its place.
    Replacement,
    /// The same, and the blank one is killed a few times while it takes in what it lacks.
    KilledJoining,
    /// A node comes back with an empty disk and under its old name, and once more.
    LostTwice,
    /// A node comes back with an older copy of its directory.
    Restored,
    /// A copy of a node's directory is started beside the node.
    Cloned,
    /// Datagrams between nodes are lost. All processes and their clients go on.
    Network(Cut),
    /// Programs beside the cluster take all processors.
    Hogs,
}

impl Fault {
    /// Whether it begins once the one before is overcome, and the next one once it is. It has several acts of its own, and a
    /// row of its own in the report.
    pub fn comes_alone(self) -> bool {
        self.is_long() || matches!(self, Self::Restored | Self::Cloned)
    }

    /// Whether it takes too long for a short campaign.
    fn is_long(self) -> bool {
        matches!(self, Self::Absence(..) | Self::LostTwice | Self::KilledJoining)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blow = |blow| match blow {
            Blow::Kill => "kill",
            Blow::Stop => "stop",
            Blow::Freeze => "freeze",
            Blow::FreezeThenKill => "freeze, then kill",
        };
        let name = |victims| match victims {
            Victims::Leader => "the leader",
            Victims::Follower => "a follower",
            Victims::Minority => "a minority",
            Victims::Majority => "a majority",
            Victims::All => "all",
        };
        match *self {
            Self::Strike(how, victims) => write!(f, "{} {}", blow(how), name(victims)),
            Self::Network(Cut::Off(victims)) => write!(f, "cut off {}", name(victims)),
            Self::Network(Cut::Deaf(victims)) => write!(f, "deafen {}", name(victims)),
            Self::Network(Cut::Mute(victims)) => write!(f, "mute {}", name(victims)),
            Self::Network(Cut::Pair) => f.write_str("cut a follower from the leader"),
            Self::Successors(how) => write!(f, "{} leaders in a row", blow(how)),
            Self::Replacement => f.write_str("replace a node by a blank one"),
            Self::KilledJoining => f.write_str("replace a node, killed while joining"),
            Self::LostTwice => f.write_str("lose the disk of a node twice"),
            Self::Restored => f.write_str("put an older copy of a node back"),
            Self::Cloned => f.write_str("start a copy beside a node"),
            Self::Absence(Away::Dead, _) => f.write_str("long absence, killed catching up"),
            Self::Absence(Away::Frozen, victims) => write!(f, "long freeze of {}, then it leads", name(victims)),
            Self::Absence(Away::Cut, victims) => write!(f, "long cut of {}, then it leads", name(victims)),
            Self::Hogs => f.write_str("no processor to spare"),
        }
    }
}

/// One fault with its circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What goes wrong.
    pub fault: Fault,
    /// Quiet time before it.
    pub pause: Duration,
    /// How long the victims are away.
    pub hold: Duration,
    /// The second time of faults that have two: until the kill of a frozen node, or of one that catches up.
    pub then: Duration,
    /// Whether the next step waits until this one is overcome. Otherwise it comes while nodes are still recovering.
    pub recover: bool,
    /// Whether all clients pause afterwards until all replicas are equal.
    pub settle: bool,
    /// For choosing victims.
    pub choice: u64,
}

/// The steps of one seed, without end.
#[derive(Debug)]
pub struct Schedule {
    rng: Rng,
    long: bool,
    kinds: Vec<Fault>,
    deck: Vec<Fault>,
}

impl Schedule {
    /// For a cluster of `nodes`. `long` allows faults that last, up to a minute and a half. With `only`, the schedule has the
    /// kinds whose names contain that text, the long ones too.
    ///
    /// # Errors
    /// There is no such kind; the names of all.
    pub fn new(seed: u64, nodes: usize, long: bool, only: Option<&str>) -> Result<Self, String> {
        let all = kinds(nodes);
        let kinds: Vec<_> = match only {
            Some(text) => all.iter().copied().filter(|kind| kind.to_string().contains(text)).collect(),
            None => all.iter().copied().filter(|kind| long || !kind.is_long()).collect(),
        };
        if kinds.is_empty() {
            let names: Vec<_> = all.iter().map(Fault::to_string).collect();
            return Err(format!("no fault has that in its name; there are: {}", names.join("; ")));
        }
        Ok(Self { rng: Rng::new(seed), long, kinds, deck: Vec::new() })
    }
}

/// All that goes wrong in a cluster of `nodes`.
fn kinds(nodes: usize) -> Vec<Fault> {
    use {Blow::*, Fault::*, Victims::*};
    let mut kinds = vec![
        Strike(Kill, Leader),
        Strike(Kill, Follower),
        Strike(Freeze, Leader),
        Strike(Freeze, Follower),
        Strike(FreezeThenKill, Leader),
        Strike(FreezeThenKill, Follower),
        Strike(Stop, Leader),
        Strike(Stop, Follower),
        Strike(Stop, All),
        Strike(Kill, Majority),
        Strike(Kill, All),
        Strike(Freeze, Majority),
        Strike(Freeze, All),
        Successors(Kill),
        Successors(Freeze),
        Network(Cut::Off(Leader)),
        Network(Cut::Off(Follower)),
        Network(Cut::Deaf(Leader)),
        Network(Cut::Deaf(Follower)),
        Network(Cut::Mute(Leader)),
        Network(Cut::Mute(Follower)),
        Network(Cut::Pair),
        Network(Cut::Off(All)),
        Replacement,
        KilledJoining,
        LostTwice,
        Restored,
        Cloned,
        Hogs,
    ];
    if nodes >= 5 {
        kinds.extend([Kill, Stop, Freeze, FreezeThenKill].map(|blow| Strike(blow, Minority)));
        kinds.push(Network(Cut::Off(Minority)));
    }
    kinds.push(Absence(Away::Dead, Follower));
    for away in [Away::Frozen, Away::Cut] {
        kinds.extend([Leader, Follower].map(|victims| Absence(away, victims)));
    }
    kinds
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.kinds);
            self.rng.shuffle(&mut self.deck);
        }
        let fault = self.deck.pop()?;
        let (rng, times) = (&mut self.rng, if self.long { 1 } else { 4 });
        let hold = match fault {
            // Around the election timeouts, where a wrong judgement is likeliest, and far beyond them.
            Fault::Strike(Blow::Freeze, _) | Fault::Network(_) if rng.one_in(2) => rng.millis(200..=900),
            Fault::Strike(Blow::Freeze, _) | Fault::Network(_) => rng.millis(900..=6000 / times),
            Fault::Successors(_) => rng.millis(50..=600),
            Fault::Hogs => rng.millis(500..=4000 / times),
            // At once as a supervisor would do it, or after a while.
            _ if rng.one_in(3) => Duration::ZERO,
            _ => rng.millis(50..=2500 / times),
        };
        Some(Step {
            fault,
            pause: rng.millis(50..=1500 / times),
            hold,
            then: rng.millis(10..=1500 / times),
            recover: !rng.one_in(3) || fault.comes_alone(),
            settle: rng.one_in(6),
            choice: rng.bits(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn steps(seed: u64, nodes: usize, long: bool) -> Vec<Step> {
        Schedule::new(seed, nodes, long, None).unwrap().take(100).collect()
    }

    #[test]
    fn a_seed_is_all_it_takes_to_have_a_schedule_again() {
        assert_eq!(steps(1, 3, true), steps(1, 3, true));
        assert_ne!(steps(1, 3, true), steps(2, 3, true));
    }

    #[test]
    fn each_kind_comes_once_before_any_comes_again() {
        for (nodes, long) in [(3, false), (3, true), (5, true)] {
            let kinds = Schedule::new(0, nodes, long, None).unwrap().kinds;
            let names: BTreeSet<_> = kinds.iter().map(Fault::to_string).collect();
            assert_eq!(names.len(), kinds.len(), "reports tell kinds apart by their names");
            for deal in steps(3, nodes, long).chunks_exact(kinds.len()) {
                let dealt: BTreeSet<_> = deal.iter().map(|step| step.fault.to_string()).collect();
                assert_eq!(dealt, names);
            }
        }
    }

    #[test]
    fn short_campaigns_have_no_long_absences() {
        let absent = |step: &Step| matches!(step.fault, Fault::Absence(..));
        assert!(!steps(5, 3, false).iter().any(absent));
        assert!(steps(5, 3, true).iter().any(absent));
    }
}
