//! `cargo xtask chaos`: random faults against a real cluster under load, for as long as one likes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use serde_json::Value;
use tests::chaos::campaign::{self, LOG_ENTRIES, Settings};
use tests::chaos::endurance;
use tests::chaos::schedule::Schedule;

/// Break a real cluster again and again while people use it, and hold every database against what they were told
///
/// TMPDIR chooses the disk. Exits with 0 if all promises were kept, and otherwise says which was not, keeps the nodes'
/// directories, and prints the command that repeats the campaign. `--release` besides tests optimised programs.
#[derive(Parser)]
#[command(name = "cargo xtask chaos")]
struct Cli {
    /// What to check
    #[arg(long, value_enum, default_value_t = Check::Faults)]
    check: Check,
    /// Determines the schedule of faults [default: from the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// For how long, with --check faults or elections
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Nodes of the cluster
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=9))]
    nodes: u8,
    /// Connections that write, with --check faults
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=200))]
    clients: u16,
    /// Messages per second that they send together, with --check faults
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Requests under way, with --check elections or memory
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u16).range(16..=8000))]
    in_flight: u16,
    /// Requests until the second measurement, with --check memory; the first is after a tenth of them
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    requests: u64,
    /// Only faults that have this in their names, with --check faults; any other text lists them
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Entries that nodes log between two checkpoints, and entries they keep, with --check faults; real nodes have 4096,8192
    #[arg(long, value_name = "N,N", default_value = LOG_ENTRIES)]
    log_entries: String,
    /// Write the results to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Check {
    /// Nothing acknowledged is lost, doubled or reordered, whatever fails
    Faults,
    /// Full load and two other programs that want the processors cause no election
    Elections,
    /// Memory does not grow with the number of requests
    Memory,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let (nodes, length) = (usize::from(cli.nodes), Duration::from_secs(cli.seconds));
    let say = |line: &str| println!("{line}");
    match cli.check {
        Check::Faults => faults(cli, nodes, length),
        Check::Elections => {
            let steady = endurance::elections(nodes, length, usize::from(cli.in_flight), &say);
            println!("{steady}");
            write(cli.json.as_deref(), &steady.json())?;
            if steady.holds() { Ok(()) } else { bail!("a leader was replaced that had not failed") }
        }
        Check::Memory => {
            let requests = (cli.requests / 10, cli.requests);
            let memory = endurance::memory(nodes, requests, usize::from(cli.in_flight), &say);
            println!("{memory}");
            write(cli.json.as_deref(), &memory.json())?;
            if memory.holds() { Ok(()) } else { bail!("a node keeps memory for every request") }
        }
    }
}

fn faults(cli: &Cli, nodes: usize, length: Duration) -> Result<()> {
    let seed = cli.seed.unwrap_or_else(seed_from_clock);
    let (clients, rate) = (usize::from(cli.clients), cli.rate as usize);
    if let Err(names) = Schedule::new(seed, nodes, true, cli.only.as_deref()) {
        bail!("{names}");
    }
    let settings =
        Settings { seed, length, nodes, clients, rate, only: cli.only.clone(), log_entries: cli.log_entries.clone() };
    println!("seed {seed}: {nodes} nodes, {} clients, {} s", cli.clients, cli.seconds);
    let outcome = campaign::run(&settings, &|line| println!("{line}"));
    println!("\nseed {seed}\n{}", outcome.report);
    write(cli.json.as_deref(), &outcome.report.json())?;
    let Some(evidence) = outcome.evidence else { return Ok(()) };
    println!("\nthe last events:");
    outcome.last_events.iter().for_each(|event| println!("{event}"));
    println!("\ndatabases and logs: {}", evidence.display());
    let only = cli.only.as_ref().map(|only| format!(" --only '{only}'")).unwrap_or_default();
    println!(
        "the same schedule again: cargo xtask chaos --seed {seed} --seconds {} --nodes {nodes} --clients {} --rate {} --log-entries {}{only}",
        cli.seconds, cli.clients, cli.rate, cli.log_entries
    );
    bail!("a promise was broken");
}

/// Small enough to be typed again.
#[expect(clippy::disallowed_methods, reason = "any number will do; it is printed")]
fn seed_from_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64 % 1_000_000)
}

fn write(path: Option<&Path>, results: &Value) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    fs::write(path, format!("{results}\n")).with_context(|| format!("cannot write {}", path.display()))
}
