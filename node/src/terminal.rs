//! Standard output and standard error. Either may be full, or read by nobody: a server goes on without them.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints the answer to a command.
///
/// # Errors
/// It could not be written. A reader that has seen enough (`| head -1`) is no error.
pub fn answer(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Prints what a running server has to say to whoever is in front of it.
pub fn say(text: impl Display) {
    let mut out = io::stdout().lock();
    // Nobody has to listen.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints why a command or a server has failed; the exit code says it too.
pub fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
