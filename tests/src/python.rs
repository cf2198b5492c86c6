//! Clients in Python: the programs of tests/python.

use std::process::Command;

use crate::cluster::run_to_end;

/// The root of the project.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The command that runs a program of tests/python in the root of the project.
pub fn program(interpreter: impl AsRef<std::ffi::OsStr>, name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(interpreter);
    // Nothing is left behind in the source tree.
    command.arg("-B").arg(format!("{ROOT}/tests/python/{name}")).args(args).current_dir(ROOT);
    command
}

/// Runs a program to its end and tells what it has said.
///
/// # Panics
/// When it cannot be run, or does not end well.
pub fn run(name: &str, command: &mut Command) {
    let output = run_to_end(command);
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} ended with {}:\n{said}{why}", output.status);
    println!("{said}");
}
