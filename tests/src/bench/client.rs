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
use client_fltk::env::Clock;
use client_fltk::model::{Delta, Marks, Message, Target, Text, Way};
use client_fltk::store::Store;
use serde::Serialize;
use serde_json::Value;

use super::usage::{process_ticks, resident_bytes, round};
use crate::cluster::{Cluster, built};
use crate::desktop::{Picture, Place, Screen, Starting, Window, command};
use crate::device::{Device, link};
use crate::{PATIENCE, now, wait_until};

/// Conversations of the profile that is started, and messages in each.
const CONVERSATIONS: usize = 10;
const MESSAGES: usize = 1_000;

/// Messages of one device that are on their way at once while the profile is made.
const ON_THEIR_WAY: usize = 32;

/// Starts that are measured.
const STARTS: usize = 10;

/// Times that the long conversation is opened.
const OPENINGS: usize = 5;

/// Messages of the long conversation, and how many are written to disk at once while it is made.
const LONG: u64 = 1_000_000;
const LONG_STEP: u64 = 10_000;

/// Pages that are turned with the keyboard, in each direction.
const PAGES: usize = 300;

/// Places of the mouse on its way along the scroll bar.
const DRAGS: i32 = 150;

/// The screen.
const SCREEN: (u32, u32) = (1280, 800);

/// The window as it opens by itself: where on the screen, and how large.
const WINDOW: (i32, i32) = (1100, 720);

/// The first lines of the list, relative to the window: names, last messages and times.
const LIST: Place = (64, 116, 220, 400);

/// Messages, relative to the window, without the scroll bar.
const TIMELINE: Place = (320, 80, 740, 500);

/// How long nothing may change on the screen for it to stay as it is.
const STILL: Duration = Duration::from_millis(700);

/// Between two looks at the screen.
const LOOK: Duration = Duration::from_micros(500);

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
    make_long(&cluster, &long)?;
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
    look_through(&window, &screen)?;
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

/// What somebody says: short and long, in several writings.
fn words(number: u64) -> String {
    const WORDS: [&str; 8] = [
        "ok",
        "The backup is done, and the second node is back.",
        "Can you look at the power supply in rack 3? It hums again, and the last one did that two days before it died.",
        "バックアップは完了しました",
        "👍",
        "See https://example.org/wiki/power?rack=3 for what we did the last time.\nI have ordered another one.",
        "It rains.",
        "مرحبا",
    ];
    let text = WORDS[usize::try_from(number).unwrap_or(0) % WORDS.len()];
    if number.is_multiple_of(97) { [text; 12].join(" ") } else { format!("{text} ({number})") }
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

/// An account with one conversation that is far longer on its disk than at the cluster, which tells nothing of it.
fn make_long(cluster: &Cluster, profile: &Path) -> Result<()> {
    let mut device = Device::start(profile, link(&cluster.nodes[0]));
    device.sign_up("historian");
    let opened = device.ask_until_reached(&Command::OpenConversation { username: "peer0".into() });
    let Answer::Opened(conversation) = opened else { bail!("to the opening: {opened:?}") };
    let me = device.model.me();
    let peer = device.model.person_named("peer0").context("who was found is known")?.user;
    device.wait_written();
    drop(device);
    let (mut store, mut model) = Store::open(&profile.join("profile.db"))?;
    let now_ms = Clock::start().unix_ms();
    let marks = Marks { delivered: LONG, read: LONG };
    let mut deltas: Vec<_> = [me, peer].map(|user| Delta::Mark { conversation, user, marks }).into();
    for first in (1..=LONG).step_by(usize::try_from(LONG_STEP)?) {
        deltas.extend((first..first + LONG_STEP).map(|number| {
            let sender = if number % 3 == 0 { me } else { peer };
            let time_ms = now_ms - (LONG - number) * 20_000;
            let text = Text(words(number));
            let message = Message { number, id: number, sender, time_ms, text, ..Message::default() };
            Delta::Message { conversation, message, way: Way::Stream }
        }));
        model.apply_all(&deltas);
        store.commit(&deltas, &model)?;
        model.trim(None);
        deltas.clear();
    }
    Ok(())
}

/// Opens the first conversation of the list.
fn open_first(window: &Window<'_>) {
    window.focus();
    let before = window.title();
    window.press("alt+Down");
    wait_until("a conversation", || window.title() != before);
}

/// Looks at what lies at both ends of the conversation and between.
fn look_through(window: &Window<'_>, screen: &Screen) -> Result<()> {
    open_first(window);
    // The pointer would be in the picture.
    window.point(0, WINDOW.1 + 20);
    // Out of the empty writing field, to the messages.
    window.press("Up");
    let mut before = screen.picture(shifted(TIMELINE));
    for (far, near) in [("Home", "Page_Down"), ("End", "Page_Up")] {
        window.press(far);
        before = moved(screen, &before).context(far)?;
        window.press_often(near, PAGES);
        before = moved(screen, &before).context(near)?;
    }
    window.press("End");
    // All the way up and down again, at the right edge, where the scroll bar is.
    let (x, top, bottom) = (WINDOW.0 - 6, 66, WINDOW.1 - 104);
    let down = |step: i32| (x, top + (bottom - top) * step / DRAGS);
    let newest = moved(screen, &before).context("End, once more")?;
    window.drag((DRAGS / 2..=DRAGS).rev().map(down));
    let middle = moved(screen, &newest).context("the scroll bar, half the way")?;
    // Beyond the end, as a hand does it.
    window.drag((0..=DRAGS / 2).rev().chain(0..=DRAGS).map(down).chain([(x, bottom + 40)]));
    if moved(screen, &middle)? != newest {
        bail!("the scroll bar does not lead back to the newest message");
    }
    Ok(())
}

/// Waits until the messages stay as they are; they must be others than before, and drawn.
fn moved(screen: &Screen, before: &Picture) -> Result<Picture> {
    wait_still(screen)?;
    let picture = screen.picture(shifted(TIMELINE));
    if picture == *before || picture.colours() < 16 {
        bail!("no other messages are in sight");
    }
    Ok(picture)
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

/// A place of the window on the screen. Without a window manager the client's window always begins there.
fn shifted((x, y, w, h): Place) -> Place {
    let (left, top) = Window::ORIGIN;
    (x + left, y + top, w, h)
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

/// Waits until nothing changes on the screen any more.
fn wait_still(screen: &Screen) -> Result<()> {
    let whole = (0, 0, SCREEN.0 as usize, SCREEN.1 as usize);
    let (began, mut last, mut since) = (now(), screen.picture(whole), now());
    while since.elapsed() < STILL {
        if began.elapsed() > PATIENCE {
            bail!("the screen does not come to rest");
        }
        thread::park_timeout(STILL / 20);
        let picture = screen.picture(whole);
        if picture != last {
            (last, since) = (picture, now());
        }
    }
    Ok(())
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
