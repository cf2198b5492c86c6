//! What was asked, done.

use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use client_fltk::command::{Answer, Command as Ask, Device};
use client_fltk::link::Link;
use client_fltk::model::{LinkState, Model, Target};
use client_fltk::net::driver::Settings;
use wire::limits::{MESSAGE_TEXT_BYTES_MAX, VIEW_LIMIT_MAX};

use crate::client::Client;
use crate::secret::Source;
use crate::show::{Screen, clean, local, print};
use crate::tail::Tail;
use crate::{AccountCommand, Command, DevicesCommand, Stop, json};

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
    let done = |text: &str| if json { print(&json::done().to_string()) } else { print(text) };
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
            let reached = client.connect_if_possible()?.is_none();
            client.ask(Ask::LogOut)?;
            if !reached {
                eprintln!("chat: no server was told: log this device out elsewhere with `chat devices revoke`");
            }
            done("logged out; nothing of the account is left here")
        }
        Command::Send { who, text, queue } => {
            let text = if text == ["-"] { from_stdin()? } else { text.join(" ") };
            send(open()?, &who, text, queue, json)
        }
        Command::Tail { who, keep_unread } => {
            let mut client = open()?;
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
                Answer::Count(count) if json => print(&json::count("deleted", count).to_string()),
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
        Command::Status => status(open()?, json),
    }
}

fn is_readable_by_others(link: &Link) -> bool {
    link.pin.is_none() && link.addresses.iter().any(|address| !address.is_loopback())
}

fn enter(mut client: Client, ask: Ask, json: bool) -> Result<(), Stop> {
    let before = client.model.account.as_ref().map(|account| account.user);
    client.ask(ask)?;
    client.connect()?;
    if json {
        return print(&json::status(&client.model).to_string());
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
        clean(&account.username),
        client.model.unread_total()
    ))
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
        return if json { print(&json::done().to_string()) } else { print("queued") };
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
                return print(&json::stored(conversation, number).to_string());
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
                (Stop::Refused(text), Target::Username(name)) if text.is_empty() => {
                    Stop::Refused(format!("there is nobody called {name}: chat users lists people"))
                }
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
    let mut text = String::new();
    let limit = MESSAGE_TEXT_BYTES_MAX as u64 + 2;
    io::stdin()
        .take(limit)
        .read_to_string(&mut text)
        .map_err(|error| Stop::Usage(format!("cannot read the message from standard input: {error}")))?;
    let ended = text.strip_suffix('\n').unwrap_or(&text);
    Ok(ended.strip_suffix('\r').unwrap_or(ended).to_owned())
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
            print(&json::message(&client.model, conversation, message).to_string())?;
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
                print(&json::person(person).to_string())?;
            } else if person.nickname == person.username {
                print(&clean(&person.username))?;
            } else {
                print(&format!("{} ({})", clean(&person.username), clean(&person.nickname)))?;
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
            print(&json::conversation(model, found).to_string())?;
            continue;
        }
        let unread = match model.unread(id) {
            0 => String::new(),
            unread => format!(" ({unread} unread)"),
        };
        let newest = found.newest().map_or_else(String::new, |newest| {
            let line: String = clean(&newest.text).lines().next().unwrap_or_default().chars().take(40).collect();
            format!("  {line}")
        });
        print(&format!("#{id:<4} {}{unread}{newest}", clean(&model.title(id))))?;
    }
    Ok(())
}

fn show_device(device: &Device, json: bool) -> Result<(), Stop> {
    if json {
        return print(&json::device(device).to_string());
    }
    let day = |ms| local(ms).map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M").to_string());
    let own = if device.own { "  this one" } else { "" };
    print(&format!("{:<12} {:<24} last seen {}{own}", device.device, clean(&device.name), day(device.seen_ms)))
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
        Answer::Count(lost) if json => print(&json::count("account_deleted", lost).to_string()),
        _ => print(&format!("the account {} is deleted", clean(&name))),
    }
}

fn status(mut client: Client, json: bool) -> Result<(), Stop> {
    let outcome = client.connect();
    let model = &client.model;
    if json {
        print(&json::status(model).to_string())?;
        // The line has said it.
        return outcome.map_err(|stop| match stop {
            Stop::Unreachable(_) => Stop::Unreachable(String::new()),
            Stop::NotLoggedIn(_) => Stop::NotLoggedIn(String::new()),
            other => other,
        });
    }
    if let Some(account) = &model.account {
        print(&format!("account        {} ({})", clean(&account.username), clean(&account.nickname)))?;
        print(&format!("conversations  {}, {} unread", model.conversations.len(), model.unread_total()))?;
        print(&format!("outbox         {}", model.outbox.len()))?;
    }
    outcome?;
    let lock = if model.link.encrypted { "encrypted" } else { "not encrypted" };
    let stale = if model.link.stale { ", no majority answers: reading only" } else { "" };
    print(&format!("connected      to {} at {} ({lock}{stale})", clean(&model.link.node), model.link.address))
}
