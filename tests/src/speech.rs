//! What a screen reader hears of the desktop client: AT-SPI on a session bus that begins and ends with the test.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use zbus::MatchRule;
use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, MessageIterator, Proxy};
use zbus::zvariant::{OwnedObjectPath, OwnedValue};

use crate::cluster::{die_with_thread_of_test, spawner};
use crate::not_run;

/// The bit of AT-SPI's states that says that something has the keyboard.
const FOCUSED: u32 = 12;

/// Runs the test called `name`, whose body is `body`, where screen readers can be. Says so loudly where they cannot.
///
/// # Panics
/// When the test fails.
pub fn with_a_reader(name: &str, body: impl FnOnce(&Reader)) {
    let launcher = std::path::Path::new("/usr/share/dbus-1/services/org.a11y.Bus.service");
    if Command::new("dbus-daemon").arg("--version").output().is_err() {
        not_run(name, "the program `dbus-daemon` is missing (Debian: apt-get install dbus-daemon)");
    } else if !launcher.exists() {
        not_run(name, "the bus of screen readers is missing (Debian: apt-get install at-spi2-core)");
    } else {
        body(&Reader::start());
    }
}

/// A screen reader that reads everything and says nothing.
pub struct Reader {
    bus: Child,
    /// Where the session bus is.
    pub address: String,
    spoken: Connection,
    /// Kept: it is the reason why programs tell anything.
    _session: Connection,
    _directory: tempfile::TempDir,
}

/// Something in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// AT-SPI's name of its role.
    pub role: &'static str,
    /// What it is called.
    pub name: String,
    /// It has the keyboard.
    pub has_focus: bool,
}

/// AT-SPI's numbers of the roles that matter here.
fn role_name(role: u32) -> &'static str {
    match role {
        14 => "desktop frame",
        23 => "frame",
        31 => "list",
        32 => "list item",
        37 => "page tab",
        43 => "push button",
        75 => "application",
        79 => "entry",
        83 => "heading",
        98 => "list box",
        _ => "something else",
    }
}

type Object = (String, OwnedObjectPath);

impl Reader {
    fn start() -> Self {
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--nofork", "--print-address"]);
        // The bus of screen readers lies in a directory of its own, or those of two tests would be the same.
        let directory = tempfile::tempdir().expect("a temporary directory");
        command.env("XDG_RUNTIME_DIR", directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        die_with_thread_of_test(&mut command);
        let mut bus = spawner::spawn(&mut command).expect("a session bus runs");
        let mut address = String::new();
        let stdout = bus.stdout.take().expect("stdout was asked for");
        BufReader::new(stdout).read_line(&mut address).expect("a pipe can be read");
        let address = address.trim().to_owned();
        let connect = |address: &str| {
            Builder::address(address).and_then(|builder| builder.build()).expect("a bus that runs lets us in")
        };
        let session = connect(&address);
        let ask = |interface: &'static str| {
            Proxy::new(&session, "org.a11y.Bus", "/org/a11y/bus", interface).expect("the names are names")
        };
        ask("org.a11y.Status").set_property("IsEnabled", true).expect("the bus of screen readers starts");
        let spoken: String = ask("org.a11y.Bus").call("GetAddress", &()).expect("it says where it is");
        let spoken = connect(&spoken);
        Self { bus, address, spoken, _session: session, _directory: directory }
    }

    fn proxy<'a>(&self, object: &'a Object, interface: &'static str) -> zbus::Result<Proxy<'a>> {
        Proxy::new(&self.spoken, object.0.as_str(), object.1.as_ref(), interface)
    }

    /// Everything in all windows, in the order of reading. What goes away meanwhile is not in it.
    #[must_use]
    pub fn hear(&self) -> Vec<Heard> {
        let path = OwnedObjectPath::try_from("/org/a11y/atspi/accessible/root").expect("it is a path");
        let mut heard = Vec::new();
        let _ = self.descend(&("org.a11y.atspi.Registry".to_owned(), path), &mut heard);
        heard
    }

    fn descend(&self, object: &Object, heard: &mut Vec<Heard>) -> zbus::Result<()> {
        let accessible = self.proxy(object, "org.a11y.atspi.Accessible")?;
        let name: String = accessible.get_property("Name").unwrap_or_default();
        let role = role_name(accessible.call("GetRole", &())?);
        let state: Vec<u32> = accessible.call("GetState", &()).unwrap_or_default();
        let has_focus = state.first().is_some_and(|bits| bits & 1 << FOCUSED != 0);
        heard.push(Heard { role, name, has_focus });
        let children: Vec<Object> = accessible.call("GetChildren", &())?;
        for child in &children {
            let _ = self.descend(child, heard);
        }
        Ok(())
    }

    /// Presses the button of that name, as somebody does who cannot use the mouse. False: there is none.
    pub fn press(&self, name: &str) -> bool {
        let path = OwnedObjectPath::try_from("/org/a11y/atspi/accessible/root").expect("it is a path");
        self.press_below(&("org.a11y.atspi.Registry".to_owned(), path), name).unwrap_or(false)
    }

    fn press_below(&self, object: &Object, name: &str) -> zbus::Result<bool> {
        let accessible = self.proxy(object, "org.a11y.atspi.Accessible")?;
        let role = role_name(accessible.call("GetRole", &())?);
        if role == "push button" && accessible.get_property::<String>("Name")? == name {
            return self.proxy(object, "org.a11y.atspi.Action")?.call("DoAction", &(0_i32));
        }
        let children: Vec<Object> = accessible.call("GetChildren", &())?;
        Ok(children.iter().any(|child| self.press_below(child, name).unwrap_or(false)))
    }

    /// What is read out by itself from now on.
    ///
    /// # Panics
    /// When the bus refuses it.
    pub fn announcements(&self) -> Receiver<String> {
        let rule = MatchRule::builder().msg_type(zbus::message::Type::Signal);
        let rule = rule.interface("org.a11y.atspi.Event.Object").and_then(|rule| rule.member("Announcement"));
        let rule = rule.expect("the names are names").build();
        let messages = MessageIterator::for_match_rule(rule, &self.spoken, Some(256)).expect("a rule can be added");
        let said = |message: zbus::Result<zbus::Message>| {
            type Event = (String, i32, i32, OwnedValue, HashMap<String, OwnedValue>);
            let (.., said, _) = message.ok()?.body().deserialize::<Event>().ok()?;
            String::try_from(said).ok()
        };
        let (sender, announcements) = channel();
        // It ends with the bus, or when nobody listens any more.
        thread::spawn(move || messages.filter_map(said).try_for_each(|said| sender.send(said)));
        announcements
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}
