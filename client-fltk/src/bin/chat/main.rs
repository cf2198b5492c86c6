//! `chat`: a Samira client for terminals, scripts and bots, on the same library as the desktop program.
//!
//! `main` reads the command line and turns outcomes into exit codes; `client` waits for the driver; `commands` does what
//! was asked; `tail` follows; `show` prints for people, `json` for programs; `secret` gets passwords.

mod client;
mod commands;
mod json;
mod secret;
mod show;
mod tail;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use client_fltk::harmless;
use client_fltk::net::driver::Settings;
use client_fltk::options::Options;
use wire::codec::Codec;

/// Talk over a Samira cluster from a terminal
///
/// WHO is somebody's user name, or a conversation by its number: #7 (in quotes, where the shell takes # for a comment). @NAME
/// is always somebody, also one whose name begins with # or @. Passwords are asked for, or taken from SAMIRA_PASSWORD or,
/// with --password-stdin, from standard input.
#[derive(Debug, Parser)]
#[command(
    name = "chat",
    version,
    after_help = "Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no server reached, 4 not logged in",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    options: Options,
    /// One JSON object per line
    #[arg(long, global = true)]
    json: bool,
    /// Read passwords from standard input, one a line
    #[arg(long, global = true)]
    password_stdin: bool,
    /// How long to wait for a server, and for it to keep a message: 10s, 500ms, 2m
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// How to speak, for tests
    #[arg(long, global = true, hide = true, default_value = "samira2")]
    codec: CodecName,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CodecName {
    Samira2,
    Json2,
}

/// What was asked for.
#[derive(Debug, Subcommand)]
enum Command {
    /// Make an account and log in
    Signup {
        /// The user name
        name: String,
        /// What others see; the user name if left out
        #[arg(long)]
        nickname: Option<String>,
    },
    /// Log in
    Login {
        /// The user name
        name: String,
    },
    /// Log this device out and forget everything it holds
    Logout,
    /// Send a message and wait until the cluster keeps it
    Send {
        /// To whom
        who: String,
        /// The message; - reads it from standard input, and -- comes before one that begins with a dash
        #[arg(required = true, num_args = 1..)]
        text: Vec<String>,
        /// Do not wait: leave it in the outbox, and what runs next sends it
        #[arg(long)]
        queue: bool,
    },
    /// Print what is unread, then follow
    Tail {
        /// Only this conversation
        who: Option<String>,
        /// Leave it unread
        #[arg(long)]
        keep_unread: bool,
    },
    /// Print old messages
    History {
        /// With whom
        who: String,
        /// How many
        #[arg(short, long, value_name = "N", default_value_t = 20)]
        number: u64,
        /// Before this message
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        before: u64,
    },
    /// List people; * and ? are wildcards
    Users {
        /// What to look for
        #[arg(default_value = "")]
        pattern: String,
    },
    /// List conversations, newest message first
    Conversations,
    /// Mark everything in a conversation as read
    Read {
        /// With whom
        who: String,
    },
    /// Delete messages of your own, for everybody
    Delete {
        /// With whom
        who: String,
        /// Their numbers, as history shows them
        #[arg(required = true)]
        numbers: Vec<u64>,
    },
    /// List the devices that are logged in, or log one out
    Devices {
        #[command(subcommand)]
        command: Option<DevicesCommand>,
    },
    /// Change what others see
    Nickname {
        /// The new nickname
        text: String,
    },
    /// Change how many unread messages are handed over at a time
    Limit {
        /// From 1
        number: u64,
    },
    /// Change the password; all other devices are logged out
    Passwd,
    /// The account itself
    Account {
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// List messages that are on their way or were refused, or forget one
    Outbox {
        #[command(subcommand)]
        command: Option<OutboxCommand>,
    },
    /// Say how the connection is, and what this profile holds
    Status,
}

#[derive(Debug, Subcommand)]
enum OutboxCommand {
    /// Forget a message that was not sent
    Discard {
        /// Its number, as the list shows it
        number: u64,
    },
}

#[derive(Debug, Subcommand)]
enum DevicesCommand {
    /// Log a device out
    Revoke {
        /// Its id
        id: u64,
    },
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    /// Delete the account; messages stay with those who have them
    Delete {
        /// Do not ask again
        #[arg(long)]
        yes: bool,
    },
}

/// Why the program ends without having done what was asked.
#[derive(Debug)]
enum Stop {
    /// The cluster, or this program, says no.
    Refused(String),
    /// The command line makes no sense here.
    Usage(String),
    /// No server answers.
    Unreachable(String),
    /// Nobody is logged in.
    NotLoggedIn(String),
    /// Nobody reads what is printed any more.
    OutputClosed,
}

impl Stop {
    fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::NotLoggedIn(_) => 4,
            Self::OutputClosed => 0,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Refused(text) | Self::Usage(text) | Self::Unreachable(text) | Self::NotLoggedIn(text) => text,
            Self::OutputClosed => "",
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            if !stop.text().is_empty() {
                if json {
                    eprintln!("{}", harmless::json(&json::error(stop.code(), stop.text())));
                } else {
                    eprintln!("chat: {}", harmless::for_terminal(stop.text()));
                }
            }
            ExitCode::from(stop.code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Stop> {
    let codec = match cli.codec {
        CodecName::Samira2 => Codec::Samira2,
        CodecName::Json2 => Codec::Json2,
    };
    let settings = cli.options.into_settings().map_err(|error| Stop::Usage(error.to_string()))?;
    let settings = Settings { codec, ..settings };
    let secrets = secret::Source { stdin: cli.password_stdin };
    commands::run(cli.command, settings, &secrets, cli.timeout, cli.json)
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit_ms) = if let Some(number) = text.strip_suffix("ms") {
        (number, 1)
    } else if let Some(number) = text.strip_suffix('s') {
        (number, 1_000)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 60_000)
    } else {
        (text, 1_000)
    };
    let number: u64 = number.parse().map_err(|_| "a number and a unit are expected: 10s, 500ms, 2m".to_owned())?;
    // A day is longer than anybody waits for a message.
    match number.checked_mul(unit_ms) {
        Some(ms @ ..=86_400_000) => Ok(Duration::from_millis(ms)),
        _ => Err("at most a day".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        let check =
            |text, expected: Option<u64>| assert_eq!(duration(text).ok().map(|time| time.as_millis() as u64), expected);
        check("10s", Some(10_000));
        check("500ms", Some(500));
        check("2m", Some(120_000));
        check("3", Some(3_000));
        check("1441m", None);
        check("x", None);
        check("", None);
        check("-1s", None);
    }

    #[test]
    fn messages_may_begin_with_a_dash() {
        let cli = Cli::try_parse_from(["chat", "send", "bo", "--", "-x", "y"]).unwrap();
        assert!(matches!(cli.command, Command::Send { text, .. } if text == ["-x", "y"]));
        let cli = Cli::try_parse_from(["chat", "send", "bo", "-"]).unwrap();
        assert!(matches!(cli.command, Command::Send { text, queue: false, .. } if text == ["-"]));
        // Options may come last; what looks like one is not sent by mistake.
        let cli = Cli::try_parse_from(["chat", "send", "bo", "a", "b", "--queue", "--json"]).unwrap();
        assert!(cli.json && matches!(cli.command, Command::Send { text, queue: true, .. } if text == ["a", "b"]));
        assert!(Cli::try_parse_from(["chat", "send", "bo", "--quue"]).is_err());
    }
}
