//! What of the system some commands need beside Rust and a C compiler. As root on Debian it is installed; elsewhere it is
//! named, with the line that installs it there.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// How one sees that something is there.
#[derive(Debug, Clone, Copy)]
enum Sign {
    /// A program of that name is on the search path.
    Program(&'static str),
    /// A library that `pkg-config` knows.
    Library(&'static str),
    /// Some font has this letter, in hexadecimal.
    Letter(&'static str),
    /// A file that belongs to it, and no program.
    File(&'static str),
    /// A module that `python3` brings with it, unless a distribution has split it off.
    Module(&'static str),
}

/// Things that belong together.
pub(crate) struct Needs {
    /// Who needs them, with the verb.
    who: &'static str,
    /// What one needs, and Debian's package that has it.
    things: &'static [(Sign, &'static str)],
}

/// FLTK is built from its source with CMake, and draws text with Pango.
pub(crate) const DESKTOP: Needs = Needs {
    who: "the desktop client needs",
    things: &[
        (Sign::Program("g++"), "g++"),
        (Sign::Program("make"), "make"),
        (Sign::Program("cmake"), "cmake"),
        (Sign::Program("pkg-config"), "pkg-config"),
        (Sign::Library("pangocairo"), "libpango1.0-dev"),
        (Sign::Library("pangoxft"), "libpango1.0-dev"),
        (Sign::Library("x11"), "libx11-dev"),
        (Sign::Library("xext"), "libxext-dev"),
        (Sign::Library("xft"), "libxft-dev"),
        (Sign::Library("xinerama"), "libxinerama-dev"),
        (Sign::Library("xcursor"), "libxcursor-dev"),
        (Sign::Library("xrender"), "libxrender-dev"),
        (Sign::Library("xfixes"), "libxfixes-dev"),
    ],
};

/// A screen that nobody looks at, hands for its keyboard and mouse, and letters of several writings: the smallest fonts
/// that have them, 13 MB in all.
pub(crate) const SCREEN: Needs = Needs {
    who: "the tests of the desktop client need",
    things: &[
        (Sign::Program("Xvfb"), "xvfb"),
        (Sign::Program("xdotool"), "xdotool"),
        (Sign::Program("fc-list"), "fontconfig"),
        (Sign::Letter("645"), "fonts-dejavu-core"),
        (Sign::Letter("4e2d"), "fonts-wqy-microhei"),
        (Sign::Letter("1f389"), "fonts-noto-color-emoji"),
    ],
};

/// A bus on which programs tell screen readers what is in their windows. What is looked for beside the bus itself is the
/// file by which the one of screen readers is started.
pub(crate) const SPEECH: Needs = Needs {
    who: "the tests of what screen readers hear need",
    things: &[
        (Sign::Program("dbus-daemon"), "dbus-daemon"),
        (Sign::File("/usr/share/dbus-1/services/org.a11y.Bus.service"), "at-spi2-core"),
    ],
};

/// Cables between network namespaces are laid with `ip`.
pub(crate) const MACHINES: Needs =
    Needs { who: "the tests of separate machines need", things: &[(Sign::Program("ip"), "iproute2")] };

/// An environment of its own for the tests that are clients in Python; what is in it comes from elsewhere.
pub(crate) const PYTHON: Needs = Needs {
    who: "the tests with clients in Python need",
    things: &[(Sign::Program("python3"), "python3"), (Sign::Module("ensurepip"), "python3-venv")],
};

impl Sign {
    fn is_there(self) -> bool {
        match self {
            Sign::Program(name) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
            }
            Sign::Library(name) => said("pkg-config", &["--exists", name]).is_some(),
            Sign::Letter(code) => {
                said("fc-list", &[&format!(":charset={code}"), "file"]).is_some_and(|files| !files.is_empty())
            }
            Sign::File(path) => Path::new(path).is_file(),
            Sign::Module(name) => said("python3", &["-c", &format!("import {name}")]).is_some(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Sign::Program(name) | Sign::Library(name) | Sign::File(name) | Sign::Module(name) => name,
            Sign::Letter(_) => "fonts",
        }
    }
}

impl Needs {
    /// What of it is not there: names, and the packages that bring them, each once.
    fn missing(&self) -> Option<(Vec<&'static str>, Vec<&'static str>)> {
        let missing = || self.things.iter().filter(|(sign, _)| !sign.is_there());
        let once = |mut list: Vec<&'static str>| {
            list.dedup();
            list
        };
        let names = once(missing().map(|(sign, _)| sign.name()).collect());
        (!names.is_empty()).then(|| (names, once(missing().map(|(_, package)| *package).collect())))
    }

    /// Whether all of it is there.
    pub(crate) fn are_there(&self) -> bool {
        self.missing().is_none()
    }

    /// Installs what is missing, where that is possible. Returns what to tell where it is not: what is missing, and how to
    /// get it.
    ///
    /// # Errors
    /// It could be installed, and that failed.
    pub(crate) fn provide(&self) -> Result<Option<String>> {
        let Some((names, packages)) = self.missing() else { return Ok(None) };
        let may_install = rustix::process::geteuid().is_root() && Sign::Program("apt-get").is_there();
        if !may_install {
            return Ok(Some(format!(
                "{} what is missing here: {}. Debian and Ubuntu: apt-get install {}",
                self.who,
                names.join(", "),
                packages.join(" ")
            )));
        }
        println!("   {} {}", self.who, packages.join(" "));
        let install = || apt_get(&[&["install", "--yes", "--no-install-recommends"], &packages[..]].concat());
        // A fresh machine has no lists of packages, or old ones.
        let is_installed = install()? || apt_get(&["update"])? && install()?;
        if !is_installed {
            bail!("apt-get install {} failed", packages.join(" "));
        }
        match self.missing() {
            None => Ok(None),
            Some((names, _)) => bail!("{} are installed, and {} still missing", packages.join(" "), names.join(", ")),
        }
    }
}

/// Runs it with its output as it is; whether it succeeded.
fn apt_get(args: &[&str]) -> Result<bool> {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    Ok(command.status().context("cannot run apt-get")?.success())
}

/// What a program prints, if it succeeds.
fn said(program: impl AsRef<Path>, args: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new(program.as_ref()).args(args).stdin(Stdio::null()).output().ok()?;
    output.status.success().then_some(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_once_with_its_package() {
        let needs = Needs {
            who: "the test needs",
            things: &[
                (Sign::Program("sh"), "dash"),
                (Sign::Program("no-such-program"), "one"),
                (Sign::Library("no-such-library"), "two"),
                (Sign::Library("no-such-library-either"), "two"),
            ],
        };
        let names = vec!["no-such-program", "no-such-library", "no-such-library-either"];
        assert_eq!(needs.missing(), Some((names, vec!["one", "two"])));
        assert!(!needs.are_there());
        assert!(Needs { who: "the test needs", things: &[(Sign::Program("sh"), "dash")] }.are_there());
    }

    #[test]
    fn each_package_stands_in_one_place() {
        // `dedup` above removes neighbours only.
        for needs in [&DESKTOP, &SCREEN, &SPEECH, &MACHINES, &PYTHON] {
            let mut packages: Vec<_> = needs.things.iter().map(|(_, package)| *package).collect();
            packages.dedup();
            let count = packages.len();
            packages.sort_unstable();
            packages.dedup();
            assert_eq!(packages.len(), count, "{}", needs.who);
        }
    }
}
