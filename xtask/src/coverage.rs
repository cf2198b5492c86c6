//! `cargo xtask coverage`: which lines of `wire` and `node` the tests run.
//!
//! Only this workspace is compiled with counters: xtask stands in front of rustc for its crates (`RUSTC_WORKSPACE_WRAPPER`),
//! so that all other crates are those of any build, and cargo keeps both kinds of our own beside each other. Every program
//! that ends in good order, nodes of end-to-end tests included, adds its counters to a few shared files; one that is killed
//! does not.
//!
//! The figure counts lines of code that are in a program; tests beside the code do not count, neither way.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, executables, root};

/// Below this, `cargo xtask test` fails.
pub(crate) const PERCENT_MIN: f64 = 80.0;

/// Set for the copy of xtask that stands in front of rustc.
const WRAPPER: &str = "XTASK_AS_RUSTC";

/// Programs write into so many files in turn, which bounds the space they take.
const POOL: usize = 4;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Report on the last run instead of running the tests again
    #[arg(long)]
    last: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if !args.last {
        crate::test::set_up()?;
        let coverage = Coverage::begin()?;
        let counts = crate::test::tests(Some(&coverage))?;
        coverage.end()?;
        println!("\n{counts}");
    }
    let figure = report()?;
    html()?;
    println!("{figure}\n{}", directory().join("html").join("index.html").display());
    Ok(())
}

/// A run of tests with counters.
pub(crate) struct Coverage {
    wrapper: PathBuf,
}

impl Coverage {
    /// Forgets what was counted before.
    pub(crate) fn begin() -> Result<Coverage> {
        let counters = directory().join("counters");
        match fs::remove_dir_all(&counters) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("cannot remove the counters of the last run");
            }
            _ => fs::create_dir_all(&counters)?,
        }
        // A copy: the tests build xtask as well, in place of the one that runs.
        let wrapper = directory().join("rustc-with-counters");
        fs::copy(std::env::current_exe()?, &wrapper).context("cannot copy xtask")?;
        Ok(Coverage { wrapper })
    }

    /// Keeps the programs that counted, for the report: the next build puts others in their places.
    pub(crate) fn end(&self) -> Result<()> {
        let programs = directory().join("programs");
        if programs.exists() {
            fs::remove_dir_all(&programs)?;
        }
        fs::create_dir_all(&programs)?;
        for what in [&["test", "--no-run"][..], &["build", "--bins"]] {
            let mut command = cargo();
            command.args(what).args(["--workspace", "--locked", "--quiet", "--message-format=json-render-diagnostics"]);
            self.instrument(&mut command);
            let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
            if !output.status.success() {
                bail!("the programs that counted cannot be built again ({})", output.status);
            }
            for program in executables(&String::from_utf8_lossy(&output.stdout)) {
                let name = program.file_name().context("a program has a name")?;
                // Cargo names programs in both answers.
                if !programs.join(name).exists() {
                    fs::hard_link(&program, programs.join(name)).with_context(|| format!("{}", program.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Makes a cargo command, and what it runs, count.
    pub(crate) fn instrument(&self, command: &mut Command) {
        let counters = directory().join("counters").join(format!("%{POOL}m.profraw"));
        command.env("RUSTC_WORKSPACE_WRAPPER", &self.wrapper).env(WRAPPER, "1").env("LLVM_PROFILE_FILE", counters);
    }
}

/// If this program stands in front of rustc: does its work.
pub(crate) fn wrapped_rustc() -> Option<Result<ExitStatus>> {
    std::env::var_os(WRAPPER)?;
    let mut arguments = std::env::args_os().skip(1);
    let rustc = arguments.next().filter(|program| Path::new(program).file_stem() == Some(OsStr::new("rustc")))?;
    let arguments: Vec<OsString> = arguments.collect();
    let mut command = Command::new(rustc);
    command.args(&arguments).args(["-C", "instrument-coverage"]);
    Some(command.status().context("cannot run rustc"))
}

/// Lines that are code, and those of them that ran.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Lines {
    all: usize,
    run: usize,
}

impl Lines {
    #[expect(clippy::cast_precision_loss, reason = "lines of code fit 52 bits")]
    fn percent(self) -> f64 {
        if self.all == 0 { 0.0 } else { self.run as f64 * 100.0 / self.all as f64 }
    }
}

/// Adds up what was counted, and writes it into `lines.lcov`.
pub(crate) fn report() -> Result<Figure> {
    let directory = directory();
    let counters: Vec<PathBuf> = fs::read_dir(directory.join("counters"))
        .context("nothing was counted yet: run without --last")?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    // A program that is killed while it writes leaves one file damaged; the others count.
    let mut merge = tool("llvm-profdata")?;
    merge.args(["merge", "--sparse", "--failure-mode=all", "--output"]).arg(directory.join("merged.profdata"));
    succeed(merge.args(counters))?;
    let mut export = llvm_cov("export")?;
    let lcov = fs::File::create(directory.join("lines.lcov"))?;
    succeed(export.arg("--format=lcov").stdout(lcov))?;
    figure(&fs::read_to_string(directory.join("lines.lcov"))?, |path| fs::read_to_string(path).ok())
}

/// Writes the report for eyes.
pub(crate) fn html() -> Result<()> {
    let mut show = llvm_cov("show")?;
    show.args(["--format=html", "--show-directory-coverage", "--output-dir"]).arg(directory().join("html"));
    succeed(&mut show)
}

/// `llvm-cov` for the sources of `wire` and `node`, in all programs that have counters of them.
fn llvm_cov(command: &str) -> Result<Command> {
    let mut cov = tool("llvm-cov")?;
    cov.arg(command).arg("--instr-profile").arg(directory().join("merged.profdata"));
    let ours = root().display();
    cov.arg(format!(
        "--ignore-filename-regex=^{ours}/(tests|xtask|snapshots|target)/|/tests/|/tests.rs$|^/rustc/|/registry/"
    ));
    for program in fs::read_dir(directory().join("programs")).context("nothing was counted yet: run without --last")? {
        cov.arg("--object").arg(program?.path());
    }
    Ok(cov)
}

/// One of the tools that come with the compiler, and read what it writes.
fn tool(name: &str) -> Result<Command> {
    let output = Command::new("rustc").args(["--print", "target-libdir"]).current_dir(root()).output();
    let output = output.context("cannot run rustc")?;
    let libraries = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    let tools = libraries.parent().context("the libraries lie beside the tools")?.join("bin");
    Ok(Command::new(tools.join(name)))
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} failed ({status})", command.get_program().display());
    }
    Ok(())
}

fn directory() -> PathBuf {
    root().join("target").join("coverage")
}

/// What was found, per crate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    crates: BTreeMap<&'static str, Lines>,
}

impl Figure {
    /// Lines that ran, of all lines, in per cent.
    pub(crate) fn percent(&self) -> f64 {
        self.total().percent()
    }

    fn total(&self) -> Lines {
        self.crates
            .values()
            .fold(Lines::default(), |sum, lines| Lines { all: sum.all + lines.all, run: sum.run + lines.run })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, lines) in &self.crates {
            write!(f, "{name} {:.1} %, ", lines.percent())?;
        }
        let Lines { all, run } = self.total();
        write!(f, "together {:.1} % of lines ({run} of {all})", self.percent())
    }
}

/// Adds up an lcov file. `source` reads a file, to find where its tests begin.
fn figure(lcov: &str, source: impl Fn(&Path) -> Option<String>) -> Result<Figure> {
    let mut crates = BTreeMap::from([("node", Lines::default()), ("wire", Lines::default())]);
    let mut file: Option<(&'static str, usize)> = None;
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let path = Path::new(path);
            let inside = path.strip_prefix(root()).unwrap_or(path);
            let name = crates.keys().copied().find(|name| inside.starts_with(Path::new(name).join("src")));
            file = name.map(|name| (name, source(path).as_deref().map_or(usize::MAX, code_lines)));
        } else if let (Some(data), Some((name, code))) = (line.strip_prefix("DA:"), file) {
            let mut fields = data.split(',');
            let mut field = || fields.next().and_then(|field| field.parse::<u64>().ok());
            let (number, count) = (field().context("a line has a number")?, field().context("a line has a count")?);
            if usize::try_from(number).is_ok_and(|number| number <= code) {
                let lines = crates.get_mut(name).expect("it is one of the keys");
                lines.all += 1;
                lines.run += usize::from(count > 0);
            }
        }
    }
    Ok(Figure { crates })
}

/// Lines in front of the tests, which stand at the end of a file.
fn code_lines(source: &str) -> usize {
    let mut lines = source.lines().zip(source.lines().skip(1));
    let tests = lines.position(|(one, next)| {
        one.starts_with("#[cfg(") && one.contains("test") && next.starts_with("mod ") && next.ends_with('{')
    });
    tests.unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_code_are_added_up_and_those_of_tests_are_not() {
        let at = |path: &str| root().join(path).display().to_string();
        let lcov = format!(
            "SF:{}\nDA:1,5\nDA:2,0\nDA:5,9\nend_of_record\nSF:{}\nDA:1,1\nend_of_record\nSF:{}\nDA:1,0\n",
            at("wire/src/lib.rs"),
            at("node/src/run.rs"),
            at("xtask/src/main.rs"),
        );
        let source = "fn one() {}\nfn two() {}\n#[cfg(test)]\nmod tests {\n    fn five() {}\n}\n";
        let figure = figure(&lcov, |path| path.ends_with("lib.rs").then(|| source.to_owned())).unwrap();
        assert_eq!(
            figure.crates,
            BTreeMap::from([("node", Lines { all: 1, run: 1 }), ("wire", Lines { all: 2, run: 1 })])
        );
        assert_eq!(figure.to_string(), "node 100.0 %, wire 50.0 %, together 66.7 % of lines (2 of 3)");
    }
}
