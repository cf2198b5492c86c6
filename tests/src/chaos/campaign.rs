//! One campaign: a cluster, people who talk, and one fault after the other.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::report::Report;
use super::rng::Rng;
use super::schedule::{Blow, Cut, Fault, Schedule, Step, Victims};
use super::watch::Watch;
use super::workload::Workload;
use super::{Hogs, Violations, pass};
use crate::cluster::{Cluster, Node};
use crate::oracle::Told;
use crate::proxy::{self, Network};
use crate::{now, wait_until};

/// Campaigns at least this long have faults of half a minute.
pub(super) const LONG: Duration = Duration::from_secs(120);

/// Acknowledgements after a fault that show that writing goes on, for each client.
pub(super) const OVERCOME: usize = 3;

/// A majority that is alive and linked takes writes again by itself within seconds. Longer than the slowest election on a
/// machine with much other work, and longer than a write is held before it is refused.
const GAP_MAX: Duration = Duration::from_secs(20);

/// The row of faults that came before the one before was overcome.
const WHILE_RECOVERING: &str = "any of them, while recovering";

/// Threads that take the processors.
const HOGS: usize = 4;

/// Events kept for the case that something is wrong.
const EVENTS_SHOWN: usize = 30;

/// A shorter log than that of real nodes: whoever is away for some seconds needs a snapshot, so that there are many.
pub const LOG_ENTRIES: &str = "512,1024";

/// What kind of campaign.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Determines the schedule.
    pub seed: u64,
    /// For how long faults come.
    pub length: Duration,
    /// Of the cluster.
    pub nodes: usize,
    /// Who write.
    pub clients: usize,
    /// Messages per second that they send together, if they can.
    pub rate: usize,
    /// Part of the names of the faults that come; all of them come without it.
    pub only: Option<String>,
    /// How many entries nodes log between two checkpoints, and how many they keep; [`LOG_ENTRIES`] is the usual choice.
    pub log_entries: String,
}

/// What came of it, and where the evidence is, if something is wrong.
pub struct Outcome {
    /// Figures and finds.
    pub report: Report,
    /// Directories of the nodes, kept.
    pub evidence: Option<PathBuf>,
    /// What happened last.
    pub last_events: Vec<String>,
}

/// Runs a campaign. `progress` gets a line per event.
///
/// # Panics
/// When there is no cluster to begin with, or no fault has the name that is asked for.
pub fn run(settings: &Settings, progress: &dyn Fn(&str)) -> Outcome {
    let found = Violations::default();
    let mut rng = Rng::new(settings.seed);
    let schedule = Schedule::new(rng.bits(), settings.nodes, settings.length >= LONG, settings.only.as_deref());
    let schedule = schedule.unwrap_or_else(|names| panic!("{names}"));
    let mut network = Network::default();
    network.node_env.push(("SAMIRA_TEST_LOG_ENTRIES".into(), settings.log_entries.clone().into()));
    let (cluster, network) = proxy::start_in(network, settings.nodes);
    let addresses = cluster.nodes.iter().map(Node::address).collect();
    let workload = Workload::start(addresses, settings.clients, settings.rate, &mut rng, &found);
    let mut watch = Watch::new(found.clone());
    cluster.nodes.iter().for_each(|node| watch.add(node));
    let began = now();
    let mut campaign = Campaign {
        settings: settings.clone(),
        found: found.clone(),
        cluster,
        network,
        workload,
        watch,
        began,
        progress,
        events: RefCell::default(),
        gaps: BTreeMap::new(),
        recovering: false,
        entries: 0,
        newest: settings.nodes,
    };
    found.guard(|| campaign.faults(schedule));
    campaign.finish()
}

/// A campaign under way.
pub(super) struct Campaign<'a> {
    pub(super) settings: Settings,
    pub(super) found: Violations,
    pub(super) cluster: Cluster,
    pub(super) network: Network,
    pub(super) workload: Workload,
    pub(super) watch: Watch,
    began: Instant,
    progress: &'a dyn Fn(&str),
    events: RefCell<Vec<String>>,
    gaps: BTreeMap<String, Vec<Duration>>,
    /// The last fault may not be overcome yet.
    recovering: bool,
    entries: u64,
    /// Number in the name of the newest node.
    pub(super) newest: usize,
}

/// From when on an interruption counts.
enum Since {
    /// It began with the fault: a majority was there all the time.
    Fault,
    /// Nobody could have written before.
    Return,
}

impl Campaign<'_> {
    fn faults(&mut self, schedule: Schedule) {
        self.overcome();
        for step in schedule {
            if self.began.elapsed() >= self.settings.length || !self.found.is_empty() {
                return;
            }
            pass(step.pause);
            if self.recovering && step.fault.comes_alone() {
                let gap = self.overcome();
                self.gaps.entry(WHILE_RECOVERING.into()).or_default().push(gap);
                self.recovering = false;
            }
            let kind = if self.recovering { WHILE_RECOVERING.into() } else { step.fault.to_string() };
            self.workload.shared.pulse.measure();
            self.fault(&step);
            if step.recover || step.settle {
                let gap = self.overcome();
                self.event(&format_args!("  overcome, {} ms without a write", gap.as_millis()));
                self.gaps.entry(kind).or_default().push(gap);
                self.recovering = false;
            } else {
                // What comes of it is counted with the next.
                self.recovering = true;
            }
            if step.settle {
                self.settle();
            }
        }
    }

    /// Waits until all nodes are members in good standing and everybody writes; returns how long nobody could since
    /// the measurement began.
    fn overcome(&self) -> Duration {
        let pulse = &self.workload.shared.pulse;
        let goal = pulse.total() + OVERCOME * self.settings.clients;
        wait_until("writes to be taken again after a fault", || pulse.total() >= goal);
        self.cluster.wait_voters(self.cluster.nodes.len());
        let gap = pulse.longest_gap();
        assert!(gap < GAP_MAX, "nobody could write for {gap:?}, though a majority was alive and linked");
        gap
    }

    /// Everybody pauses until all replicas are equal.
    fn settle(&mut self) {
        self.workload.pause();
        self.cluster.settle();
        self.entries = self.last_log();
        self.event(&format_args!("all replicas equal at entry {}", self.entries));
        self.workload.resume();
    }

    fn last_log(&self) -> u64 {
        self.cluster.running().filter_map(Node::status).filter_map(|status| status.last_log).max().unwrap_or(0)
    }

    fn fault(&mut self, step: &Step) {
        let mut rng = Rng::new(step.choice);
        let since = match step.fault {
            Fault::Strike(blow, victims) => {
                let victims = self.choose(victims, &mut rng);
                self.event(&format_args!("{} {} for {:?}", step.fault, self.names(&victims), step.hold));
                let lost = victims.len() > (self.cluster.nodes.len() - 1) / 2;
                self.strike(blow, &victims, step);
                if lost { Since::Return } else { Since::Fault }
            }
            Fault::Successors(blow) => {
                self.event(&format_args!("{}, {:?} each", step.fault, step.hold));
                for _ in 0..3 {
                    let leader = self.cluster.leader();
                    self.strike(blow, &[leader], step);
                }
                Since::Fault
            }
            Fault::Absence(away, victims) => {
                let victims = self.choose(victims, &mut rng);
                self.absence(away, victims[0], step);
                Since::Fault
            }
            Fault::Replacement | Fault::KilledJoining | Fault::LostTwice | Fault::Restored | Fault::Cloned => {
                // A disk is lost for good, so all others have to vote by now.
                self.cluster.wait_voters(self.cluster.nodes.len());
                let victim = rng.below(self.cluster.nodes.len());
                match step.fault {
                    Fault::KilledJoining => self.replace_killed_joining(victim, step, &mut rng),
                    Fault::LostTwice => self.lose_twice(victim, step),
                    Fault::Restored => self.restore(victim, step),
                    Fault::Cloned => self.clone_member(victim, step),
                    _ => self.replace(victim, step),
                }
                Since::Fault
            }
            Fault::Network(cut) => {
                let victims = self.choose(cut.victims(), &mut rng);
                self.event(&format_args!("{} {} for {:?}", step.fault, self.names(&victims), step.hold));
                self.cut(cut, &victims, &mut rng);
                pass(step.hold);
                self.network.heal();
                if cut == Cut::Off(Victims::All) { Since::Return } else { Since::Fault }
            }
            Fault::Hogs => {
                self.event(&format_args!("{} for {:?}", step.fault, step.hold));
                let hogs = Hogs::start(HOGS);
                pass(step.hold);
                drop(hogs);
                Since::Fault
            }
        };
        if let Since::Return = since {
            self.workload.shared.pulse.measure();
        }
    }

    /// Who they are now.
    fn choose(&self, victims: Victims, rng: &mut Rng) -> Vec<usize> {
        let count = self.cluster.nodes.len();
        let mut all: Vec<_> = (0..count).collect();
        rng.shuffle(&mut all);
        let minority = (count - 1) / 2;
        match victims {
            Victims::Leader => vec![self.cluster.leader()],
            Victims::Follower => {
                let leader = self.cluster.leader();
                all.into_iter().filter(|&node| node != leader).take(1).collect()
            }
            Victims::Minority => all[..minority].to_vec(),
            Victims::Majority => all[..=minority].to_vec(),
            Victims::All => all,
        }
    }

    pub(super) fn names(&self, victims: &[usize]) -> String {
        let names: Vec<_> = victims.iter().map(|&victim| self.cluster.nodes[victim].name.as_str()).collect();
        names.join(", ")
    }

    fn strike(&self, blow: Blow, victims: &[usize], step: &Step) {
        let nodes: Vec<_> = victims.iter().map(|&victim| &self.cluster.nodes[victim]).collect();
        match blow {
            Blow::Kill => {
                self.end(&nodes, Node::kill);
                pass(step.hold);
                self.start(&nodes);
            }
            Blow::Stop => {
                self.end(&nodes, Node::stop);
                pass(step.hold);
                self.start(&nodes);
            }
            Blow::Freeze => {
                nodes.iter().for_each(|node| node.freeze());
                pass(step.hold);
                nodes.iter().for_each(|node| node.thaw());
            }
            Blow::FreezeThenKill => {
                nodes.iter().for_each(|node| node.freeze());
                pass(step.then);
                self.end(&nodes, Node::kill);
                pass(step.hold);
                self.start(&nodes);
            }
        }
    }

    fn cut(&self, cut: Cut, victims: &[usize], rng: &mut Rng) {
        let nodes = &self.cluster.nodes;
        let ways = |from: usize, to: usize| self.network.cut(nodes[from].address(), nodes[to].address());
        let outside = |victim: usize| match cut {
            // Everybody alone.
            Cut::Off(Victims::All) => (0..nodes.len()).filter(|&other| other != victim).collect(),
            // One of them, by chance.
            Cut::Pair => self.choose(Victims::Follower, &mut rng.clone()),
            _ => (0..nodes.len()).filter(|other| !victims.contains(other)).collect::<Vec<_>>(),
        };
        for &victim in victims {
            for other in outside(victim) {
                if !matches!(cut, Cut::Mute(_)) {
                    ways(other, victim);
                }
                if !matches!(cut, Cut::Deaf(_)) {
                    ways(victim, other);
                }
            }
        }
    }

    /// Ends them at the same instant, as nearly as one machine can.
    pub(super) fn end(&self, nodes: &[&Node], how: fn(&Node)) {
        for node in nodes {
            self.watch.turns(node);
            self.network.close(node.address());
        }
        thread::scope(|scope| {
            let ends: Vec<_> = nodes.iter().map(|node| scope.spawn(move || how(node))).collect();
            for end in ends {
                if let Err(panic) = end.join() {
                    std::panic::resume_unwind(panic);
                }
            }
        });
    }

    pub(super) fn start(&self, nodes: &[&Node]) {
        for node in nodes {
            self.watch.turns(node);
            self.network.open(node.address());
        }
        let starting: Vec<_> = nodes.iter().map(|node| node.spawn(None)).collect();
        for (node, ready) in nodes.iter().zip(&starting) {
            node.wait_ready(ready);
        }
    }

    pub(super) fn event(&self, what: &dyn fmt::Display) {
        let event = format!("{:>7.1} s  {what}", self.began.elapsed().as_secs_f64());
        (self.progress)(&event);
        self.events.borrow_mut().push(event);
    }

    fn finish(mut self) -> Outcome {
        let found = self.found.clone();
        if found.is_empty() {
            found.guard(|| {
                self.overcome();
                self.workload.stop();
                self.cluster.settle();
                self.entries = self.last_log();
            });
        } else {
            // Whoever is frozen or dead stays so: it is evidence. Clients need not wait for it.
            for node in self.cluster.running() {
                node.thaw();
            }
            self.workload.stop();
        }
        let elections = self.watch.elections();
        let (ran, snapshots) = (self.began.elapsed(), self.snapshots_sent());
        drop(self.watch);
        if found.is_empty() {
            found.guard(|| self.cluster.stop());
        }
        for node in self.cluster.running() {
            node.kill();
        }
        let shared = &self.workload.shared;
        found.guard(|| shared.ledger.check(&self.cluster.nodes));
        found.guard(|| shared.accounts.check(&self.cluster.nodes));
        let report = Report {
            seed: self.settings.seed,
            nodes: self.settings.nodes,
            ran,
            faults: self.gaps,
            stored: shared.ledger.count(Told::Stored),
            refused: shared.ledger.count(Told::Refused),
            unknown: shared.ledger.count(Told::Unknown),
            deleted: shared.ledger.deleted(),
            accounts: shared.accounts.count(),
            entries: self.entries,
            snapshots,
            elections,
            violations: found.list(),
        };
        let evidence = (!report.violations.is_empty()).then(|| self.cluster.keep().to_owned());
        let mut events = self.events.into_inner();
        let skip = events.len().saturating_sub(EVENTS_SHOWN);
        Outcome { report, evidence, last_events: events.split_off(skip) }
    }
}
