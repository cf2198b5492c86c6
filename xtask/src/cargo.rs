//! Calling cargo, and where this repository is.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::system::DESKTOP;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// The cargo that runs us, in the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // What cargo tells xtask about the package xtask is not for the packages built from here: some build scripts watch
    // these variables, and would run again whenever cargo is called in the other way.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| OF_A_PACKAGE.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(name);
        }
    }
    command
}

/// The package and the program of the desktop client.
const DESKTOP_CLIENT: &str = "client-fltk";

/// Variables that cargo sets for what it runs, each a prefix.
const OF_A_PACKAGE: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];

/// Builds one binary and says where it is.
///
/// # Errors
/// When the build fails; the compiler has then said why.
pub(crate) fn build_binary(binary: &str, release: bool) -> Result<PathBuf> {
    let mut command = cargo();
    // The whole workspace chooses the features of what is below, or half of it would be built again after the tests.
    command.args(["build", "--workspace", "--bin", binary, "--message-format=json-render-diagnostics"]);
    if binary != DESKTOP_CLIENT && !DESKTOP.are_there() {
        // Its library is then built without graphics, as a machine without a screen can.
        command.args(["--exclude", DESKTOP_CLIENT]);
    }
    if release {
        command.arg("--release");
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("{binary} does not build");
    }
    executable(&String::from_utf8_lossy(&output.stdout), binary).with_context(|| format!("cargo built no {binary}"))
}

/// Builds the server and a program that works with it, and hands over to the program, arguments and all.
///
/// # Errors
/// When a build fails, or the program ends without success.
pub(crate) fn hand_over<A: AsRef<OsStr>>(
    program: &str,
    release: bool,
    args: impl IntoIterator<Item = A>,
) -> Result<()> {
    build_binary("node", release)?;
    let path = build_binary(program, release)?;
    let status = Command::new(path).args(args).status().with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} failed ({status})");
    }
    Ok(())
}

/// The path of a binary in cargo's messages, one JSON object per line.
fn executable(messages: &str, binary: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == binary)
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
}

/// All programs in cargo's messages.
pub(crate) fn executables(messages: &str) -> Vec<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"node"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/x/other"}
not json
{"reason":"compiler-artifact","target":{"name":"node"},"executable":"/x/node"}"#;
        assert_eq!(executable(messages, "node"), Some("/x/node".into()));
        assert_eq!(executable(messages, "missing"), None);
        assert_eq!(executables(messages), [PathBuf::from("/x/other"), "/x/node".into()]);
    }
}
