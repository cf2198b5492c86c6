//! `cargo xtask test`: everything that has to hold, on a machine that has only Rust and a C compiler.

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, root};
use crate::coverage::{self, Coverage};
use crate::system::{DESKTOP, MACHINES, PYTHON, SCREEN, SPEECH};
use crate::tidy;

/// The microcontroller that `wire` is built for: a Cortex-M4F, without an operating system.
const BARE_METAL: &str = "thumbv7em-none-eabihf";

/// The golden file runner; its version moves together with the `insta` library.
const CARGO_INSTA: &str = "1.49.0";

/// What the tests with clients in Python import.
const PYTHON_PACKAGES: [&str; 4] =
    ["grpcio==1.85.3", "grpcio-tools==1.85.1", "grpcio-health-checking==1.85.1", "grpcio-reflection==1.85.1"];

/// Prints which of the packages it is given are there, in the same words.
const PYTHON_VERSIONS: &str = "import sys, importlib.metadata as there\n\
    print(*(f'{name}=={there.version(name)}' for name in (want.split('==')[0] for want in sys.argv[1:])))";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out clippy, the documentation and the coverage
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let tools = set_up()?;
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    heading("tidy");
    tidy::run()?;
    if !args.quick {
        step(
            "clippy",
            cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]),
        )?;
    }
    let bare = ["build", "--package", "wire", "--no-default-features", "--locked", "--target", BARE_METAL];
    step("wire without std or an allocator", cargo().args(bare))?;
    step("wire without std", cargo().args(bare).args(["--features", "alloc"]))?;
    if !args.quick {
        let mut doc = cargo();
        doc.args(["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"]);
        doc.env("RUSTDOCFLAGS", "--deny warnings");
        step("documentation", &mut doc)?;
    }
    let mut goldens = cargo();
    goldens.args(["insta", "test", "--package", "snapshots", "--unreferenced=reject", "--check"]).env("PATH", tools);
    step("goldens: none changed, none left over", &mut goldens)?;
    let coverage = if args.quick { None } else { Some(Coverage::begin()?) };
    let counts = tests(coverage.as_ref())?;
    let mut figure = None;
    if let Some(coverage) = coverage {
        coverage.end()?;
        figure = Some(coverage::report()?);
    }
    println!("\n{counts}");
    if counts.failed > 0 || !counts.all_ran {
        bail!("not every test passed");
    }
    if let Some(figure) = figure {
        println!("{figure}");
        if figure.percent() < coverage::PERCENT_MIN {
            bail!("at least {} % are wanted; cargo xtask coverage --last shows the lines", coverage::PERCENT_MIN);
        }
    }
    Ok(())
}

/// Fetches what is missing, and returns the search path that finds it.
pub(crate) fn set_up() -> Result<OsString> {
    heading("set-up");
    rustup_add("target", BARE_METAL, |installed| installed == BARE_METAL)?;
    for component in ["rustfmt", "clippy", "llvm-tools"] {
        rustup_add("component", component, |installed| installed.starts_with(component))?;
    }
    if let Some(missing) = DESKTOP.provide()? {
        bail!("{missing}");
    }
    // Without these, the tests that need them say so and are left out.
    for needs in [&SCREEN, &SPEECH, &MACHINES] {
        if let Some(missing) = needs.provide()? {
            println!("   {missing}");
        }
    }
    if let Err(missing) = python() {
        println!("   the tests with clients in Python are left out: {missing:#}");
    }
    let tools = root().join("target").join("tools");
    let bin = tools.join("bin");
    let insta = bin.join("cargo-insta");
    let version = Command::new(&insta).arg("--version").output();
    let current = version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with(CARGO_INSTA));
    if !current {
        let mut install = cargo();
        install.args(["install", "cargo-insta", "--locked", "--force", "--version"]).arg(format!("={CARGO_INSTA}"));
        // Optimising a tool that starts a handful of times would take longer than it saves.
        install.arg("--debug").arg("--root").arg(&tools);
        step("cargo-insta", &mut install)?;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths: Vec<PathBuf> = std::iter::once(bin).chain(std::env::split_paths(&path)).collect();
    Ok(std::env::join_paths(paths)?)
}

/// Makes the environment of the tests with clients in Python, where they look for it, unless it is there.
///
/// # Errors
/// It cannot be had here.
fn python() -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let home = root().join(target).join("python");
    let interpreter = home.join("bin").join("python");
    let versions = Command::new(&interpreter).args(["-c", PYTHON_VERSIONS]).args(PYTHON_PACKAGES).output();
    if versions.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == PYTHON_PACKAGES.join(" ")) {
        return Ok(());
    }
    if let Some(missing) = PYTHON.provide()? {
        bail!("{missing}");
    }
    let made = step("Python", Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home)).and_then(|()| {
        // A package that would have to be compiled takes longer than its tests are worth.
        let mut install = Command::new(&interpreter);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
        step("gRPC for Python", install.args(PYTHON_PACKAGES))
    });
    if made.is_err() {
        // Half of it would be taken for all of it. If it cannot be removed, it was not made.
        let _ = std::fs::remove_dir_all(&home);
    }
    made
}

/// Adds a target or component unless it is there.
fn rustup_add(kind: &str, name: &str, is_it: impl Fn(&str) -> bool) -> Result<()> {
    let listed = Command::new("rustup").args([kind, "list", "--installed"]).current_dir(root()).output();
    let listed = listed.with_context(|| format!("rustup is needed to have the {kind} {name}: https://rustup.rs"))?;
    if String::from_utf8_lossy(&listed.stdout).lines().any(|line| is_it(line.trim())) {
        return Ok(());
    }
    step(&format!("{kind} {name}"), Command::new("rustup").args([kind, "add", name]).current_dir(root()))
}

fn heading(name: &str) {
    println!("\n== {name}");
}

/// Runs one command, with its output as it is.
fn step(name: &str, command: &mut Command) -> Result<()> {
    heading(name);
    let started = now();
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    if !status.success() {
        bail!("{name} failed ({status}): {}", line(command));
    }
    println!("   {:.1} s", started.elapsed().as_secs_f32());
    Ok(())
}

/// A command as one would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// What the test runner counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Cargo was content: everything built, and no test program crashed.
    all_ran: bool,
}

impl Counts {
    /// Adds one `test result: ok. 3 passed; 0 failed; 1 ignored; ...` line; other lines count nothing.
    fn add(&mut self, line: &str) {
        let Some((_, figures)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for figure in figures.split(';') {
            let mut words = figure.split_whitespace();
            let Some(count) = words.next().and_then(|word| word.parse::<u64>().ok()) else { continue };
            match words.next() {
                Some("passed") => self.passed += count,
                Some("failed") => self.failed += count,
                Some("ignored") => self.ignored += count,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)
    }
}

/// Runs all tests to the end, whatever fails, and adds up the runner's own figures.
pub(crate) fn tests(coverage: Option<&Coverage>) -> Result<Counts> {
    heading("tests");
    let started = now();
    let mut command = cargo();
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]).env("INSTA_UPDATE", "no");
    if let Some(coverage) = coverage {
        coverage.instrument(&mut command);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let output = child.stdout.take().expect("stdout was asked for");
    let mut counts = Counts::default();
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        counts.add(&String::from_utf8_lossy(&line));
    }
    counts.all_ran = child.wait()?.success();
    writeln!(out, "   {:.1} s", started.elapsed().as_secs_f32())?;
    Ok(counts)
}

#[expect(clippy::disallowed_methods, reason = "a developer command has no clock to inject")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_figures_are_added_up() {
        let mut counts = Counts::default();
        counts.add("running 3 tests");
        counts.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        counts.add("test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 9 filtered out");
        assert_eq!(counts, Counts { passed: 8, failed: 2, ignored: 1, all_ran: false });
    }
}
