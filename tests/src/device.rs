//! Somebody's device: the library that people's programs stand on, with a model that is folded from what it tells, as a
//! window would do it.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use client_fltk::command::{Answer, Command, Failure, Note, Password, Ticket};
use client_fltk::limits::TAIL_MESSAGES;
use client_fltk::link::Link;
use client_fltk::model::{Conversation, Delta, LinkState, Model, Outgoing, WriteState};
use client_fltk::net::driver::{Driver, SendError, Settings};

use crate::cluster::Node;
use crate::{PATIENCE, now, wait_for};

/// How long one wait for notes lasts at most, so that a deadline is looked at again.
const TURN: Duration = Duration::from_millis(50);

/// One device, running or not.
pub struct Device {
    settings: Settings,
    driver: Option<Driver>,
    /// What it shows.
    pub model: Model,
    /// Every message that it was told of since it was made, in that order: conversation, number and text.
    pub told: Vec<(u64, u64, String)>,
    /// Commands that are not answered, and were not lost with the process.
    open: usize,
    answers: HashMap<Ticket, Result<Answer, Failure>>,
}

/// What is known of a conversation, without its messages.
struct Facts<'m>(&'m Conversation);

impl fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conversation { id, members, last_number, cleared, behind, handed, read_here, spans, unheld, told, .. } =
            self.0;
        f.debug_struct("Conversation")
            .field("id", id)
            .field("members", members)
            .field("last_number", last_number)
            .field("cleared", cleared)
            .field("behind", behind)
            .field("handed", handed)
            .field("read_here", read_here)
            .field("spans", spans)
            .field("unheld", unheld)
            .field("told", told)
            .finish_non_exhaustive()
    }
}

/// The client link that this node prints.
///
/// # Panics
/// When the node does not answer.
pub fn link(node: &Node) -> Link {
    let status = node.admin("status").expect("a serving node answers");
    status["client_link"].as_str().expect("a link is text").parse().expect("a printed link is understood")
}

impl Device {
    /// Starts a device on a profile in `directory`, which is made.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(directory: &Path, link: Link) -> Self {
        let directory = Some(directory.to_owned());
        let settings = Settings { directory, link: Some(link), ..Settings::default() };
        let (model, told, answers) = (Model::default(), Vec::new(), HashMap::new());
        let mut device = Self { settings, driver: None, model, told, open: 0, answers };
        device.resume();
        // The profile remembers.
        device.settings.link = None;
        device
    }

    /// Ends it. Answers that did not come are lost.
    pub fn cut(&mut self) {
        self.driver = None;
        self.open = 0;
        self.answers.clear();
    }

    /// Starts it again on its profile; the model is what the profile holds.
    ///
    /// # Panics
    /// When it does not start.
    pub fn resume(&mut self) {
        assert!(self.driver.is_none(), "it runs already");
        let driver = Driver::start(self.settings.clone(), || ()).expect("the profile can be used");
        let Some(Note::Model(model)) = driver.wait_note(PATIENCE) else { panic!("the first note is the model") };
        self.model = *model;
        self.driver = Some(driver);
    }

    /// Asks for something; the answer comes with a later note.
    ///
    /// # Panics
    /// When the driver has ended, or too many commands wait: callers wait for answers.
    pub fn send(&mut self, command: Command) -> Ticket {
        let ticket = match self.driver().send(command) {
            Ok(ticket) => ticket,
            Err(error @ (SendError::Busy | SendError::Ended)) => panic!("{error}"),
        };
        self.open += 1;
        ticket
    }

    /// How many commands are not answered yet.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open
    }

    /// Folds what has come; waits a moment if nothing has. False: nothing came.
    ///
    /// # Panics
    /// When the disk under the profile does not work.
    pub fn turn(&mut self) -> bool {
        let Some(note) = self.driver().wait_note(TURN) else { return false };
        self.fold(note);
        self.take();
        true
    }

    /// Folds what has come, without waiting.
    ///
    /// # Panics
    /// As [`Device::turn`].
    pub fn take(&mut self) {
        while let Some(note) = self.driver().try_note() {
            self.fold(note);
        }
    }

    /// The answer to a command, once it has come.
    pub fn answer(&mut self, ticket: Ticket) -> Option<Result<Answer, Failure>> {
        self.answers.remove(&ticket)
    }

    /// All answers that have come and were not looked at.
    pub fn answers(&mut self) -> impl Iterator<Item = (Ticket, Result<Answer, Failure>)> {
        self.answers.drain()
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// What the driver says.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn ask(&mut self, command: Command) -> Result<Answer, Failure> {
        let what = format!("the answer to {command:?}");
        let ticket = self.send(command);
        wait_for(&what, || {
            self.turn();
            self.answer(ticket)
        })
    }

    /// Asks again as long as no node is there, which passes; returns the answer.
    ///
    /// # Panics
    /// When it is refused, or [`PATIENCE`] is over.
    pub fn ask_until_reached(&mut self, command: &Command) -> Answer {
        let deadline = now() + PATIENCE;
        loop {
            match self.ask(command.clone()) {
                Ok(answer) => return answer,
                Err(Failure::Offline(_)) if now() < deadline => {
                    self.turn();
                }
                Err(failure) => panic!("{command:?}: {failure}"),
            }
        }
    }

    /// Makes the account `name` and waits until everything is known.
    ///
    /// # Panics
    /// When that is refused.
    pub fn sign_up(&mut self, name: &str) {
        let password = Password::of(name);
        self.ask_until_reached(&Command::SignUp { username: name.into(), nickname: String::new(), password });
        self.wait_synced();
    }

    /// Logs in as `name` and waits until everything is known.
    ///
    /// # Panics
    /// When that is refused.
    pub fn log_in(&mut self, name: &str) {
        self.ask_until_reached(&Command::LogIn { username: name.into(), password: Password::of(name) });
        self.wait_synced();
    }

    /// Folds until something holds.
    ///
    /// # Panics
    /// When it does not come about.
    pub fn wait(&mut self, what: &str, mut holds: impl FnMut(&Model) -> bool) {
        let deadline = now() + PATIENCE;
        while !holds(&self.model) {
            assert!(now() < deadline, "waited {PATIENCE:?} in vain for {what}; the link: {:?}", self.model.link);
            self.turn();
        }
    }

    /// Folds until the device is connected and knows everything.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn wait_synced(&mut self) {
        self.wait("a device to know everything", |model| {
            model.link.state == LinkState::Online && model.synced && !model.link.stale
        });
    }

    /// Folds until everything that this device wants written is stored, and its marks are known.
    ///
    /// # Panics
    /// When that does not come about, or something was refused.
    pub fn wait_written(&mut self) {
        self.wait_synced();
        let deadline = now() + PATIENCE;
        loop {
            // A message that is kept back with unread ones comes with those.
            let unwritten = |state: &WriteState| !matches!(state, WriteState::Stored { .. });
            let waiting: Vec<_> = self.model.outbox.values().filter(|one| unwritten(&one.state)).collect();
            let refused = waiting.iter().find(|one| matches!(one.state, WriteState::Refused(_)));
            assert!(refused.is_none(), "refused: {refused:?}");
            let marks: Vec<_> = self.model.marks_due().collect();
            if waiting.is_empty() && marks.is_empty() {
                return;
            }
            assert!(now() < deadline, "waited {PATIENCE:?} in vain for {waiting:?} and the marks {marks:?}");
            self.turn();
        }
    }

    /// Asks for unread messages until nothing is kept back.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn catch_up(&mut self) {
        self.wait_synced();
        let behind = |model: &Model| model.conversations.values().find(|one| one.is_behind()).map(|one| one.id);
        let deadline = now() + PATIENCE;
        while let Some(conversation) = behind(&self.model) {
            assert!(now() < deadline, "conversation {conversation} stays behind");
            self.ask_until_reached(&Command::Next { conversation });
        }
    }

    /// Folds until every message of this device has come back, or is known to be gone.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn wait_seen_through(&mut self) {
        let deadline = now() + PATIENCE;
        while !self.model.outbox.is_empty() && now() < deadline {
            self.turn();
        }
        let conversation = |one: &Outgoing| match one.state {
            WriteState::Stored { conversation, .. } => self.model.conversations.get(&conversation),
            _ => None,
        };
        let left: Vec<_> = self.model.outbox.values().map(|one| (one, conversation(one).map(Facts))).collect();
        assert!(left.is_empty(), "stored, and never seen again, at cursor {}: {left:?}", self.model.cursor);
    }

    /// Looks at older messages until the newest [`TAIL_MESSAGES`] of every conversation are held, or all of them.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn read_back(&mut self, all: bool) {
        let conversations: Vec<_> = self.model.conversations.keys().copied().collect();
        let deadline = now() + PATIENCE;
        for conversation in conversations {
            loop {
                let found = &self.model.conversations[&conversation];
                let tail = found.last_number.saturating_sub(TAIL_MESSAGES as u64);
                let first = found.cleared.max(if all { 0 } else { tail }) + 1;
                // The highest number below which something may be missing.
                let mut before = found.last_number + 1;
                while before > first && found.spans.covers(before - 1, before - 1) {
                    before -= 1;
                }
                if before <= first {
                    break;
                }
                assert!(now() < deadline, "history does not fill conversation {conversation}");
                self.ask_until_reached(&Command::History { conversation, before, limit: TAIL_MESSAGES as u64 });
            }
        }
    }

    fn driver(&self) -> &Driver {
        self.driver.as_ref().expect("it runs")
    }

    fn fold(&mut self, note: Note) {
        match note {
            Note::Model(_) => panic!("the model comes once"),
            Note::Changed(deltas) => {
                for delta in &deltas {
                    if let Delta::Message { conversation, message, .. } = delta {
                        self.told.push((*conversation, message.number, message.text.0.clone()));
                    }
                }
                self.model.apply_all(&deltas);
            }
            Note::Answer { ticket, outcome } => {
                self.open -= 1;
                self.answers.insert(ticket, outcome);
            }
            Note::Broken(why) => panic!("the driver has ended: {why}"),
        }
    }
}
