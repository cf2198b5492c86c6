//! A conversation of a million messages on somebody's disk, and somebody who looks through it in a real window.
//!
//! A screen has no window manager, so the client's window lies where it opens, and as large as it wants to be: places on
//! the screen are known.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use client_fltk::command::{Answer, Command};
use client_fltk::env::Clock;
use client_fltk::model::{Delta, Marks, Message, Text, Way};
use client_fltk::store::Store;

use crate::cluster::Cluster;
use crate::desktop::{Picture, Place, Screen, Window};
use crate::device::{Device, link};
use crate::{PATIENCE, now, wait_until};

/// Messages of the conversation.
pub const MESSAGES: u64 = 1_000_000;

/// How many are written to disk at once while it is made.
const STEP: u64 = 10_000;

/// Places of the mouse on its way along the scroll bar.
const DRAGS: i32 = 150;

/// The screen.
pub const SCREEN: (u32, u32) = (1280, 800);

/// The window as it opens by itself: where on the screen, and how large.
pub const WINDOW: (i32, i32) = (1100, 720);

/// Messages, relative to the window, without the scroll bar.
pub const TIMELINE: Place = (320, 80, 740, 500);

/// How long nothing may change on the screen for it to stay as it is.
const STILL: Duration = Duration::from_millis(700);

/// What somebody says: short and long, in several writings.
#[must_use]
pub fn words(number: u64) -> String {
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

/// An account that has one conversation, with somebody of that name who has an account already. It is far longer on its
/// disk than at the cluster, which tells nothing of it.
///
/// # Errors
/// When the cluster or the disk does not do what it is told.
pub fn make(cluster: &Cluster, profile: &Path, with: &str) -> Result<()> {
    let mut device = Device::start(profile, link(&cluster.nodes[0]));
    device.sign_up("historian");
    let opened = device.ask_until_reached(&Command::OpenConversation { username: with.into() });
    let Answer::Opened(conversation) = opened else { bail!("to the opening: {opened:?}") };
    let me = device.model.me();
    let peer = device.model.person_named(with).context("who was found is known")?.user;
    device.wait_written();
    drop(device);
    let (mut store, mut model) = Store::open(&profile.join("profile.db"))?;
    let now_ms = Clock::start().unix_ms();
    let marks = Marks { delivered: MESSAGES, read: MESSAGES };
    let mut deltas: Vec<_> = [me, peer].map(|user| Delta::Mark { conversation, user, marks }).into();
    for first in (1..=MESSAGES).step_by(usize::try_from(STEP)?) {
        deltas.extend((first..first + STEP).map(|number| {
            let sender = if number % 3 == 0 { me } else { peer };
            let time_ms = now_ms - (MESSAGES - number) * 20_000;
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
pub fn open_first(window: &Window<'_>) {
    window.focus();
    let before = window.title();
    window.press("alt+Down");
    wait_until("a conversation", || window.title() != before);
}

/// Looks at what lies at both ends of the conversation and between, and turns that many pages from each end.
///
/// # Errors
/// When other messages, or the same again, are in sight than are to be.
pub fn look_through(window: &Window<'_>, screen: &Screen, pages: usize) -> Result<()> {
    open_first(window);
    // The pointer would be in the picture.
    window.point(0, WINDOW.1 + 20);
    // Out of the empty writing field, to the messages.
    window.press("Up");
    let mut before = screen.picture(shifted(TIMELINE));
    for (far, near) in [("Home", "Page_Down"), ("End", "Page_Up")] {
        window.press(far);
        before = moved(screen, &before).context(far)?;
        window.press_often(near, pages);
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

/// A place of the window on the screen. Without a window manager the client's window always begins there.
#[must_use]
pub fn shifted((x, y, w, h): Place) -> Place {
    let (left, top) = Window::ORIGIN;
    (x + left, y + top, w, h)
}

/// Waits until nothing changes on the screen any more.
///
/// # Errors
/// When it never comes to rest.
pub fn wait_still(screen: &Screen) -> Result<()> {
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
