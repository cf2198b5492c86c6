//! `cargo xtask fuzz`: libFuzzer on what takes bytes from strangers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use fuzz_targets::{TARGETS, Target, seeds};

use crate::cargo::{cargo, root};

/// Runs the targets; the sanitizers it asks for are still unstable flags of the compiler.
const CARGO_FUZZ: &str = "0.13.2";

/// One allocation of more than this is a finding, MB: nothing that is fuzzed has a reason to make it.
const ALLOCATION_MAX_MB: u32 = 64;

/// Bytes of one input. The targets' own bounds are small or reached by one announced length.
const INPUT_BYTES_MAX: u32 = 4096;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which target; all if none is named
    target: Option<String>,
    /// How long to run each, in seconds
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Only list the targets
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    println!("Targets:");
    for Target { name, about, .. } in TARGETS {
        println!("  {name:<12} {about}");
    }
    if args.list {
        return Ok(());
    }
    let chosen: Vec<&Target> =
        TARGETS.iter().filter(|target| args.target.as_deref().is_none_or(|name| name == target.name)).collect();
    if chosen.is_empty() {
        bail!("no such target; the list is above");
    }
    let cargo_fuzz = set_up()?;
    let mut campaigns = Vec::new();
    for target in chosen {
        println!("\n== {}, {} s", target.name, args.seconds);
        campaigns.push(fuzz(&cargo_fuzz, target, args.seconds)?);
    }
    println!("\n{:<12} {:>12} {:>8} {:>9} {:>8}  result", "target", "executions", "edges", "features", "corpus");
    for Campaign { target, figures, found } in &campaigns {
        let Figures { executions, edges, features, corpus } = figures;
        let result = if found.is_some() { "FAILED" } else { "clean" };
        println!("{target:<12} {executions:>12} {edges:>8} {features:>9} {corpus:>8}  {result}");
    }
    let mut failed = false;
    for (target, found) in campaigns.iter().filter_map(|campaign| Some((campaign.target, campaign.found.as_ref()?))) {
        failed = true;
        println!("\n{target} failed. Once more with the same input:");
        println!("  RUSTC_BOOTSTRAP=1 {} fuzz run --fuzz-dir tests/fuzz {target} {found}", cargo_fuzz.display());
        println!("When it is fixed, keep the input as tests/fuzz/regressions/{target}/WHAT-WAS-WRONG.");
    }
    if failed {
        bail!("fuzzing found something");
    }
    Ok(())
}

/// Installs what is missing, and returns the program.
fn set_up() -> Result<PathBuf> {
    let tools = root().join("target").join("tools");
    let program = tools.join("bin").join("cargo-fuzz");
    let version = Command::new(&program).args(["fuzz", "--version"]).output();
    if version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with(CARGO_FUZZ)) {
        return Ok(program);
    }
    println!("\n== cargo-fuzz {CARGO_FUZZ}");
    let mut install = cargo();
    install.args(["install", "cargo-fuzz", "--locked", "--force", "--version"]).arg(format!("={CARGO_FUZZ}"));
    install.arg("--debug").arg("--root").arg(&tools);
    if !install.status().context("cannot run cargo")?.success() {
        bail!("cargo-fuzz could not be installed");
    }
    Ok(program)
}

/// What came of one target.
struct Campaign {
    target: &'static str,
    figures: Figures,
    /// The input that failed, or where libFuzzer says more.
    found: Option<String>,
}

fn fuzz(cargo_fuzz: &Path, target: &Target, seconds: u32) -> Result<Campaign> {
    let fuzz_dir = root().join("tests").join("fuzz");
    let corpus = fuzz_dir.join("corpus").join(target.name);
    let written = seeds_into(&corpus.with_extension("seeds"), target)?;
    fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let mut command = Command::new(cargo_fuzz);
    command.args(["fuzz", "run", "--fuzz-dir"]).arg(&fuzz_dir).arg(target.name).arg(&corpus).arg(&written);
    command.args(["--", "-print_final_stats=1", "-timeout=10"]);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-max_len={INPUT_BYTES_MAX}"));
    command.arg(format!("-malloc_limit_mb={ALLOCATION_MAX_MB}"));
    // The compiler is the stable one; sanitizers and coverage counters are behind its unstable flags.
    command.env("RUSTC_BOOTSTRAP", "1").current_dir(root());
    let mut child = command.stderr(Stdio::piped()).spawn().context("cannot run cargo-fuzz")?;
    let output = child.stderr.take().expect("stderr was asked for");
    let mut figures = Figures::default();
    let mut artifact = None;
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        figures.read(&line);
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            artifact = Some(path.trim().to_owned());
        }
        // Each new path through the code is a line; only the milestones are news.
        if !["NEW ", "NEW_FUNC", "REDUCE "].iter().any(|word| line.contains(word)) {
            eprintln!("{line}");
        }
    }
    let clean = child.wait()?.success();
    if !clean && figures.executions == 0 {
        bail!("{} did not run; the reason is above", target.name);
    }
    let found = (!clean).then(|| artifact.unwrap_or_else(|| "(no input was kept; see above)".into()));
    Ok(Campaign { target: target.name, figures, found })
}

/// Writes what fuzzing starts from, anew each time.
fn seeds_into(folder: &Path, target: &Target) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let regressions = seeds::regressions(target.name).into_iter().map(|(_, input)| input);
    for (number, seed) in (target.seeds)().into_iter().chain(regressions).enumerate() {
        fs::write(folder.join(format!("{number:05}")), seed).context("cannot write a seed")?;
    }
    Ok(folder.to_owned())
}

/// What libFuzzer says of its work.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    executions: u64,
    /// Edges between pieces of code that were taken.
    edges: u64,
    /// Edges, told apart by how often they were taken, and other signs of new behaviour.
    features: u64,
    /// Inputs kept because each shows something new.
    corpus: u64,
}

impl Figures {
    /// Reads one line: `#1024 pulse cov: 396 ft: 972 corp: 158/4432b ...` or `stat::number_of_executed_units: 2048`.
    fn read(&mut self, line: &str) {
        if let Some(executed) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = executed.trim().parse().unwrap_or(self.executions);
        }
        let Some(progress) = line.strip_prefix('#') else { return };
        let mut words = progress.split_whitespace();
        let number = |word: Option<&str>| word.and_then(|word| word.split('/').next()?.parse().ok());
        let Some(executions) = number(words.next()) else { return };
        self.executions = executions;
        while let Some(word) = words.next() {
            let figure = match word {
                "cov:" => &mut self.edges,
                "ft:" => &mut self.features,
                "corp:" => &mut self.corpus,
                _ => continue,
            };
            *figure = number(words.next()).unwrap_or(*figure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libfuzzers_figures_are_read() {
        let mut figures = Figures::default();
        figures.read("INFO: seed corpus: files: 158 min: 1b max: 4432b total: 9b rss: 30Mb");
        assert_eq!(figures, Figures::default());
        figures.read("#159\tINITED cov: 396 ft: 972 corp: 120/4432b exec/s: 0 rss: 44Mb");
        assert_eq!(figures, Figures { executions: 159, edges: 396, features: 972, corpus: 120 });
        figures.read("#2048\tpulse  cov: 401 ft: 990 corp: 131/4432b lim: 99 exec/s: 1024 rss: 45Mb");
        figures.read("stat::number_of_executed_units: 3000");
        assert_eq!(figures, Figures { executions: 3000, edges: 401, features: 990, corpus: 131 });
    }

    /// Every target has its program, and every program its target.
    #[test]
    fn targets_and_programs_agree() {
        let mut programs: Vec<String> = fs::read_dir(root().join("tests/fuzz/fuzz_targets"))
            .expect("the programs")
            .map(|entry| entry.expect("readable").path().file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        programs.sort();
        let mut targets: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        targets.sort_unstable();
        assert_eq!(programs, targets);
    }
}
