//! `cargo xtask bench`: measures the codecs, a real cluster on this machine or the desktop client, and prints what a person wants to compare.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use tests::bench::client;
use tests::bench::closed_loop::{self, Plan, Row};
use tests::bench::codec::{self, Effort};
use tests::bench::failover::{self, Fault};
use tests::bench::latency;
use tests::bench::links;
use tests::bench::{Protocol, TEXT_BYTES};
use tests::cluster::Cluster;

#[derive(Parser)]
#[command(
    name = "cargo xtask bench",
    about = "Measure the codecs, a cluster on this machine, the lines between its nodes, or the desktop client. TMPDIR chooses the disk.",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Sizes of the original's benchmark messages in every codec, and the time to write and read them
    Codec(CodecArgs),
    /// Acknowledged messages per second and their latency, then interruptions when the leader dies or hangs
    Cluster(ClusterArgs),
    /// Only the interruptions
    Failover(FailoverArgs),
    /// From one client over the cluster to another, in our own dialect
    Latency(LatencyArgs),
    /// Writes, and a follower that catches up, over long, narrow and lossy lines between the nodes
    Links(LinksArgs),
    /// How soon the desktop client is there, what it takes, and whether a very long conversation can be looked through
    Client(ClientArgs),
}

#[derive(Args)]
struct ClientArgs {
    /// How long it is watched doing nothing, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    idle: u64,
    /// Write the results to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct LinksArgs {
    /// Length of each measurement in seconds
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Write the results to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct LatencyArgs {
    /// What the clients speak
    #[arg(long, value_enum, default_value_t = Speaks(Protocol::Samira2))]
    protocol: Speaks,
    /// Length of each measurement in seconds
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Write the results to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct CodecArgs {
    /// Write the results to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw one message's to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Args)]
struct Common {
    /// Nodes of the cluster
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// What the clients speak
    #[arg(long, value_enum, default_value_t = Speaks(Protocol::Json1))]
    protocol: Speaks,
    /// Write the results to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct ClusterArgs {
    #[command(flatten)]
    common: Common,
    /// Messages in flight on one connection, one measurement each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 512], value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: Vec<u16>,
    /// Connections with one message in flight each, for one more measurement; 0 leaves it out
    #[arg(long, default_value_t = 64)]
    connections: u16,
    /// Length of each measurement in seconds
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Time before each measurement in seconds
    #[arg(long, default_value_t = 2)]
    warm: u64,
    /// How often the leader is killed, and how often it is frozen
    #[arg(long, default_value_t = 3)]
    trials: usize,
}

#[derive(Args)]
struct FailoverArgs {
    #[command(flatten)]
    common: Common,
    /// How often the leader is killed, and how often it is frozen
    #[arg(long, default_value_t = 20)]
    trials: usize,
}

#[derive(Clone, Copy)]
struct Speaks(Protocol);

impl ValueEnum for Speaks {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                Self(Protocol::Json1),
                Self(Protocol::Samira1),
                Self(Protocol::Json2),
                Self(Protocol::Samira2),
                Self(Protocol::Grpc),
            ]
        }
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()))
    }
}

/// The file of `--json`; scripts rely on these names.
#[derive(Serialize)]
struct Report {
    bench: &'static str,
    nodes: u8,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rows: Vec<Row>,
    failover: Gaps,
}

/// Longest times without an acknowledgement, one per trial.
#[derive(Default, Serialize)]
struct Gaps {
    kill_gap_ms: Vec<f64>,
    freeze_gap_ms: Vec<f64>,
}

/// The file of `bench codec --json`.
#[derive(Serialize)]
struct CodecReport<'a> {
    bench: &'static str,
    rows: &'a [codec::Row],
}

fn main() -> ExitCode {
    let result = match Cli::parse().bench {
        Bench::Codec(args) => codec(&args),
        Bench::Cluster(args) => cluster(&args),
        Bench::Failover(args) => failover(&args.common, args.trials)
            .and_then(|failover| report("failover", &args.common, Vec::new(), failover)),
        Bench::Latency(args) => latency(&args),
        Bench::Links(args) => links(&args),
        Bench::Client(args) => client(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn latency(args: &LatencyArgs) -> Result<()> {
    let Speaks(protocol) = args.protocol;
    if protocol.is_legacy() {
        bail!("the original's dialect pushes nothing: choose samira2 or json2");
    }
    println!("3 nodes, {}, {TEXT_BYTES}-byte messages, stored at a majority and then pushed", protocol.name());
    let cluster = Cluster::start(3);
    let found = latency::run(&cluster, protocol.codec(), Duration::from_secs(args.seconds))?;
    println!("path          p50 µs    p99 µs    max µs  messages");
    for row in &found.rows {
        println!(
            "{:<10}  {:>8.0}  {:>8.0}  {:>8.0}  {:>8}",
            row.path, row.p50_us, row.p99_us, row.max_us, row.messages
        );
    }
    println!("16 pairs with 32 messages under way each: {:.0} messages/s delivered", found.pairs16_msgs_per_s);
    println!("an idle pair was sent {} bytes", found.idle_bytes);
    cluster.stop();
    let Some(path) = &args.json else { return Ok(()) };
    let report = LatencyReport { bench: "latency", protocol: protocol.name(), found };
    write(path, &report).with_context(|| format!("cannot write {}", path.display()))
}

/// The file of `latency --json`; scripts rely on these names.
#[derive(Serialize)]
struct LatencyReport {
    bench: &'static str,
    protocol: &'static str,
    #[serde(flatten)]
    found: latency::Latency,
}

fn links(args: &LinksArgs) -> Result<()> {
    println!("3 nodes, lines as given between all of them; a message is acknowledged when it is on disk at a majority");
    println!("round trip ms  Mbit/s  loss %  message B  writes/s    p50 ms  4 MiB caught up s  elections");
    let mut rows = Vec::new();
    for case in links::CASES {
        let row = links::run(case, Duration::from_secs(args.seconds))?;
        println!(
            "{:>13}  {:>6}  {:>6}  {:>9}  {:>8.1}  {:>8.1}  {:>17.1}  {:>9}",
            case.round_trip_ms,
            case.megabits.map_or_else(|| "-".into(), |megabits| megabits.to_string()),
            case.loss_percent,
            case.message_bytes,
            row.writes_per_s,
            row.p50_ms,
            row.catch_up_s,
            row.elections,
        );
        rows.push(row);
    }
    let Some(path) = &args.json else { return Ok(()) };
    write(path, &LinksReport { bench: "links", rows }).with_context(|| format!("cannot write {}", path.display()))
}

/// The file of `links --json`; scripts rely on these names.
#[derive(Serialize)]
struct LinksReport {
    bench: &'static str,
    rows: Vec<links::Row>,
}

fn client(args: &ClientArgs) -> Result<()> {
    println!("on a screen in memory, one window, against a cluster of three on the same machine");
    let found = client::run(Duration::from_secs(args.idle))?;
    let row = |what: &str, value: String, goal: &str| println!("{what:<58} {value:>10}   goal {goal}");
    row("from running it to a drawn list, 10 x 1 000 messages", format!("{:.0} ms", found.start_ms), "200 ms");
    row("resident with a conversation open", format!("{:.1} MB", found.rss_mb), "45 MB");
    row("  of that without a file behind it", format!("{:.1} MB", found.rss_anonymous_mb), "-");
    row("of a core while nothing happens", format!("{:.2} %", found.idle_cpu_percent), "0.0 %");
    row("the program without symbols", format!("{:.1} MB", found.binary_mb), "8 MB");
    row("from the key to an open conversation, 1 000 000 messages", format!("{:.0} ms", found.open_ms), "100 ms");
    row("its longest frame while it was looked through", format!("{:.1} ms", found.longest_frame_ms), "33 ms");
    row("  99 of 100 frames take no longer than", format!("{:.1} ms", found.frame_p99_ms), "-");
    row("resident afterwards", format!("{:.1} MB", found.long_rss_mb), "-");
    println!("starts {:.0?} ms, openings {:.0?} ms", found.starts_ms, found.opens_ms);
    println!("frames {}", found.frames);
    let Some(path) = &args.json else { return Ok(()) };
    write(path, &ClientReport { bench: "client", found }).with_context(|| format!("cannot write {}", path.display()))
}

/// The file of `client --json`; scripts rely on these names.
#[derive(Serialize)]
struct ClientReport {
    bench: &'static str,
    #[serde(flatten)]
    found: client::Measured,
}

fn codec(args: &CodecArgs) -> Result<()> {
    println!(
        "Encoded into a buffer that is used again; decoded into structs whose texts borrow from the bytes, except"
    );
    println!("with prost, which has only owned ones. Median of {} samples. Factors are relative to prost.", {
        Effort::FULL.samples
    });
    println!("samira1 and postcard write every field; the others leave out those with their default.");
    let rows = codec::run(Effort::FULL);
    let mut message = "";
    for row in &rows {
        if row.message != message {
            message = row.message;
            println!(
                "\n{message:<26} {:>6}  {:>5}  {:>9}  {:>6}  {:>9}  {:>6}",
                "bytes", "", "encode ns", "", "decode ns", ""
            );
        }
        let prost = rows.iter().find(|other| other.message == message && other.codec == "prost").unwrap_or(row);
        #[expect(clippy::cast_precision_loss, reason = "sizes of messages are small")]
        let size = row.bytes as f64 / prost.bytes as f64;
        println!(
            "  {:<24} {:>6}  {:>4.2}x  {:>9.0}  {:>5.2}x  {:>9.0}  {:>5.2}x",
            row.codec,
            row.bytes,
            size,
            row.encode_ns,
            row.encode_ns / prost.encode_ns,
            row.decode_ns,
            row.decode_ns / prost.decode_ns,
        );
    }
    if let Some(path) = &args.svg {
        std::fs::write(path, codec::svg(&rows)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let Some(path) = &args.json else { return Ok(()) };
    write(path, &CodecReport { bench: "codec", rows: &rows })
        .with_context(|| format!("cannot write {}", path.display()))
}

fn cluster(args: &ClusterArgs) -> Result<()> {
    let common = &args.common;
    println!(
        "{} nodes, {}, {TEXT_BYTES}-byte messages; each acknowledged when it is on disk at a majority",
        common.nodes,
        common.protocol.0.name()
    );
    println!("in flight  conns   msgs/s    p50 ms    p99 ms  p99.9 ms  server cores  client  other  flushes/s");
    let mut shapes: Vec<_> = args.in_flight.iter().map(|&window| (1, usize::from(window))).collect();
    if args.connections > 0 {
        shapes.push((usize::from(args.connections), 1));
    }
    let mut rows = Vec::new();
    for (connections, window) in shapes {
        // A fresh cluster for each, so that none inherits another's history or backlog.
        let cluster = Cluster::start(usize::from(common.nodes));
        let plan = Plan {
            connections,
            window,
            warm: Duration::from_secs(args.warm),
            measure: Duration::from_secs(args.seconds),
        };
        // Like the systems it is compared with: at the leader, which is everybody's best case.
        let target = cluster.nodes[cluster.leader()].address();
        let row = closed_loop::run(common.protocol.0, target, &cluster.nodes, plan)?;
        println!(
            "{:>9}  {:>5}  {:>7.0}  {:>8.2}  {:>8.2}  {:>8.2}  {:>12.2}  {:>6.2}  {:>5.2}  {:>9}",
            row.in_flight,
            row.connections,
            row.ops_per_s,
            row.p50_ms,
            row.p99_ms,
            row.p999_ms,
            row.usage.server_cores,
            row.usage.client_cores,
            row.usage.other_cores + row.usage.stolen_cores,
            row.usage.disk_flushes_per_s.map_or_else(|| "?".into(), |flushes| format!("{flushes:.0}")),
        );
        rows.push(row);
        cluster.stop();
    }
    let gaps = if args.trials > 0 { failover(common, args.trials)? } else { Gaps::default() };
    report("cluster", common, rows, gaps)
}

fn failover(common: &Common, trials: usize) -> Result<Gaps> {
    // How long an election takes does not depend on what clients speak.
    let spoken = common.protocol.0;
    let protocol = if spoken.is_legacy() && spoken != Protocol::Grpc { spoken } else { Protocol::Json1 };
    println!(
        "longest time without an acknowledgement, ms, {} messages in flight over {} nodes, {}:",
        failover::WORKERS,
        common.nodes,
        protocol.name()
    );
    let measure = |name: &str, fault| -> Result<Vec<f64>> {
        let cluster = Cluster::start(usize::from(common.nodes));
        let gaps = failover::run(protocol, &cluster, fault, trials)?;
        let mut sorted = gaps.clone();
        sorted.sort_by(f64::total_cmp);
        if let (Some(median), Some(longest)) = (sorted.get(sorted.len() / 2), sorted.last()) {
            println!("  {name:<28} median {median:>5.0}  longest {longest:>5.0}   {gaps:.0?}");
        }
        Ok(gaps)
    };
    Ok(Gaps {
        kill_gap_ms: measure("leader killed (-9)", Fault::Kill)?,
        freeze_gap_ms: measure("leader frozen (SIGSTOP)", Fault::Freeze)?,
    })
}

fn report(bench: &'static str, common: &Common, rows: Vec<Row>, failover: Gaps) -> Result<()> {
    let Some(path) = &common.json else { return Ok(()) };
    let report = Report { bench, nodes: common.nodes, protocol: common.protocol.0.name(), rows, failover };
    write(path, &report).with_context(|| format!("cannot write {}", path.display()))
}

fn write(path: &Path, report: &impl Serialize) -> Result<()> {
    let mut file = File::create(path)?;
    serde_json::to_writer(&mut file, report)?;
    writeln!(file)?;
    Ok(())
}
