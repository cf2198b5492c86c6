//! The desktop client for somebody who hears it: what is in the window has a name and a role, the keyboard's place is known, and
//! what comes new is read out.

use client_fltk::command::Command;
use client_fltk::model::Target;
use tests::cluster::Cluster;
use tests::desktop::{Starting, command, held, on_a_screen};
use tests::device::{Device, link};
use tests::speech::{Heard, with_a_reader};
use tests::wait_until;

#[test]
fn a_screen_reader_hears_the_window() {
    with_a_reader("a_screen_reader_hears_the_window", |reader| {
        on_a_screen("a_screen_reader_hears_the_window", (1280, 800), |screen| {
            let profiles = tempfile::tempdir().unwrap();
            let cluster = Cluster::start(1);
            let profile = profiles.path().join("ann");
            let mut bob = Device::start(&profiles.path().join("bob"), link(&cluster.nodes[0]));
            bob.sign_up("bob");
            let mut ann = Device::start(&profile, link(&cluster.nodes[0]));
            ann.sign_up("ann");
            let to_ann = || Target::Username("ann".into());
            bob.ask(Command::Send { to: to_ann(), text: "are you there?".into() }).unwrap();
            ann.wait("the message", |model| model.conversations.values().any(|one| one.last_number == 1));
            drop(ann);

            let mut client = command(screen, &profile, &[]);
            client.env("DBUS_SESSION_BUS_ADDRESS", &reader.address);
            let window = Starting::new(screen, &profile, &mut client).window();
            window.focus();
            let has = |what: &str, holds: &dyn Fn(&Heard) -> bool| {
                let mut last = Vec::new();
                wait_until(what, || {
                    let heard = reader.hear();
                    if heard != last {
                        eprintln!("---- heard\n{}", heard.iter().map(|one| format!("{one:?}\n")).collect::<String>());
                        last.clone_from(&heard);
                    }
                    heard.iter().any(holds)
                });
            };
            let named =
                |role: &'static str, name: &'static str| move |heard: &Heard| heard.role == role && heard.name == name;
            // Fields and places have names, and the list tells its lines.
            has("the places", &named("page tab", "Settings"));
            has("the list", &named("list box", "Conversations"));
            has("who has written", &|heard| heard.role == "list item" && heard.name == "bob, 1 unread, are you there?");
            // The keyboard is where it is.
            window.press("ctrl+k");
            has("the keyboard in the search", &|heard| heard.has_focus && heard.name.contains("Search"));
            window.press("Down");
            has("the keyboard on a line of the list", &|heard| heard.has_focus && heard.name.starts_with("bob"));
            window.press("Return");
            has("the keyboard in the writing field", &|heard| heard.has_focus && heard.name == "Write to bob");
            has("the messages", &|heard| {
                heard.role == "list item" && heard.name.starts_with("bob, ") && heard.name.ends_with(": are you there?")
            });
            window.press_often("Up", 2);
            has("the keyboard on a message", &|heard| heard.has_focus && heard.name.ends_with(": are you there?"));
            // What comes new is read out.
            let announcements = reader.announcements();
            bob.ask(Command::Send { to: to_ann(), text: "it rains".into() }).unwrap();
            wait_until("the message to be read out", || announcements.try_iter().any(|said| said == "bob: it rains"));
            // And a button can be pressed without a mouse.
            window.press("Escape");
            window.write("then stay inside");
            has("the button", &named("push button", "Send"));
            wait_until("the button to be pressed", || reader.press("Send"));
            wait_until("it to be stored", || held(&profile).conversations.values().any(|one| one.last_number == 3));
            window.quit();
            cluster.stop();
        });
    });
}
