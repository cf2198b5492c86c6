//! What people do with texts in the window of the real desktop client: look at them, take parts of them, bring some along.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};

use client_fltk::command::Command;
use client_fltk::model::{Delta, Message, Target, Way};
use client_fltk::store::Store;
use tempfile::TempDir;
use tests::cluster::Cluster;
use tests::desktop::{Screen, Window, held, on_a_screen};
use tests::device::{Device, link};
use tests::wait_until;

/// Room for one window.
const ONE: (u32, u32) = (1280, 800);

/// Ann's profile, which holds a conversation with Bob, and Bob's device.
struct Two {
    profile: PathBuf,
    bob: Device,
    conversation: u64,
    _profiles: TempDir,
    cluster: Cluster,
}

impl Two {
    /// Bob has sent these.
    fn with(texts: &[&str]) -> Self {
        let profiles = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(1);
        let profile = profiles.path().join("ann");
        let mut ann = Device::start(&profile, link(&cluster.nodes[0]));
        ann.sign_up("ann");
        let mut bob = Device::start(&profiles.path().join("bob"), link(&cluster.nodes[0]));
        bob.sign_up("bob");
        for text in texts {
            bob.ask(Command::Send { to: Target::Username("ann".into()), text: (*text).into() }).unwrap();
        }
        let last = texts.len() as u64;
        ann.wait("all messages", |model| model.conversations.values().any(|one| one.last_number == last));
        let conversation = *ann.model.conversations.keys().next().unwrap();
        drop(ann);
        Self { profile, bob, conversation, _profiles: profiles, cluster }
    }

    /// Ann's window, with the conversation open.
    fn open<'s>(&self, screen: &'s Screen, args: &[&str]) -> Window<'s> {
        let window = Window::open(screen, &self.profile, args);
        window.focus();
        window.press("alt+Down");
        wait_until("the conversation", || window.title().ends_with("bob – Samira"));
        window
    }
}

/// Waits until something holds for what is begun in the only conversation of a profile.
fn wait_draft(window: &Window<'_>, what: &str, holds: impl Fn(&str) -> bool) {
    wait_until(what, || holds(&draft(window.profile())));
}

/// What is begun in the only conversation of a profile.
fn draft(profile: &Path) -> String {
    held(profile).drafts.into_values().next().map(|draft| draft.0).unwrap_or_default()
}

/// Brings what is on the clipboard into the empty writing field, and waits until it is the draft on disk.
fn assert_on_clipboard(window: &Window<'_>, text: &str) {
    window.press("Escape");
    window.press("ctrl+v");
    let mut found = String::new();
    wait_until(&format!("{text:?} on the clipboard"), || {
        let draft = draft(window.profile());
        if draft != found {
            eprintln!("in the writing field: {draft:?}");
            found = draft;
        }
        found == text
    });
    window.press("ctrl+a");
    window.press("BackSpace");
}

/// Servers refuse controls, and did not always: what a profile holds from then is shown and copied without them. With them
/// it was worse: the clipboard was given the bytes up to the NUL, and then as many of the client's memory as were behind it.
#[test]
fn an_old_message_with_a_nul_is_copied_as_it_is_shown() {
    on_a_screen("an_old_message_with_a_nul_is_copied_as_it_is_shown", ONE, |screen| {
        let two = Two::with(&["hello"]);
        let (mut store, mut model) = Store::open(&two.profile.join("profile.db")).unwrap();
        let sender = two.bob.model.me();
        let text = format!("before\0{}", "behind \u{1b}[31m\u{9b}".repeat(50));
        let message = Message { number: 1, sender, text: text.as_str().into(), time_ms: 1, ..Message::default() };
        let delta = Delta::Message { conversation: two.conversation, message, way: Way::History };
        model.apply(&delta);
        store.commit(&[delta], &model).unwrap();
        drop(store);

        let window = two.open(screen, &[]);
        // Into the messages, and to the newest.
        window.press_often("Up", 2);
        window.press("ctrl+c");
        assert_on_clipboard(&window, &text.replace(['\0', '\u{1b}', '\u{9b}'], "\u{fffd}"));
        window.quit();
        two.cluster.stop();
    });
}

/// Where the first line of text of the only message of a conversation is, which stands at the bottom of the window, one line
/// high: its left edge, and its middle.
fn only_message(window: &Window<'_>) -> (i32, i32) {
    let (.., height) = window.geometry();
    // The sidebar, the margin, and the edge of the bubble; the bar with the field, the line above it, and half a bubble.
    (301 + 20 + 12, height as i32 - 72 - 24 - 8 - 18)
}

#[test]
fn a_part_of_a_message_is_marked_and_copied() {
    on_a_screen("a_part_of_a_message_is_marked_and_copied", ONE, |screen| {
        let two = Two::with(&["marvellous weather at the harbour"]);
        let window = two.open(screen, &[]);
        let (x, y) = only_message(&window);
        // From the first letter to far beyond the last, and back again over the edge.
        window.drag([(x, y), (x + 40, y), (x + 500, y)]);
        window.press("ctrl+c");
        assert_on_clipboard(&window, "marvellous weather at the harbour");
        window.drag([(x + 500, y), (x + 100, y), (x - 50, y)]);
        window.press("ctrl+c");
        assert_on_clipboard(&window, "marvellous weather at the harbour");
        // A word by two clicks, without its neighbours.
        window.double_click(x + 20, y);
        window.press("ctrl+c");
        assert_on_clipboard(&window, "marvellous");
        // Something in between: the rest of the first word's letters and more, but not all.
        window.drag([(x + 30, y), (x + 60, y), (x + 140, y)]);
        window.press("ctrl+c");
        window.press("Escape");
        window.press("ctrl+v");
        wait_draft(&window, "a part of the message", |draft| {
            "marvellous weather at the harbour".contains(draft) && (5..30).contains(&draft.len())
        });
        window.quit();
        two.cluster.stop();
    });
}

/// A clipboard may hold more than a message; nothing of it is lost, and it is sent in parts if that is what one wants.
#[test]
fn a_text_that_is_longer_than_a_message_is_kept_and_sent_in_parts() {
    on_a_screen("a_text_that_is_longer_than_a_message_is_kept_and_sent_in_parts", ONE, |screen| {
        let mut two = Two::with(&["hello"]);
        let line = format!("{}\n", "a long line of a log ".repeat(20).trim_end());
        // An old and long message is the clipboard's source: two of them are more than one.
        let text = line.repeat(100);
        let text = text.trim_end();
        two.bob.ask(Command::Send { to: Target::Conversation(two.conversation), text: text.into() }).unwrap();
        let window = two.open(screen, &[]);
        window.press_often("Up", 2);
        window.press("ctrl+c");
        window.press("Escape");
        window.press("ctrl+v");
        wait_draft(&window, "one of them", |draft| draft == text);
        window.press("ctrl+v");
        wait_draft(&window, "two of them", |draft| draft.len() == 2 * text.len());
        let twice = draft(&two.profile);
        assert!(twice.len() > wire::limits::MESSAGE_TEXT_BYTES_MAX);
        // Enter asks, and Escape keeps it.
        window.press("Return");
        window.press("Escape");
        window.write("x");
        wait_draft(&window, "all of it and a letter", |draft| draft == format!("{twice}x"));
        window.press("BackSpace");
        wait_draft(&window, "all of it", |draft| draft == twice);
        window.press("Return");
        window.press("Return");
        let conversation = two.conversation;
        two.bob.wait("both parts", |model| model.conversations[&conversation].last_number >= 4);
        two.bob.wait_synced();
        two.bob.catch_up();
        let found = &two.bob.model.conversations[&conversation].messages;
        let parts = [&*found[&3].text, &*found[&4].text];
        assert_eq!(parts.concat().replace(char::is_whitespace, ""), twice.replace(char::is_whitespace, ""));
        wait_draft(&window, "an empty field", str::is_empty);
        window.quit();
        two.cluster.stop();
    });
}

/// 800x480 is a screen that machines are sold with.
#[test]
fn a_small_screen_has_room_for_everything() {
    on_a_screen("a_small_screen_has_room_for_everything", (800, 480), |screen| {
        let two = Two::with(&["hello"]);
        let window = two.open(screen, &[]);
        let (.., width, height) = window.geometry();
        assert!(width <= 800 && height <= 440, "{width}x{height}");
        window.resize(360, 400);
        let (.., width, height) = window.geometry();
        assert_eq!((width, height), (360, 400));
        window.write("there is room to write");
        window.press("Return");
        wait_until("it to be stored", || held(&two.profile).conversations.values().any(|one| one.last_number == 2));
        window.quit();
        two.cluster.stop();
    });
}
