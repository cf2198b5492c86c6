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
