//! A driver with somebody who waits for it.

use std::collections::HashMap;
use std::time::Duration;

use client_fltk::command::{Answer, Command, Failure, Note, Ticket};
use client_fltk::env::Clock;
use client_fltk::harmless::for_line;
use client_fltk::model::{Conversation, Delta, LinkState, Model, Target};
use client_fltk::net::driver::{Driver, Settings, StartError};
use client_fltk::profile::ProfileError;

use crate::Stop;

pub(crate) struct Client {
    driver: Driver,
    pub(crate) model: Model,
    answers: HashMap<Ticket, Result<Answer, Failure>>,
    clock: Clock,
    pub(crate) timeout: Duration,
}

impl Client {
    /// Opens the profile and waits for what it holds.
    pub(crate) fn open(settings: Settings, timeout: Duration) -> Result<Self, Stop> {
        let driver = Driver::start(settings, || ()).map_err(|error| stop_of_start(&error))?;
        Self::with(driver, timeout)
    }

    /// As [`Client::open`], but an error says which.
    pub(crate) fn try_open(settings: Settings, timeout: Duration) -> Result<Result<Self, Stop>, StartError> {
        Driver::start(settings, || ()).map(|driver| Self::with(driver, timeout))
    }

    fn with(driver: Driver, timeout: Duration) -> Result<Self, Stop> {
        let clock = Clock::start();
        let mut client = Self { driver, model: Model::default(), answers: HashMap::new(), clock, timeout };
        // It needs nobody else, so it comes at once.
        let note = client.driver.wait_note(Duration::from_secs(60));
        client.fold(note.ok_or_else(|| Stop::Refused("the profile could not be read in time".to_owned()))?)?;
        Ok(client)
    }

    /// Takes a note in, and returns the changes in it.
    pub(crate) fn fold(&mut self, note: Note) -> Result<Vec<Delta>, Stop> {
        match note {
            Note::Model(model) => self.model = *model,
            Note::Changed(deltas) => {
                self.model.apply_all(&deltas);
                return Ok(deltas);
            }
            Note::Answer { ticket, outcome } => {
                self.answers.insert(ticket, outcome);
            }
            Note::Broken(why) => return Err(Stop::Refused(why)),
        }
        Ok(Vec::new())
    }

    /// The next changes, however long that takes.
    pub(crate) fn next_changes(&mut self) -> Result<Vec<Delta>, Stop> {
        loop {
            // Only a broken driver ends its notes, and it says so first.
            if let Some(note) = self.driver.wait_note(Duration::from_secs(3600)) {
                return self.fold(note);
            }
        }
    }

    /// Folds notes until something holds; false if it does not in time.
    pub(crate) fn wait(&mut self, holds: impl Fn(&Self) -> Result<bool, Stop>) -> Result<bool, Stop> {
        let begun = self.clock.monotonic();
        while !holds(self)? {
            let passed = Duration::from_millis(self.clock.monotonic().since(begun));
            match self.driver.wait_note(self.timeout.saturating_sub(passed)) {
                Some(note) => drop(self.fold(note)?),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Waits until the node has told everything.
    pub(crate) fn connect(&mut self) -> Result<(), Stop> {
        let online = self.wait(|client| match &client.model.link.state {
            LinkState::Online => Ok(client.model.synced),
            LinkState::LogInNeeded { why } => Err(Stop::NotLoggedIn(hint(why))),
            LinkState::Stopped { why } => Err(Stop::Unreachable(why.clone())),
            _ => Ok(false),
        })?;
        if online { Ok(()) } else { Err(self.unreachable()) }
    }

    /// As [`Client::connect`], but nobody has to answer, or let anybody in, where what is held `is_enough`: the reason then.
    pub(crate) fn connect_unless(&mut self, is_enough: bool) -> Result<Option<String>, Stop> {
        match self.connect() {
            Ok(()) => Ok(None),
            Err(Stop::Unreachable(_)) if is_enough => Ok(Some("no server reached".to_owned())),
            Err(Stop::NotLoggedIn(why)) if is_enough => Ok(Some(why)),
            Err(stop) => Err(stop),
        }
    }

    /// The same for what is shown from disk, which belongs to whoever sits here, logged in or not; that is said.
    pub(crate) fn connect_or_show_held(&mut self) -> Result<(), Stop> {
        if let Some(why) = self.connect_unless(!self.model.conversations.is_empty())? {
            eprintln!("chat: {}: this is what was here", for_line(&why));
        }
        Ok(())
    }

    pub(crate) fn unreachable(&self) -> Stop {
        let link = &self.model.link;
        if link.stale && link.state == LinkState::Online {
            return Stop::Unreachable(format!(
                "{} answers, but too few servers reach each other, so that nothing can be stored now (waited {:?})",
                link.address, self.timeout
            ));
        }
        let why = match (link.why(), &link.state) {
            (Some(why), _) => why.to_owned(),
            (_, LinkState::Connecting { address }) => format!("{address} does not answer"),
            _ => "the node did not answer in time".to_owned(),
        };
        Stop::Unreachable(format!("no server reached within {:?}: {why}", self.timeout))
    }

    pub(crate) fn send(&self, command: Command) -> Result<Ticket, Stop> {
        self.driver.send(command).map_err(|error| Stop::Refused(error.to_string()))
    }

    /// The answer to a command, if it has come.
    pub(crate) fn has_answer(&self, ticket: Ticket) -> bool {
        self.answers.contains_key(&ticket)
    }

    pub(crate) fn take_answer(&mut self, ticket: Ticket) -> Option<Result<Answer, Failure>> {
        self.answers.remove(&ticket)
    }

    /// Asks and waits for the answer.
    pub(crate) fn ask(&mut self, command: Command) -> Result<Answer, Stop> {
        let ticket = self.send(command)?;
        self.answer(ticket)
    }

    pub(crate) fn answer(&mut self, ticket: Ticket) -> Result<Answer, Stop> {
        if !self.wait(|client| Ok(client.has_answer(ticket)))? {
            return Err(self.unreachable());
        }
        match self.take_answer(ticket).expect("it was there") {
            Ok(answer) => Ok(answer),
            Err(failure) => Err(stop_of(failure)),
        }
    }

    // ---- who ---------------------------------------------------------------------------------------------------

    /// Where a message to somebody goes.
    pub(crate) fn target(&self, who: &str) -> Result<Target, Stop> {
        let who = Who::parse(who)?;
        let held = match who {
            Who::Conversation(_) => None,
            Who::Person(name) => self.model.direct(name),
        };
        Ok(held.map_or_else(|| who.target(), |found| Target::Conversation(found.id)))
    }

    /// A conversation that is there.
    pub(crate) fn conversation(&self, who: &str) -> Result<&Conversation, Stop> {
        let found = match Who::parse(who)? {
            Who::Conversation(id) => self.model.conversations.get(&id),
            Who::Person(name) => self.model.direct_typed(name),
        };
        found.ok_or_else(|| Stop::Refused(format!("there is no conversation with {who}: send something first")))
    }
}

/// A WHO of the command line: somebody, or a conversation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Who<'a> {
    /// `#7`: a conversation by its number.
    Conversation(u64),
    /// `@name`: somebody by user name, whatever it begins with. A name that begins with neither sign may stand alone.
    Person(&'a str),
}

impl<'a> Who<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Stop> {
        if let Some(number) = text.strip_prefix('#') {
            return number.parse().map(Who::Conversation).map_err(|_| {
                let text =
                    format!("{text} is no conversation: a number follows the #; @{text} is somebody of that name");
                Stop::Usage(text)
            });
        }
        match text.strip_prefix('@').unwrap_or(text) {
            "" => Err(Stop::Usage("nobody is named: a user name, @ and a user name, or # and a number".to_owned())),
            name => Ok(Who::Person(name)),
        }
    }

    /// The target of a message, for somebody who holds no account's data: the node knows who is meant, however the name was typed.
    pub(crate) fn target(&self) -> Target {
        match *self {
            Who::Conversation(id) => Target::Conversation(id),
            Who::Person(name) => Target::Username(name.to_owned()),
        }
    }
}

/// Why a profile cannot be used.
pub(crate) fn stop_of_start(error: &StartError) -> Stop {
    match error {
        StartError::Profile(ProfileError::InUse(_)) | StartError::Store(_) => Stop::Refused(error.to_string()),
        _ => Stop::Usage(error.to_string()),
    }
}

pub(crate) fn hint(why: &str) -> String {
    format!("{why} (chat login NAME, or chat signup NAME)")
}

fn stop_of(failure: Failure) -> Stop {
    let text = failure.to_string();
    match failure {
        Failure::Offline(_) | Failure::Unknown => Stop::Unreachable(text),
        Failure::LogInNeeded(why) => Stop::NotLoggedIn(hint(&why)),
        Failure::Refused(refusal) if refusal.text.is_empty() => {
            Stop::Refused(format!("the node refuses it ({:?})", refusal.code))
        }
        Failure::Refused(_) | Failure::TooLate | Failure::NotNow(_) | Failure::Busy(_) => Stop::Refused(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_one_meaning() {
        let check = |text, expected: Option<Who<'_>>| assert_eq!(Who::parse(text).ok(), expected, "{text}");
        check("#1", Some(Who::Conversation(1)));
        check("ann", Some(Who::Person("ann")));
        check("@ann", Some(Who::Person("ann")));
        // Names from before they were refused.
        check("@#1", Some(Who::Person("#1")));
        check("@@ann", Some(Who::Person("@ann")));
        check("#", None);
        check("#ann", None);
        check("#-1", None);
        check("@", None);
        check("", None);
    }
}
