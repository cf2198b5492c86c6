//! The `node` binary: arguments, configuration, run, exit code.
//!
//! Exit codes: 0 done, 1 failed (the reason is the last line on standard error), 2 wrong arguments or configuration, 3 this
//! server was removed from its cluster (starting it again is of no use).

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use clap::Parser;
use node::admin::{self, Request};
use node::cluster::export::export;
use node::config::args::{AuthorityCommand, Cli, Command, MembersCommand, Target};
use node::config::resolved::{Config, data_dir};
use node::{report, run, telemetry, terminal};
use serde::{Deserialize, Serialize};

fn main() -> ExitCode {
    match Cli::parse() {
        Cli { command: None, run } => match Config::resolve(run) {
            Ok(config) => serve(config),
            Err(error) => fail(&error, 2),
        },
        Cli { command: Some(Command::Check { run }), .. } => match Config::resolve(*run) {
            Ok(config) => print(&report::config(&config)),
            Err(error) => fail(&error, 2),
        },
        Cli { command: Some(Command::Status { target, json }), .. } => {
            ask(target, &Request::Status, json, report::status)
        }
        Cli { command: Some(Command::JoinCode { target, valid, json }), .. } => {
            let request = Request::JoinCode { valid_s: valid.map(|valid| valid.as_secs()) };
            ask(target, &request, json, report::join_code)
        }
        Cli { command: Some(Command::Members { command: MembersCommand::List { target, json } }), .. } => {
            ask(target, &Request::Members, json, report::members)
        }
        Cli {
            command: Some(Command::Members { command: MembersCommand::Remove { member, target, json } }), ..
        } => ask(target, &Request::RemoveMember { member }, json, report::removed),
        Cli { command: Some(Command::Authority { command: AuthorityCommand::Export { target, json } }), .. } => {
            match export(&data_dir(target.data_dir)) {
                Ok(exported) => print_for(json, &exported, report::authority),
                Err(error) => fail(&error, 1),
            }
        }
    }
}

/// Asks a running node and prints its answer, for eyes or as JSON.
fn ask<T>(target: Target, request: &Request, json: bool, text: impl FnOnce(&T) -> String) -> ExitCode
where
    T: Serialize + for<'a> Deserialize<'a>,
{
    match admin::ask::<T>(&data_dir(target.data_dir), request) {
        Ok(answer) => print_for(json, &answer, text),
        Err(error) => fail(&error, 1),
    }
}

fn print_for<T: Serialize>(json: bool, answer: &T, text: impl FnOnce(&T) -> String) -> ExitCode {
    if json {
        print(&serde_json::to_string(answer).expect("plain structs have a JSON form"))
    } else {
        print(&text(answer))
    }
}

fn serve(config: Config) -> ExitCode {
    telemetry::start(config.log);
    tell_defects();
    // One thread for everything asynchronous: the heavy work has threads of its own, and more of these only wake
    // each other up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    // A task, because waking the future that a runtime blocks on costs a system call each time.
    let code = match runtime.block_on(async { tokio::spawn(run::run(config)).await }) {
        Ok(Ok(())) => {
            // Without waiting for threads that have not come to an end.
            runtime.shutdown_background();
            return ExitCode::SUCCESS;
        }
        Ok(Err(error)) => fail(&error, if error.is_removal() { 3 } else { 1 }),
        Err(panicked) => fail(&run::RunError::Defect(panicked.to_string()), 1),
    };
    // Nothing is tidied up after a failure: that would wait for a disk that hangs, and flush what nobody vouches for.
    std::mem::forget(runtime);
    code
}

/// Threads of which each alone owns a database: without one of them nothing is answered any more.
const STORAGE_THREADS: [&str; 4] = ["log", "apply", "log-checkpoint", "state-checkpoint"];

/// Says of every panic what it is, and ends the process where nobody else would notice.
fn tell_defects() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        let thread = std::thread::current();
        // Closed or full, standard error must not make a second panic of it.
        terminal::complain(format_args!(
            "node: the lines above are a defect in this program, in its thread {}. Its data directory is left as it is",
            thread.name().unwrap_or("without a name")
        ));
        if thread.name().is_some_and(|name| STORAGE_THREADS.contains(&name)) {
            std::process::exit(1);
        }
    }));
}

fn print(text: &str) -> ExitCode {
    match terminal::answer(text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(format_args!("node: the answer cannot be printed: {error}"));
            ExitCode::from(1)
        }
    }
}

fn fail(error: &(dyn std::error::Error + 'static), code: u8) -> ExitCode {
    terminal::complain(format_args!("node: {}", report::failure(error)));
    ExitCode::from(code)
}
