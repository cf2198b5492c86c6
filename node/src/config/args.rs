//! The command line, raw.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use crate::limits::JOIN_CODE_LIFETIME_MAX;

/// Fault-tolerant chat for places that must keep talking when a machine dies and the internet is gone.
///
/// Without a command: runs the server. The first one founds a cluster and prints the line to run on the next machine.
#[derive(Debug, Parser)]
#[command(name = "node", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; nothing means: run the server.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of the server.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Everything but running the server.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a running node and its cluster are doing
    Status {
        /// Where the node runs.
        #[command(flatten)]
        target: Target,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Make a one-time code that lets one more server join, valid for 15 minutes
    JoinCode {
        /// Where the node runs.
        #[command(flatten)]
        target: Target,
        /// How long it shall be valid: 90s, 15m or 2h, at most 24h
        #[arg(long, value_name = "TIME", value_parser = lifetime)]
        valid: Option<Duration>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show or remove the servers of the cluster
    Members {
        /// What to do.
        #[command(subcommand)]
        command: MembersCommand,
    },
    /// Show the cluster's certificate authority
    Authority {
        /// What to do.
        #[command(subcommand)]
        command: AuthorityCommand,
    },
    /// Check the configuration and exit
    Check {
        /// The settings to check.
        #[command(flatten)]
        run: Box<RunArgs>,
    },
}

/// What can be done with members.
#[derive(Debug, Subcommand)]
pub enum MembersCommand {
    /// Show who belongs to the cluster, and who was removed
    List {
        /// Where the node runs.
        #[command(flatten)]
        target: Target,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove a server for good: nobody listens to it any more, and it can only come back as a new one
    Remove {
        /// Name of the server, or its id as `members list` shows it
        #[arg(value_name = "NAME")]
        member: String,
        /// Where the node runs.
        #[command(flatten)]
        target: Target,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// What can be done with the authority.
#[derive(Debug, Subcommand)]
pub enum AuthorityCommand {
    /// Print its certificate as PEM, and the name to expect in a server's certificate: what a client needs that knows no pins
    Export {
        /// Where the node's data is.
        #[command(flatten)]
        target: Target,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Parses a number with its unit.
fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("give a number and a unit, like 90s, 15m or 2h, from 1s to {}", spelled(JOIN_CODE_LIFETIME_MAX));
    let (number, unit) = text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => None,
    };
    let lifetime = Duration::from_secs(seconds.ok_or_else(wrong)?);
    if (Duration::from_secs(1)..=JOIN_CODE_LIFETIME_MAX).contains(&lifetime) { Ok(lifetime) } else { Err(wrong()) }
}

/// A time as [`lifetime`] reads it, in the largest unit that divides it.
pub fn spelled(time: Duration) -> String {
    match time.as_secs() {
        hours if hours > 0 && hours % 3600 == 0 => format!("{}h", hours / 3600),
        minutes if minutes > 0 && minutes % 60 == 0 => format!("{}m", minutes / 60),
        seconds => format!("{seconds}s"),
    }
}

/// Which running node an administrative command speaks to: permission to use its data directory is the authority.
#[derive(Debug, Args)]
pub struct Target {
    /// Data directory of the running node [default: ./samira-data]
    #[arg(long, env = "SAMIRA_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Settings of the server.
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// Read settings from a TOML file; flags and environment go over it
    #[arg(long, env = "SAMIRA_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to call this server [default: host name, and port unless 5555]
    #[arg(long, env = "SAMIRA_NAME")]
    pub name: Option<String>,
    /// What to call the cluster, when this server founds one [default: samira]
    #[arg(long, env = "SAMIRA_CLUSTER_NAME", value_name = "NAME")]
    pub cluster_name: Option<String>,
    /// Where to listen, TCP for clients and UDP for servers.
    #[arg(
        help = "Where to listen, TCP for clients and UDP for servers; port 0 takes a free one [default: [::]:5555, both families]",
        long,
        env = "SAMIRA_LISTEN",
        value_name = "ADDR:PORT"
    )]
    pub listen: Option<String>,
    /// Where others reach this server [default: its address on the way to its first peer]
    #[arg(long, env = "SAMIRA_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Where to keep everything [default: ./samira-data]
    #[arg(long, env = "SAMIRA_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Servers of the cluster to join, with a join code; a server that has joined finds the others there if all have moved
    #[arg(long, env = "SAMIRA_PEERS", value_name = "HOST:PORT", value_delimiter = ',')]
    pub peers: Option<Vec<String>>,
    /// One-time code to join with, as another server printed it
    #[arg(long, env = "SAMIRA_JOIN_CODE", value_name = "CODE", hide_env_values = true)]
    pub join_code: Option<String>,
    /// File with that code, so that the command line does not show it; `-` reads it from standard input
    #[arg(long, env = "SAMIRA_JOIN_CODE_FILE", value_name = "FILE")]
    pub join_code_file: Option<PathBuf>,
    /// Id of the cluster this server belongs to, as `node status` shows it: it then founds no other, joins no other, and
    /// takes no directory of another
    #[arg(long, env = "SAMIRA_EXPECT_CLUSTER", value_name = "ID")]
    pub expect_cluster: Option<String>,
    /// Who may speak without TLS; with it everybody may [default: loopback]
    #[arg(long, env = "SAMIRA_PLAINTEXT", value_enum)]
    pub plaintext: Option<Plaintext>,
    /// Whether people may make accounts themselves [default: open]
    #[arg(long, env = "SAMIRA_SIGNUP", value_enum)]
    pub signup: Option<Signup>,
    /// How callers of the original's gRPC package are known that show no token: by the address they logged in from, by their
    /// connection, or not at all [default: address]
    #[arg(long, env = "SAMIRA_LEGACY_GRPC", value_enum)]
    pub legacy_grpc: Option<LegacyGrpc>,
    /// Client connections served at once [default: 10000]
    #[arg(long, env = "SAMIRA_MAX_CLIENTS", value_name = "N")]
    pub max_clients: Option<usize>,
    /// Start although the data directory looks like an older copy, and give up what it lacks of what this server has
    /// acknowledged. Only when nothing newer is left
    #[arg(long)]
    pub trust_data: bool,
    /// Stands for an older release in tests: the newest rule level this server may know.
    #[arg(long, env = "SAMIRA_TEST_RULE_LEVEL", value_name = "LEVEL", hide = true)]
    pub test_rule_level: Option<u16>,
    /// How to log [default: pretty]
    #[arg(long, env = "SAMIRA_LOG", value_enum)]
    pub log: Option<LogFormat>,
}

/// Who may speak without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plaintext {
    /// Clients on this machine.
    Loopback,
    /// Everybody, unencrypted: for networks that are trusted as a whole.
    Any,
    /// Nobody: TLS only.
    Off,
}

/// Whether people may make accounts themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signup {
    /// Anybody who reaches the server.
    Open,
    /// Nobody.
    Closed,
}

/// How callers of the original's gRPC package are known that show no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LegacyGrpc {
    /// A login counts for its address, on every server, for 24 hours: what the original's clients need.
    Address,
    /// A login counts for its connection.
    Connection,
    /// A login counts for nothing; callers show tokens.
    Off,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For eyes.
    Pretty,
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_a_unit_and_a_bound() {
        for (text, seconds) in [("1s", 1), ("90s", 90), ("15m", 900), ("24h", 86_400)] {
            assert_eq!(lifetime(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "s", "0s", "15", "15 m", "-1s", "1d", "25h", "1441m", "99999999999999999999h", "1\u{fc}"] {
            assert!(lifetime(wrong).is_err_and(|error| error.contains("24h")), "{wrong}");
        }
    }

    #[test]
    fn spelled_times_are_read_back() {
        for seconds in [1, 59, 60, 61, 900, 3600, 5400, 86_400] {
            let time = Duration::from_secs(seconds);
            assert_eq!(lifetime(&spelled(time)), Ok(time));
        }
    }
}
