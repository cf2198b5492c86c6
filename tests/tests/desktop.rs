//! The real desktop client on a real screen, moved by its keyboard alone, against real clusters that break meanwhile. What
//! it promises is read from its window's title, from its profile on disk, and from the nodes' databases.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

use client_fltk::command::Command;
use client_fltk::model::{Model, Target, WriteState};
use proto::chat::SignupRequest;
use proto::chat::chat_service_client::ChatServiceClient;
use sha2::{Digest, Sha256};
use tests::cluster::Cluster;
use tests::desktop::{Window, held, on_a_screen};
use tests::device::{Device, link};
use tests::{long, oracle, wait_until};
use tonic::transport::Endpoint;

/// Room for two windows beside each other.
const TWO: (u32, u32) = (2240, 800);

/// Room for one.
const ONE: (u32, u32) = (1280, 800);

/// Where the sidebar is on the main page, and nothing on every other.
const SIDEBAR: (usize, usize) = (2, 700);

/// The link that a node prints, as one pastes it.
fn printed_link(cluster: &Cluster, node: usize) -> String {
    link(&cluster.nodes[node]).to_string()
}

/// Fills in the form of the entry page. The password is the name, as devices of tests have it.
fn sign_up(window: &Window<'_>, name: &str, nickname: &str) {
    let before = window.picture().at(SIDEBAR.0, SIDEBAR.1);
    window.write(name);
    window.press("Tab");
    window.write(nickname);
    window.press("Tab");
    window.write(name);
    window.press("Return");
    wait_until("the main page", || window.picture().at(SIDEBAR.0, SIDEBAR.1) != before);
}

/// Turns the form to that of those who have an account, and fills it in.
fn log_in(window: &Window<'_>, name: &str) {
    let before = window.picture();
    // Behind two fields of names, the password and the button.
    window.press_often("Tab", 4);
    window.press("Return");
    wait_until("the other form", || window.picture() != before);
    let before = window.picture().at(SIDEBAR.0, SIDEBAR.1);
    window.write(name);
    window.press("Tab");
    window.write(name);
    window.press("Return");
    wait_until("the main page", || window.picture().at(SIDEBAR.0, SIDEBAR.1) != before);
}

/// Finds somebody under People, and opens a conversation with them.
fn find(window: &Window<'_>, name: &str, title: &str) {
    window.press("ctrl+2");
    window.press("ctrl+k");
    window.write(name);
    wait_until("somebody to be found", || {
        // It chooses the first line, and nothing as long as there is none.
        window.press("Return");
        window.title() == title
    });
}

/// Writes a message into the open conversation and sends it.
fn say(window: &Window<'_>, text: &str) {
    window.write(text);
    window.press("Return");
}

/// All texts of the only conversation that a profile holds, in their order, without anything left on its way.
fn texts(model: &Model) -> Vec<String> {
    assert!(model.outbox.is_empty(), "left behind: {:?}", model.outbox);
    assert_eq!(model.conversations.len(), 1);
    let found = model.conversations.values().next().unwrap();
    assert!(found.spans.covers(1, found.last_number), "holes: {:?}", found.spans);
    found.messages.values().map(|message| message.text.0.clone()).collect()
}

/// Stops the cluster; every node must hold exactly these texts.
fn assert_held(cluster: &Cluster, expected: &[String]) {
    cluster.settle();
    cluster.stop();
    for node in &cluster.nodes {
        let texts: Vec<_> = oracle::messages(&node.dir).into_iter().map(|message| message.text).collect();
        assert_eq!(texts, expected, "{}", node.name);
    }
}

/// How many messages wait on the disk of a profile.
fn queued(profile: &Path) -> usize {
    let waits = |state: &WriteState| matches!(state, WriteState::Queued | WriteState::Sent);
    held(profile).outbox.values().filter(|one| one.write.is_send() && waits(&one.state)).count()
}

#[test]
fn two_people_chat_while_leaders_die() {
    on_a_screen("two_people_chat_while_leaders_die", TWO, |screen| {
        let profiles = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(3);
        let first = cluster.leader();

        // One pastes the link into the first page; the other is started with it.
        let ann = Window::open(screen, &profiles.path().join("ann"), &[]);
        ann.place(0, 0);
        ann.focus();
        wait_until("the first page", || ann.picture().colours() > 16);
        let blank = ann.picture();
        ann.write(&printed_link(&cluster, first));
        ann.press("Return");
        wait_until("the entry page", || ann.picture() != blank && held(ann.profile()).account.is_none());
        sign_up(&ann, "ann", "Ann of the first window");
        let bob = Window::open(screen, &profiles.path().join("bob"), &["--connect", &printed_link(&cluster, first)]);
        bob.place(1120, 0);
        bob.focus();
        wait_until("the entry page", || bob.picture().colours() > 16);
        sign_up(&bob, "bob", "");

        ann.focus();
        find(&ann, "bob", "bob – Samira");
        let mut said = vec!["Hello Bob, are you there?".to_owned(), "I am on node one.".to_owned()];
        said.iter().for_each(|text| say(&ann, text));
        // Who looks elsewhere is told in the title; who opens the conversation has read it.
        bob.wait_title("(2) Samira");
        bob.focus();
        bob.press("alt+Down");
        bob.wait_title("Ann of the first window – Samira");

        for (round, writer, reader, reads) in
            [(1, &bob, &ann, "bob – Samira"), (2, &ann, &bob, "Ann of the first window – Samira")]
        {
            // Both were connected to the first leader, and nobody helps them to find another node.
            let leader = cluster.leader();
            writer.focus();
            for number in 1..=6 {
                let text =
                    format!("Round {round}, message {number}: {}", "typed while nobody leads. ".repeat(number % 3));
                say(writer, &text);
                said.push(text.trim().to_owned());
                if number == 2 {
                    cluster.nodes[leader].kill();
                }
            }
            reader.wait_title(&format!("(6) {reads}"));
            reader.focus();
            reader.wait_title(reads);
            cluster.nodes[leader].start(None);
            cluster.wait_voters(3);
        }

        let (ann_profile, bob_profile) = (ann.profile().to_owned(), bob.profile().to_owned());
        for window in [&ann, &bob] {
            wait_until("everything to be seen through", || held(window.profile()).outbox.is_empty());
        }
        ann.quit();
        bob.quit();
        assert_eq!(texts(&held(&ann_profile)), said, "at the first window");
        assert_eq!(texts(&held(&bob_profile)), said, "at the second window");
        assert_held(&cluster, &said);
    });
}

#[test]
fn an_account_made_over_grpc_logs_in_at_the_window() {
    on_a_screen("an_account_made_over_grpc_logs_in_at_the_window", ONE, |screen| {
        let profiles = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(1);
        let address = cluster.nodes[0].address();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
            let mut original = ChatServiceClient::new(channel);
            for name in ["ann", "bob"] {
                let password = data_encoding::HEXLOWER.encode(&Sha256::digest(name));
                let request = SignupRequest { username: name.into(), nickname: name.into(), password };
                assert!(original.signup(request).await.unwrap().into_inner().success);
            }
        });
        let ann = Window::open(screen, &profiles.path().join("ann"), &["--connect", &printed_link(&cluster, 0)]);
        ann.focus();
        wait_until("the entry page", || ann.picture().colours() > 16);
        log_in(&ann, "ann");
        find(&ann, "bob", "bob – Samira");
        say(&ann, "from the window");
        wait_until("it to be stored", || {
            let ann = held(ann.profile());
            ann.outbox.is_empty() && ann.conversations.values().any(|one| one.last_number == 1)
        });
        ann.quit();
        assert_held(&cluster, &["from the window".to_owned()]);
    });
}

#[test]
fn what_was_queued_survives_kill_9_and_is_sent_once() {
    on_a_screen("what_was_queued_survives_kill_9_and_is_sent_once", ONE, |screen| {
        let profiles = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(3);
        let everybody = [0, 1, 2];
        let mut bob = Device::start(&profiles.path().join("bob"), link(&cluster.nodes[0]));
        bob.sign_up("bob");
        let profile = profiles.path().join("ann");
        let mut said = vec!["before".to_owned()];
        {
            let ann = Window::open(screen, &profile, &["--connect", &printed_link(&cluster, 0)]);
            ann.focus();
            wait_until("the entry page", || ann.picture().colours() > 16);
            sign_up(&ann, "ann", "");
            find(&ann, "bob", "bob – Samira");
            say(&ann, &said[0]);
            bob.wait("the first message", |model| model.conversations.values().any(|one| one.last_number == 1));
            cluster.kill_together(&everybody);
            for number in 1..=3 {
                said.push(format!("queued {number}"));
                say(&ann, &said[number]);
            }
            wait_until("the messages to be on disk", || queued(&profile) == 3);
            ann.kill();
        }
        {
            // It shows what it has, takes one more, and dies again.
            let ann = Window::open(screen, &profile, &[]);
            ann.focus();
            ann.press("alt+Down");
            ann.wait_title("bob – Samira");
            said.push("queued after the first death".to_owned());
            say(&ann, &said[4]);
            wait_until("one more message to be on disk", || queued(&profile) == 4);
            ann.kill();
        }
        let ann = Window::open(screen, &profile, &[]);
        cluster.start_together(&everybody);
        cluster.wait_voters(3);
        bob.wait("all messages", |model| model.conversations.values().any(|one| one.last_number >= 5));
        wait_until("everything to be seen through", || held(&profile).outbox.is_empty());
        bob.wait_synced();
        bob.catch_up();
        assert_eq!(texts(&bob.model), said, "at the other side");
        ann.quit();
        assert_eq!(texts(&held(&profile)), said, "at the sender");
        drop(bob);
        assert_held(&cluster, &said);
    });
}

#[test]
fn what_is_typed_while_the_client_hangs_is_not_lost() {
    on_a_screen("what_is_typed_while_the_client_hangs_is_not_lost", ONE, |screen| {
        let profiles = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(1);
        let mut bob = Device::start(&profiles.path().join("bob"), link(&cluster.nodes[0]));
        bob.sign_up("bob");
        let profile = profiles.path().join("ann");
        let ann = Window::open(screen, &profile, &["--connect", &printed_link(&cluster, 0)]);
        ann.focus();
        wait_until("the entry page", || ann.picture().colours() > 16);
        sign_up(&ann, "ann", "");
        find(&ann, "bob", "bob – Samira");
        let draft = || held(&profile).drafts.into_values().next().map(|draft| draft.0).unwrap_or_default();

        // Several messages in one go, and the beginning of another: all of it comes to the window in the same instant.
        let mut said: Vec<_> = (1..=20).map(|number| format!("message {number}")).collect();
        for half in said.chunks(10) {
            ann.freeze();
            ann.write_lines(&[half, &["begun".to_owned()]].concat());
            ann.thaw();
            wait_until("what was begun to be on disk", || draft() == "begun");
            ann.press("ctrl+a");
            ann.press("BackSpace");
            wait_until("nothing to be left of it", || draft().is_empty());
        }
        // And as fast as the window takes it.
        said.extend((21..=40).map(|number| format!("message {number}")));
        ann.write_lines(&[&said[20..], &[String::new()]].concat());
        bob.wait("all messages", |model| model.conversations.values().any(|one| one.last_number >= 40));

        // What is begun goes to disk while the field keeps the keyboard, and so survives; it comes back with the window.
        ann.write("half a sen");
        wait_until("what was begun to be on disk", || draft() == "half a sen");
        ann.kill();
        let ann = Window::open(screen, &profile, &[]);
        ann.focus();
        ann.press("alt+Down");
        ann.wait_title("bob – Samira");
        ann.write("tence");
        // Whoever looks elsewhere has it there too.
        ann.press("ctrl+k");
        wait_until("all of it to be on disk", || draft() == "half a sentence");
        ann.press("Escape");
        ann.press("Return");
        wait_until("nothing to be left of it", || draft().is_empty());
        said.push("half a sentence".to_owned());
        bob.wait("the sentence", |model| model.conversations.values().any(|one| one.last_number >= 41));

        // The last keys before the window is closed, too.
        wait_until("everything to be seen through", || held(&profile).outbox.is_empty());
        ann.freeze();
        ann.write_lines(&["goodbye", "and so on"]);
        ann.press("ctrl+q");
        ann.thaw();
        ann.wait_end();
        assert_eq!(draft(), "and so on");
        said.push("goodbye".to_owned());
        bob.wait("the last message", |model| model.conversations.values().any(|one| one.last_number >= 42));
        bob.wait_synced();
        bob.catch_up();
        assert_eq!(texts(&bob.model), said);
        drop(bob);
        assert_held(&cluster, &said);
    });
}

/// Brings the message that the keyboard is on into the empty writing field, and waits until it is the draft on disk.
fn assert_copied(window: &Window<'_>, text: &str) {
    window.press("ctrl+c");
    window.press("Escape");
    window.press("ctrl+v");
    let mut found = String::new();
    wait_until(&format!("a copy of {text:?}"), || {
        let draft = held(window.profile()).drafts.into_values().next().map(|draft| draft.0).unwrap_or_default();
        if draft != found {
            eprintln!("in the writing field: {draft}");
            found = draft;
        }
        found == text
    });
    window.press("ctrl+a");
    window.press("BackSpace");
}

#[test]
fn a_million_messages_are_looked_through_from_end_to_end() {
    on_a_screen("a_million_messages_are_looked_through_from_end_to_end", long::SCREEN, |screen| {
        let profiles = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(1);
        Device::start(&profiles.path().join("bob"), link(&cluster.nodes[0])).sign_up("bob");
        let profile = profiles.path().join("historian");
        long::make(&cluster, &profile, "bob").unwrap();
        let window = Window::open(screen, &profile, &[]);
        long::look_through(&window, screen, 40).unwrap();
        // It ends at the newest message, the lowest in sight.
        window.press("Up");
        assert_copied(&window, &long::words(long::MESSAGES));
        // Out of the empty field, to the beginning; and from the lowest message in sight up to the first.
        window.press("Up");
        window.press("Home");
        long::wait_still(screen).unwrap();
        window.press_often("Up", 40);
        assert_copied(&window, &long::words(1));
        window.quit();
    });
}

/// Texts that are hard to draw. The last one is long, and half of it is without any space, as people write in many languages.
fn hard_texts() -> [String; 4] {
    let family = "👨‍👩‍👧‍👦 🎉🏳️‍🌈 e\u{301} ".repeat(20).trim().to_owned();
    let right_to_left = "مرحبا بالعالم 123 (abc) שלום".to_owned();
    let controls = "\u{202e}reversed\u{202c} & @C4 \\n\n\n\ttab".to_owned();
    let mixed = "バックアップは完了しました。備份已完成 백업이 완료되었습니다 اكتمل النسخ الاحتياطي بنجاح 👍🏽 नमस्ते ";
    let solid = mixed.chars().filter(|c| *c != ' ').cycle().take(2_000);
    let long: String = solid.chain(mixed.chars().cycle().take(1_999)).chain(['.']).collect();
    assert_eq!(long.chars().count(), 4_000);
    [family, right_to_left, controls, long]
}

/// Opens the only conversation of a profile, whose draft is in the writing field then, and sends that.
fn send_draft(window: &Window<'_>, title: &str) {
    window.focus();
    window.press("alt+Down");
    // In a small window not everything that is new is in sight, and the title says so.
    wait_until("the conversation", || window.title().ends_with(title));
    window.press("Return");
}

#[test]
fn hard_texts_at_a_large_scale_and_in_a_narrow_window() {
    on_a_screen("hard_texts_at_a_large_scale_and_in_a_narrow_window", TWO, |screen| {
        let profiles = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(3);
        let mut bob = Device::start(&profiles.path().join("bob"), link(&cluster.nodes[0]));
        bob.sign_up("bob");
        // Sixty-four letters, each twice as wide as others.
        let wide = "漢字かな交じり文".repeat(8);
        bob.ask_until_reached(&Command::Nickname(wide.clone()));
        bob.wait_written();
        let title = format!("{wide} – Samira");
        let profile = profiles.path().join("ann");

        let ann = Window::open(screen, &profile, &["--connect", &printed_link(&cluster, 1)]);
        ann.focus();
        wait_until("the entry page", || ann.picture().colours() > 16);
        sign_up(&ann, "ann", &"W".repeat(64));
        find(&ann, "bob", &title);
        say(&ann, "hello");
        bob.wait("the first message", |model| model.conversations.values().any(|one| one.last_number == 1));
        assert_eq!(bob.model.name(bob.model.person_named("ann").unwrap().user), "W".repeat(64));
        ann.quit();

        // Other keyboards have these letters. Here they are a draft that was begun on a device of the same profile.
        let windows = [
            (["--scale", "2.0"], (2_200, 780)),
            (["--scale", "1.0"], (400, 720)),
            (["--scale", "0.5"], (1_100, 720)),
            // Narrower than it wants to be.
            (["--scale", "2.0"], (400, 720)),
        ];
        let (mut said, mut last) = (vec!["hello".to_owned()], 1);
        for (text, (arguments, size)) in hard_texts().into_iter().zip(windows) {
            let mut device = Device::start(&profile, link(&cluster.nodes[1]));
            let conversation = *device.model.conversations.keys().next().unwrap();
            device.ask(Command::Draft { conversation, text: text.as_str().into() }).unwrap();
            // The other side says the same, so that it is drawn on both sides.
            bob.ask(Command::Send { to: Target::Conversation(conversation), text: text.as_str().into() }).unwrap();
            last += 1;
            device.wait("the other's message", |model| model.conversations[&conversation].last_number == last);
            drop(device);

            let ann = Window::open(screen, &profile, &arguments);
            ann.resize(size.0, size.1);
            send_draft(&ann, &title);
            last += 1;
            bob.wait("the message", |model| model.conversations[&conversation].last_number == last);
            said.extend([text.clone(), text]);
            // All of it is drawn, up and down, wherever the keyboard is. Narrow windows show the list or the messages, so it
            // is opened again at the end.
            let around =
                ["Page_Up", "Page_Up", "Page_Down", "Escape", "Up", "Home", "End", "ctrl+1", "ctrl+3", "Escape"];
            for key in around.into_iter().chain(["ctrl+k", "Escape", "alt+Down"]) {
                ann.press(key);
            }
            wait_until("the conversation", || ann.title().ends_with(&title));
            wait_until("the window to be drawn", || ann.picture().colours() > 16);
            ann.quit();
        }
        bob.wait_synced();
        bob.catch_up();
        assert_eq!(texts(&bob.model), said);
        drop(bob);
        assert_eq!(texts(&held(&profile)), said);
        assert_held(&cluster, &said);
    });
}
