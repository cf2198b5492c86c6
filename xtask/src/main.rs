//! Samira's developer commands: `cargo xtask` alone lists them.
//!
//! One subcommand per file. They drive the real binaries from outside, as a user would; nothing here links `node`.

mod bench;
mod cargo;
mod chaos;
mod client;
mod cluster;
mod coverage;
mod fuzz;
mod system;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Samira's developer commands", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a local cluster with a live table; Ctrl-C stops all of it
    Cluster(cluster::Args),
    /// Start the desktop client, by default against that cluster
    Client(client::Args),
    /// Measure the codecs, a cluster on this machine, the lines between its nodes, or the desktop client
    Bench(bench::Args),
    /// Feed hostile bytes to everything that takes bytes from strangers
    Fuzz(fuzz::Args),
    /// Break a local cluster again and again under load, and check that every promise is kept
    Chaos(chaos::Args),
    /// Set up what a fresh machine needs, then run every check and test
    Test(test::Args),
    /// Run the tests and show which lines of wire and node they reach
    Coverage(coverage::Args),
    /// Check the directions of dependencies and the habits of this repository
    Tidy,
}

fn main() -> ExitCode {
    if let Some(result) = coverage::wrapped_rustc() {
        return match result {
            Ok(status) if status.success() => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let result = match Cli::parse().command {
        None => {
            list();
            Ok(())
        }
        Some(Command::Cluster(args)) => cluster::run(&args),
        Some(Command::Client(args)) => client::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Fuzz(args)) => fuzz::run(&args),
        Some(Command::Chaos(args)) => chaos::run(&args),
        Some(Command::Test(args)) => test::run(&args),
        Some(Command::Coverage(args)) => coverage::run(&args),
        Some(Command::Tidy) => tidy::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    println!("Commands (each has --help):");
    for command in Cli::command().get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        println!("  cargo xtask {:<10} {about}", command.get_name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_line_about_it() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }
}
