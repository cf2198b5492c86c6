//! Who used the processors between two moments, and how often the disk below the databases was flushed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use crate::cluster::Node;
use crate::now;

/// Cores in use, on average, and flushes of the disk.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Usage {
    /// By this program.
    pub client_cores: f64,
    /// By all nodes together.
    pub server_cores: f64,
    /// By anything else. Well above 0.1 means that the run was disturbed.
    pub other_cores: f64,
    /// Kept by the hypervisor for others.
    pub stolen_cores: f64,
    /// Cache flushes that the disk completed, per second; none where the system does not count them.
    pub disk_flushes_per_s: Option<f64>,
}

/// A measurement that has begun.
pub struct Meter {
    servers: Vec<String>,
    disk: PathBuf,
    began: Instant,
    at_begin: Counters,
}

/// Ticks of processor time, and flushes, since the machine started.
#[derive(Clone, Copy)]
struct Counters {
    client: u64,
    servers: u64,
    machine: u64,
    stolen: u64,
    flushes: Option<u64>,
}

impl Meter {
    /// Begins; `disk` is any directory on the disk in question.
    pub fn start<'a>(nodes: impl Iterator<Item = &'a Node>, disk: &Path) -> Self {
        let servers: Vec<_> = nodes.map(|node| node.pid().to_string()).collect();
        let at_begin = Counters::read(&servers, disk);
        Self { servers, disk: disk.into(), began: now(), at_begin }
    }

    /// What was used since.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "tick counts of one measurement are small")]
    pub fn read(&self) -> Usage {
        let seconds = self.began.elapsed().as_secs_f64();
        let end = Counters::read(&self.servers, &self.disk);
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let cores = |end: u64, begin: u64| end.saturating_sub(begin) as f64 / ticks / seconds;
        let client = cores(end.client, self.at_begin.client);
        let servers = cores(end.servers, self.at_begin.servers);
        let machine = cores(end.machine, self.at_begin.machine);
        let flushes = end.flushes.zip(self.at_begin.flushes);
        Usage {
            client_cores: round(client, 2),
            server_cores: round(servers, 2),
            other_cores: round((machine - client - servers).max(0.0), 2),
            stolen_cores: round(cores(end.stolen, self.at_begin.stolen), 2),
            disk_flushes_per_s: flushes.map(|(end, begin)| round((end - begin) as f64 / seconds, 0)),
        }
    }
}

impl Counters {
    fn read(servers: &[String], disk: &Path) -> Self {
        let (machine, stolen) = machine_ticks();
        Self {
            client: process_ticks("self"),
            servers: servers.iter().map(|pid| process_ticks(pid)).sum(),
            machine,
            stolen,
            flushes: disk_flushes(disk),
        }
    }
}

/// User and system time of a process; 0 once it is gone.
pub(super) fn process_ticks(pid: &str) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the name in brackets and may hold spaces; what follows starts with field 3.
    let Some((_, fields)) = stat.rsplit_once(") ") else { return 0 };
    let fields: Vec<u64> = fields.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
    fields.get(11).zip(fields.get(12)).map_or(0, |(user, system)| user + system)
}

/// Bytes that a process has resident; 0 once it is gone.
#[must_use]
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kibibytes| kibibytes << 10)
}

/// Busy time of the whole machine, and time the hypervisor gave to others.
fn machine_ticks() -> (u64, u64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|&field| fields.get(field)).sum();
    (busy, fields.get(7).copied().unwrap_or(0))
}

/// Flushes completed by the block device that holds `dir`, where Linux counts them (5.5 and later).
fn disk_flushes(dir: &Path) -> Option<u64> {
    let device = fs::metadata(dir).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    stat.split_whitespace().nth(15)?.parse().ok()
}

/// To so many digits behind the point.
#[must_use]
pub fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
