//! What came of a campaign, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::watch::Elections;

/// What came of a campaign.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The seed of its schedule.
    pub seed: u64,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// How long it ran.
    pub ran: Duration,
    /// Interruptions of writing, by kind of fault.
    pub faults: BTreeMap<String, Vec<Duration>>,
    /// Messages acknowledged.
    pub stored: usize,
    /// Messages refused.
    pub refused: usize,
    /// Messages of which nobody told anything.
    pub unknown: usize,
    /// Messages deleted again.
    pub deleted: usize,
    /// Accounts that came and perhaps went.
    pub accounts: usize,
    /// Log entries at the end.
    pub entries: u64,
    /// Snapshots that nodes sent to each other.
    pub snapshots: usize,
    /// Leaders and terms.
    pub elections: Elections,
    /// What was found to be wrong.
    pub violations: Vec<String>,
}

impl Report {
    /// For scripts.
    pub fn json(&self) -> Value {
        let faults: Vec<_> = self
            .faults
            .iter()
            .map(|(kind, gaps)| {
                let (median, longest) = median_and_longest(gaps);
                json!({
                    "fault": kind, "count": gaps.len(), "median_ms": median.as_millis(), "longest_ms": longest.as_millis()
                })
            })
            .collect();
        json!({
            "chaos": "faults",
            "seed": self.seed,
            "nodes": self.nodes,
            "seconds": self.ran.as_secs(),
            "faults": faults,
            "messages": {
                "acknowledged": self.stored, "refused": self.refused, "unknown": self.unknown, "deleted": self.deleted
            },
            "accounts": self.accounts,
            "entries": self.entries,
            "snapshots_sent": self.snapshots,
            "leaders": self.elections.leaders,
            "terms_with_two_leaders": self.elections.shared_terms,
            "term": self.elections.term,
            "violations": self.violations,
        })
    }
}

fn median_and_longest(gaps: &[Duration]) -> (Duration, Duration) {
    let mut sorted = gaps.to_vec();
    sorted.sort();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    (median, sorted.last().copied().unwrap_or_default())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<40} {:>5}  {:>10}  {:>10}", "fault", "count", "median ms", "longest ms")?;
        for (kind, gaps) in &self.faults {
            let (median, longest) = median_and_longest(gaps);
            writeln!(f, "{kind:<40} {:>5}  {:>10}  {:>10}", gaps.len(), median.as_millis(), longest.as_millis())?;
        }
        writeln!(f, "(interruption of writing; where a majority was struck, counted from its return)")?;
        writeln!(
            f,
            "messages: {} acknowledged, {} refused, {} unknown, {} deleted again; {} accounts",
            self.stored, self.refused, self.unknown, self.deleted, self.accounts
        )?;
        writeln!(
            f,
            "log: {} entries, {} snapshots sent; {} leaders up to term {}, {} terms with two of them",
            self.entries, self.snapshots, self.elections.leaders, self.elections.term, self.elections.shared_terms
        )?;
        if self.violations.is_empty() {
            write!(f, "verdict: nothing lost, doubled or reordered; all replicas equal")
        } else {
            write!(f, "verdict: VIOLATED\n  {}", self.violations.join("\n  "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_happened_in_both_forms() {
        let gaps = [30, 10, 20].map(Duration::from_millis).to_vec();
        let mut report = Report { seed: 7, nodes: 3, stored: 5, ..Report::default() };
        report.faults.insert("kill the leader".into(), gaps);
        let text = report.to_string();
        assert!(text.contains("kill the leader                              3          20          30"), "{text}");
        assert!(text.ends_with("all replicas equal"));
        let json = report.json();
        assert_eq!(json["faults"][0]["median_ms"], 20);
        assert_eq!(json["messages"]["acknowledged"], 5);
        report.violations.push("something lost".into());
        assert!(report.to_string().ends_with("VIOLATED\n  something lost"));
    }
}
