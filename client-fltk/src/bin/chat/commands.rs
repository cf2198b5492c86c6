//! What was asked, done.

use std::fmt::Display;
use std::io::{self, IsTerminal, Read, Write as _};
use std::thread;
use std::time::Duration;

use client_fltk::command::{Answer, Command as Ask, Device};
use client_fltk::env::Clock;
use client_fltk::harmless::{for_line, for_terminal};
use client_fltk::link::Link;
use client_fltk::model::{Delivery, LinkState, Model, Target, Write, WriteState};
use client_fltk::net::driver::{Settings, StartError};
use client_fltk::net::handover::{Handed, Refused, hand_over};
use client_fltk::profile::ProfileError;
use wire::limits::{MESSAGE_TEXT_BYTES_MAX, VIEW_LIMIT_MAX};

use crate::client::{Client, Who, hint, stop_of_start};
use crate::secret::Source;
use crate::show::{Screen, local, print, print_json};
use crate::tail::Tail;
use crate::{AccountCommand, Command, DevicesCommand, OutboxCommand, Stop, json};

pub(crate) fn run(
    command: Command,
    settings: Settings,
    secrets: &Source,
    timeout: Duration,
    json: bool,
) -> Result<(), Stop> {
    if settings.plaintext_any && settings.link.as_ref().is_some_and(is_readable_by_others) {
        eprintln!("chat: WARNING: without TLS, anybody on the way can read the password and every message");
    }
    let open = || Client::open(settings.clone(), timeout);
    let done = |text: &str| if json { print_json(&json::done()) } else { print(text) };
    match command {
        Command::Signup { name, nickname } => {
            let password = secrets.new_one("SAMIRA_PASSWORD")?;
            let nickname = nickname.unwrap_or_default();
            enter(open()?, Ask::SignUp { username: name, nickname, password }, json)
        }
        Command::Login { name } => {
            let password = secrets.known("Password: ", "SAMIRA_PASSWORD")?;
            enter(open()?, Ask::LogIn { username: name, password }, json)
        }
        Command::Logout => {
            let mut client = open()?;
            // Without a server too; then the device stays in the account's list.
            let reached = client.connect_unless(client.model.account.is_some())?.is_none();
            client.ask(Ask::LogOut)?;
            if !reached {
                eprintln!("chat: no server was told: log this device out elsewhere with `chat devices revoke`");
            }
            done("logged out; nothing of the account is left here")
        }
        Command::Send { who, text, queue } => {
            let text = if text == ["-"] { from_stdin()? } else { text.join(" ") };
            if text.len() > MESSAGE_TEXT_BYTES_MAX {
                return Err(too_long());
            }
            match open_or_hand_over(settings, &who, &text, queue, timeout)? {
                Whose::Ours(client) => send(*client, &who, text, queue, json),
                Whose::Theirs(handed) => show_handed(&handed, queue, timeout, json),
            }
        }
        Command::Tail { who, keep_unread } => {
            let mut client = Client::open(Settings { takes_over: true, ..settings }, timeout)?;
            client.connect()?;
            let only = who.map(|who| client.conversation(&who).map(|found| found.id)).transpose()?;
            Tail::new(&client, only, keep_unread, json).follow(&mut client)
        }
        Command::History { who, number, before } => history(open()?, &who, number, before, json),
        Command::Users { pattern } => users(open()?, &pattern, json),
        Command::Conversations => conversations(open()?, json),
        Command::Read { who } => {
            let mut client = open()?;
            client.connect()?;
            let (conversation, upto) = client.conversation(&who).map(|found| (found.id, found.last_number))?;
            client.ask(Ask::MarkRead { conversation, upto })?;
            let told = client.wait(|client| Ok(client.model.marks_due().all(|(due, _)| due != conversation)))?;
            if told { done("read") } else { Err(client.unreachable()) }
        }
        Command::Delete { who, numbers } => {
            let mut client = open()?;
            client.connect()?;
            let conversation = client.conversation(&who)?.id;
            match client.ask(Ask::Delete { conversation, numbers })? {
                Answer::Count(count) if json => print_json(&json::count("deleted", count)),
                Answer::Count(1) => print("1 message deleted"),
                Answer::Count(count) => print(&format!("{count} messages deleted")),
                _ => Ok(()),
            }
        }
        Command::Devices { command } => {
            let mut client = open()?;
            client.connect()?;
            match command {
                None => match client.ask(Ask::Devices)? {
                    Answer::Devices(devices) => devices.iter().try_for_each(|device| show_device(device, json)),
                    _ => Ok(()),
                },
                Some(DevicesCommand::Revoke { id }) => {
                    client.ask(Ask::Revoke { device: id })?;
                    done("logged out")
                }
            }
        }
        Command::Nickname { text } => {
            let mut client = open()?;
            client.connect()?;
            client.ask(Ask::Nickname(text))?;
            done("changed")
        }
        Command::Limit { number } => {
            if number == 0 || number > u64::from(VIEW_LIMIT_MAX) {
                return Err(Stop::Usage(format!("the limit is from 1 to {VIEW_LIMIT_MAX}")));
            }
            let mut client = open()?;
            client.connect()?;
            client.ask(Ask::ViewLimit(number))?;
            done("changed")
        }
        Command::Passwd => {
            let mut client = open()?;
            client.connect()?;
            let old = secrets.known("Password: ", "SAMIRA_PASSWORD")?;
            let new = secrets.new_one("SAMIRA_NEW_PASSWORD")?;
            client.ask(Ask::ChangePassword { old, new })?;
            done("changed; all other devices were logged out")
        }
        Command::Account { command: AccountCommand::Delete { yes } } => delete_account(open()?, secrets, yes, json),
        Command::Outbox { command: None } => outbox(&open()?, json),
        Command::Outbox { command: Some(OutboxCommand::Discard { number }) } => {
            open()?.ask(Ask::Discard { key: number })?;
            done("forgotten")
        }
        Command::Status => status(open()?, json),
    }
}

/// Lists what waits or was refused. It is this device's alone, so that no server has to answer.
fn outbox(client: &Client, json: bool) -> Result<(), Stop> {
    let model = &client.model;
    for outgoing in model.outbox.values() {
        let Write::Send { to, text } = &outgoing.write else { continue };
        let to = match to {
            Target::Conversation(id) => model.title(*id),
            Target::Username(username) | Target::Account { username, .. } => format!("@{username}"),
        };
        let (state, why) = match &outgoing.state {
            WriteState::Queued => ("queued", ""),
            WriteState::Sent => ("sent", "not answered yet"),
            WriteState::Stored { .. } => ("stored", ""),
            WriteState::Refused(refusal) => ("refused", &*refusal.text),
        };
        if json {
            print_json(&json::outgoing(outgoing.key, &to, (state, why), text))?;
            continue;
        }
        let why = if why.is_empty() { String::new() } else { format!(": {}", for_line(why)) };
        print(&format!("{:<4} to {}  {}  ({state}{why})", outgoing.key, for_line(&to), beginning(text)))?;
    }
    Ok(())
}

/// The beginning of a text, as one line of a list has room for it.
fn beginning(text: &str) -> String {
    for_terminal(text).lines().next().unwrap_or_default().chars().take(40).collect()
}

fn is_readable_by_others(link: &Link) -> bool {
    link.pin.is_none() && link.addresses.iter().any(|address| !address.is_loopback())
}

fn enter(mut client: Client, ask: Ask, json: bool) -> Result<(), Stop> {
    let before = client.model.account.as_ref().map(|account| account.user);
    client.ask(ask)?;
    client.connect()?;
    if json {
        return print_json(&json::status(&client.model));
    }
    let account = client.model.account.clone().unwrap_or_default();
    let lock = if client.model.link.encrypted { "encrypted" } else { "not encrypted" };
    let address = &client.model.link.address;
    let stale = match client.model.link.stale {
        // The device that the profile has stays good.
        true if before == Some(account.user) => "; no majority answers: reading only",
        true => "; no majority answers: reading only, and not remembered: log in again once it does",
        false => "",
    };
    print(&format!(
        "logged in as {} at {address} ({lock}); {} unread{stale}",
        for_line(&account.username),
        client.model.unread_total()
    ))
}

/// The sender of a message.
enum Whose {
    /// This program: the profile is free.
    Ours(Box<Client>),
    /// Another one has it, and sends for us.
    Theirs(Handed),
}

/// How long one waits until a profile is looked at again that another program uses.
const AGAIN: Duration = Duration::from_millis(50);

/// Opens the profile, or hands the message to the program that has it, or waits until one of the two is possible.
fn open_or_hand_over(settings: Settings, who: &str, text: &str, queue: bool, timeout: Duration) -> Result<Whose, Stop> {
    let clock = Clock::start();
    let begun = clock.monotonic();
    let mut is_told = false;
    loop {
        let error = match Client::try_open(settings.clone(), timeout) {
            Ok(client) => return client.map(|client| Whose::Ours(Box::new(client))),
            Err(error) => error,
        };
        let StartError::Profile(ProfileError::InUse(directory)) = &error else { return Err(stop_of_start(&error)) };
        let to = Who::parse(who)?.target();
        let rest = timeout.saturating_sub(Duration::from_millis(clock.monotonic().since(begun)));
        match hand_over(directory, &to, text, queue, rest) {
            Ok(handed) => return Ok(Whose::Theirs(handed)),
            Err(Refused::Nobody) if rest > AGAIN => {
                if !is_told {
                    eprintln!("chat: {error}; waiting for it");
                    is_told = true;
                }
                thread::sleep(AGAIN);
            }
            Err(Refused::Nobody) => return Err(stop_of_start(&error)),
            Err(error @ (Refused::Lost | Refused::Silent)) => return Err(Stop::Unreachable(error.to_string())),
            Err(Refused::No(why)) => return Err(refused(who, why)),
            Err(Refused::NotLoggedIn(why)) => return Err(Stop::NotLoggedIn(hint(&why))),
        }
    }
}

/// Tells the fate of a message that another program has sent.
fn show_handed(handed: &Handed, queue: bool, timeout: Duration, json: bool) -> Result<(), Stop> {
    match handed {
        Handed::Stored { conversation, number } if json => print_json(&json::stored(*conversation, *number)),
        Handed::Stored { number, .. } => print(&format!("{} #{number}", crate::show::marks(Delivery::Stored))),
        Handed::Kept if queue && json => print_json(&json::done()),
        Handed::Kept if queue => print("queued"),
        Handed::Kept => Err(Stop::Unreachable(format!(
            "not stored within {timeout:?}: it stays in the outbox of the program that uses this profile, which sends it"
        ))),
    }
}

/// A message that was refused; without words where there is nobody of that name.
fn refused(who: &str, why: String) -> Stop {
    match why.is_empty() {
        true => Stop::Refused(format!("there is nobody called {who}: chat users lists people")),
        false => Stop::Refused(why),
    }
}

fn send(mut client: Client, who: &str, text: String, queue: bool, json: bool) -> Result<(), Stop> {
    let before: Vec<u64> = client.model.outbox.keys().copied().collect();
    if client.model.account.is_none() {
        // Says why.
        client.connect()?;
    }
    let to = client.target(who)?;
    let ticket = client.send(Ask::Send { to: to.clone(), text: text.into() })?;
    let new_key = |model: &Model| model.outbox.keys().copied().find(|key| !before.contains(key));
    if queue {
        let kept = client.wait(|client| Ok(client.has_answer(ticket) || new_key(&client.model).is_some()))?;
        if client.has_answer(ticket) {
            client.answer(ticket)?;
        } else if !kept {
            return Err(client.unreachable());
        }
        return if json { print_json(&json::done()) } else { print("queued") };
    }
    let answered = client.wait(|client| match &client.model.link.state {
        LinkState::LogInNeeded { why } if !client.has_answer(ticket) => {
            Err(Stop::NotLoggedIn(format!("{why}; the message waits in the outbox (chat login NAME sends it)")))
        }
        _ => Ok(client.has_answer(ticket)),
    })?;
    if !answered {
        return Err(give_up(client, new_key));
    }
    match client.answer(ticket) {
        Ok(Answer::Stored { conversation, number }) => {
            if json {
                return print_json(&json::stored(conversation, number));
            }
            print(&format!("{} #{number}", crate::show::marks(client.model.delivery(conversation, number))))
        }
        Ok(_) => Ok(()),
        Err(stop) => {
            // Whoever called knows it now; it is not to be found again in the outbox.
            if let Some(key) = new_key(&client.model) {
                let _ = client.ask(Ask::Discard { key });
            }
            Err(match (stop, &to) {
                (Stop::Refused(text), Target::Username(name)) => refused(name, text),
                (stop, _) => stop,
            })
        }
    }
}

/// Nobody kept the message in time: it is taken back, if it cannot have been sent.
fn give_up(mut client: Client, key: impl Fn(&Model) -> Option<u64>) -> Stop {
    let unreachable = client.unreachable();
    let text = unreachable.text().to_owned();
    let Some(key) = key(&client.model) else { return unreachable };
    match client.ask(Ask::Discard { key }) {
        Ok(_) => Stop::Unreachable(format!("not sent: {text}")),
        Err(_) => Stop::Unreachable(format!(
            "not known whether it was stored: {text}. It stays in the outbox, and what runs next finds out, without doubling it"
        )),
    }
}

fn from_stdin() -> Result<String, Stop> {
    read_message(io::stdin())
}

/// A message without the end of its last line.
fn read_message(from: impl Read) -> Result<String, Stop> {
    let failed = |why: &dyn Display| Stop::Usage(format!("cannot read the message from standard input: {why}"));
    let mut bytes = Vec::new();
    // One more than the longest with its end of a line.
    from.take(MESSAGE_TEXT_BYTES_MAX as u64 + 3).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    let ended = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let ended = ended.strip_suffix(b"\r").unwrap_or(ended);
    // Before the letters are looked at: what was not read may have cut one in two.
    if ended.len() > MESSAGE_TEXT_BYTES_MAX {
        return Err(too_long());
    }
    String::from_utf8(ended.to_vec()).map_err(|_| failed(&"it is not UTF-8"))
}

fn too_long() -> Stop {
    Stop::Refused(format!("the message is too long: at most {MESSAGE_TEXT_BYTES_MAX} bytes; send it in parts"))
}

fn history(mut client: Client, who: &str, number: u64, before: u64, json: bool) -> Result<(), Stop> {
    client.connect_or_show_held()?;
    let conversation = client.conversation(who)?.id;
    let (mut found, mut next) = (Vec::new(), before);
    while (found.len() as u64) < number {
        let limit = number - found.len() as u64;
        let Answer::Messages { messages, more, .. } = client.ask(Ask::History { conversation, before: next, limit })?
        else {
            break;
        };
        match messages.last() {
            Some(last) => next = last.number,
            // A page of deleted ones only.
            None if more => next = next.saturating_sub(limit).max(1),
            None => {}
        }
        found.extend(messages);
        if !more || next <= 1 {
            break;
        }
    }
    let mut screen = Screen::new();
    for message in found.iter().rev() {
        if json {
            print_json(&json::message(&client.model, conversation, message))?;
        } else {
            screen.message(&client.model, conversation, message, false)?;
        }
    }
    Ok(())
}

fn users(mut client: Client, pattern: &str, json: bool) -> Result<(), Stop> {
    client.connect()?;
    let mut skip = 0;
    loop {
        let ask = Ask::Users { pattern: pattern.to_owned(), skip, limit: 0 };
        let Answer::People { people, total, .. } = client.ask(ask)? else { return Ok(()) };
        for person in &people {
            if json {
                print_json(&json::person(person))?;
            } else if person.nickname == person.username {
                print(&for_line(&person.username))?;
            } else {
                print(&format!("{} ({})", for_line(&person.username), for_line(&person.nickname)))?;
            }
        }
        skip += people.len() as u64;
        if people.is_empty() || skip >= total {
            return Ok(());
        }
    }
}

fn conversations(mut client: Client, json: bool) -> Result<(), Stop> {
    client.connect_or_show_held()?;
    let model = &client.model;
    for id in model.newest_first() {
        let found = &model.conversations[&id];
        if json {
            print_json(&json::conversation(model, found))?;
            continue;
        }
        let unread = match model.unread(id) {
            0 => String::new(),
            unread => format!(" ({unread} unread)"),
        };
        let newest = found.newest().map_or_else(String::new, |newest| format!("  {}", beginning(&newest.text)));
        print(&format!("#{id:<4} {}{unread}{newest}", for_line(&model.title(id))))?;
    }
    Ok(())
}

fn show_device(device: &Device, json: bool) -> Result<(), Stop> {
    if json {
        return print_json(&json::device(device));
    }
    let day = |ms| local(ms).map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M").to_string());
    let own = if device.own { "  this one" } else { "" };
    print(&format!("{:<12} {:<24} last seen {}{own}", device.device, for_line(&device.name), day(device.seen_ms)))
}

fn delete_account(mut client: Client, secrets: &Source, yes: bool, json: bool) -> Result<(), Stop> {
    client.connect()?;
    let password = secrets.known("Password: ", "SAMIRA_PASSWORD")?;
    let name = client.model.account.clone().unwrap_or_default().username;
    if !yes {
        let Answer::Count(lost) = client.ask(Ask::DeleteAccount { password: password.clone(), confirm: false })? else {
            return Ok(());
        };
        if !io::stdin().is_terminal() {
            return Err(Stop::Usage("nobody can be asked: --yes deletes the account".to_owned()));
        }
        eprint!("{lost} unread messages would be lost. Type the user name to delete the account: ");
        // Without the prompt the question still stands.
        let _ = io::stderr().flush();
        let mut typed = String::new();
        if io::stdin().read_line(&mut typed).is_err() || typed.trim() != name {
            return Err(Stop::Refused("nothing was deleted".to_owned()));
        }
    }
    match client.ask(Ask::DeleteAccount { password, confirm: true })? {
        Answer::Count(lost) if json => print_json(&json::count("account_deleted", lost)),
        _ => print(&format!("the account {} is deleted", for_line(&name))),
    }
}

fn status(mut client: Client, json: bool) -> Result<(), Stop> {
    let outcome = client.connect();
    let model = &client.model;
    if json {
        print_json(&json::status(model))?;
        // The line has said it.
        return outcome.map_err(|stop| match stop {
            Stop::Unreachable(_) => Stop::Unreachable(String::new()),
            Stop::NotLoggedIn(_) => Stop::NotLoggedIn(String::new()),
            other => other,
        });
    }
    if let Some(account) = &model.account {
        print(&format!("account        {} ({})", for_line(&account.username), for_line(&account.nickname)))?;
        print(&format!("conversations  {}, {} unread", model.conversations.len(), model.unread_total()))?;
        print(&format!("outbox         {}", model.outbox.len()))?;
    }
    outcome?;
    let lock = if model.link.encrypted { "encrypted" } else { "not encrypted" };
    let stale = if model.link.stale { ", no majority answers: reading only" } else { "" };
    print(&format!("connected      to {} at {} ({lock}{stale})", for_line(&model.link.node), model.link.address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_too_long_is_called_that() {
        let longest = "é".repeat(MESSAGE_TEXT_BYTES_MAX / 2);
        for end in ["", "\n", "\r\n"] {
            let read = read_message(format!("{longest}{end}").as_bytes()).map_err(|stop| stop.text().to_owned());
            assert_eq!(read.as_deref(), Ok(&*longest));
        }
        // However the letter at the bound is cut.
        for begin in ["x", "xx", "xé", "\n"] {
            let stop = read_message(format!("{begin}{longest}").as_bytes()).unwrap_err();
            assert!(stop.text().contains("too long"), "{}", stop.text());
        }
        let stop = read_message(&b"\xff"[..]).unwrap_err();
        assert!(stop.text().contains("UTF-8"), "{}", stop.text());
    }
}
