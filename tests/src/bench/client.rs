//! The desktop client from outside: how soon it is there, how much it takes, and whether a very long conversation can be
//! looked through without waiting.
//!
//! Times are those of somebody in front of the screen: from the moment that the program is run, or a key is pressed, until
//! the pixels in question are what they will stay. They are looked at every half a millisecond. Pressing a key takes
//! another program some milliseconds, which are in the figure. How long single frames take, the client measures itself.

use std::fs;
use std::path::Path;
use std::process::Command as Process;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use client_fltk::command::{Answer, Command};
use client_fltk::model::{Target, Text};
use serde::Serialize;
use serde_json::Value;

use super::usage::{process_ticks, resident_bytes, round};
use crate::cluster::{Cluster, built};
use crate::desktop::{Picture, Place, Screen, Starting, Window, command};
use crate::device::{Device, link};
use crate::long::{self, SCREEN, TIMELINE, open_first, shifted, wait_still, words};
use crate::{PATIENCE, now};

/// Conversations of the profile that is started, and messages in each.
const CONVERSATIONS: usize = 10;
const MESSAGES: usize = 1_000;

/// Messages of one device that are on their way at once while the profile is made.
const ON_THEIR_WAY: usize = 32;

/// Starts that are measured.
const STARTS: usize = 10;

/// Times that the long conversation is opened.
const OPENINGS: usize = 5;

/// The first lines of the list, relative to the window: names, last messages and times.
const LIST: Place = (64, 116, 220, 400);

/// Between two looks at the screen.
const LOOK: Duration = Duration::from_micros(500);

/// Pages that are turned with the keyboard, in each direction.
const PAGES: usize = 300;

/// What was measured; scripts rely on these names.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// From running the program until its list is drawn, with what is on disk: the median of all starts.
    pub start_ms: f64,
    /// All of them.
    pub starts_ms: Vec<f64>,
    /// Resident once a conversation is open.
    pub rss_mb: f64,
    /// Of that, what no file lies behind.
    pub rss_anonymous_mb: f64,
    /// Of one core, while nothing happens.
    pub idle_cpu_percent: f64,
    /// The program, without symbols.
    pub binary_mb: f64,
    /// From the key until the newest messages of the long conversation are drawn: the median.
    pub open_ms: f64,
    /// All of them.
    pub opens_ms: Vec<f64>,
    /// The longest time from something that had happened to its drawing, while the long conversation was looked through.
    pub longest_frame_ms: f64,
    /// 99 of 100 take no longer. On a busy machine the longest one tells more of its neighbours.
    pub frame_p99_ms: f64,
    /// Resident afterwards.
    pub long_rss_mb: f64,
    /// What the client itself has measured there, by kind.
    pub frames: Value,
}

/// Measures all of it; `idle` is how long it is watched doing nothing.
///
/// # Errors
/// When the machine lacks something, or the client does not do what it is told.
pub fn run(idle: Duration) -> Result<Measured> {
    let directory = tempfile::tempdir()?;
    let cluster = Cluster::start(3);
    let screen = Screen::start(SCREEN);
    let profile = directory.path().join("profile");
    make_profile(&cluster, directory.path(), &profile)?;
    let binary_mb = stripped_mb(directory.path())?;

    let list = settled(&screen, &profile, LIST, |_| ())?;
    let mut starts_ms = Vec::new();
    for _ in 0..STARTS {
        let (began, starting) = (now(), Starting::new(&screen, &profile, &mut command(&screen, &profile, &[])));
        starts_ms.push(until(began, &screen, LIST, &list)?);
        starting.window().quit();
    }
    let window = Window::open(&screen, &profile, &[]);
    open_first(&window);
    wait_still(&screen)?;
    let (rss_mb, rss_anonymous_mb) = (megabytes(resident_bytes(window.pid())), anonymous_mb(window.pid())?);
    let idle_cpu_percent = idle_percent(window.pid(), idle);
    window.quit();

    let long = directory.path().join("long");
    long::make(&cluster, &long, "peer0")?;
    let newest = settled(&screen, &long, TIMELINE, open_first)?;
    let mut opens_ms = Vec::new();
    for _ in 0..OPENINGS {
        let window = Window::open(&screen, &long, &[]);
        window.focus();
        wait_still(&screen)?;
        let began = now();
        window.press("alt+Down");
        opens_ms.push(until(began, &screen, TIMELINE, &newest)?);
        window.quit();
    }
    let report = directory.path().join("frames.json");
    let window = Window::open(&screen, &long, &["--frames", report.to_str().context("a path in UTF-8")?]);
    long::look_through(&window, &screen, PAGES)?;
    let long_rss_mb = megabytes(resident_bytes(window.pid()));
    window.quit();
    let frames: Value = serde_json::from_slice(&fs::read(&report).context("no report of frames")?)?;
    let frame_ms = |which: &str| {
        let us = frames["frame"][which].as_f64().context("no frame was measured")?;
        anyhow::Ok(round(us / 1e3, 1))
    };
    let (longest_frame_ms, frame_p99_ms) = (frame_ms("longest_us")?, frame_ms("p99_us")?);
    Ok(Measured {
        start_ms: median(&starts_ms),
        starts_ms,
        rss_mb,
        rss_anonymous_mb,
        idle_cpu_percent,
        binary_mb,
        open_ms: median(&opens_ms),
        opens_ms,
        longest_frame_ms,
        frame_p99_ms,
        long_rss_mb,
        frames,
    })
}

/// An account with ten conversations, written by both sides through the cluster, all of it read.
fn make_profile(cluster: &Cluster, directory: &Path, profile: &Path) -> Result<()> {
    let address = || link(&cluster.nodes[0]);
    let mut ann = Device::start(profile, address());
    ann.sign_up("ann");
    for place in 0..CONVERSATIONS {
        let mut peer = Device::start(&directory.join(format!("peer{place}")), address());
        peer.sign_up(&format!("peer{place}"));
        let opened = peer.ask_until_reached(&Command::OpenConversation { username: "ann".into() });
        let Answer::Opened(conversation) = opened else { bail!("to the opening: {opened:?}") };
        for number in 0..MESSAGES {
            let device = if number % 3 == 0 { &mut ann } else { &mut peer };
            while device.open() >= ON_THEIR_WAY {
                device.turn();
            }
            let text = Text(words(number as u64));
            device.send(Command::Send { to: Target::Conversation(conversation), text });
        }
        peer.wait_written();
        ann.wait_written();
        let upto = MESSAGES as u64;
        ann.catch_up();
        ann.wait("all messages", |model| model.conversations[&conversation].last_number == upto);
        ann.ask(Command::MarkRead { conversation, upto })?;
    }
    ann.read_back(true);
    ann.wait_written();
    ann.wait_seen_through();
    Ok(())
}

/// A place of the window as it stays, some time after the program was started and `then` was done.
fn settled(screen: &Screen, profile: &Path, place: Place, then: impl FnOnce(&Window<'_>)) -> Result<Picture> {
    let window = Window::open(screen, profile, &[]);
    window.focus();
    wait_still(screen)?;
    then(&window);
    wait_still(screen)?;
    let picture = screen.picture(shifted(place));
    window.quit();
    if picture.colours() < 16 {
        bail!("nothing is drawn where something is expected");
    }
    Ok(picture)
}

/// Milliseconds since `began` at which the place looks like that.
fn until(began: Instant, screen: &Screen, place: Place, expected: &Picture) -> Result<f64> {
    while screen.picture(shifted(place)) != *expected {
        if began.elapsed() > PATIENCE {
            bail!("the window never looks as it did before");
        }
        thread::park_timeout(LOOK);
    }
    Ok(round(began.elapsed().as_secs_f64() * 1e3, 1))
}

/// How much of one core a process uses while nothing is done with it.
#[expect(clippy::cast_precision_loss, reason = "tick counts of one measurement are small")]
fn idle_percent(pid: u32, idle: Duration) -> f64 {
    let pid = pid.to_string();
    let (before, began) = (process_ticks(&pid), now());
    while began.elapsed() < idle {
        thread::park_timeout(idle.saturating_sub(began.elapsed()));
    }
    let ticks = (process_ticks(&pid) - before) as f64 / rustix::param::clock_ticks_per_second() as f64;
    round(ticks / began.elapsed().as_secs_f64() * 100.0, 2)
}

/// How large the program is without symbols.
fn stripped_mb(directory: &Path) -> Result<f64> {
    let copy = directory.join("stripped");
    let status = Process::new("strip").arg("-o").arg(&copy).arg(built("client-fltk")).status();
    if !status.context("cannot run strip (Debian: binutils)")?.success() {
        bail!("strip fails");
    }
    Ok(megabytes(fs::metadata(copy)?.len()))
}

/// Of what a process has resident, what is its own and nobody's file.
fn anonymous_mb(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(megabytes(kibibytes.context("the kernel counts no anonymous memory")? << 10))
}

#[expect(clippy::cast_precision_loss, reason = "sizes of programs are small")]
fn megabytes(bytes: u64) -> f64 {
    round(bytes as f64 / 1e6, 1)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
