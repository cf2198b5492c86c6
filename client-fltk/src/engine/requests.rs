//! Commands on their way to a node, and what comes back.

use wire::chat::{Code, Reply, Request, request};
use wire::limits::{MESSAGES_PER_REPLY_MAX, WATCHED_MAX};
use wire::session::client::State;

use super::outbox::GONE;
use super::{Asked, Engine};
use crate::command::{Answer, Command, Device, Failure, Ticket};
use crate::limits::{FIELD_BYTES_MAX, PENDING_MAX};
use crate::model::delta::{of_history, of_next};
use crate::model::{Delta, LinkState, Message, Person, Refusal, Summary, Way, is_aside};

impl Engine {
    /// A program wants something.
    pub(crate) fn command(&mut self, ticket: Ticket, command: Command) {
        if has_long_field(&command) {
            let text = format!("that is too long: at most {FIELD_BYTES_MAX} bytes");
            return self.answer(ticket, Err(Failure::NotNow(text)));
        }
        match Self::write_of(command) {
            Ok(write) => self.queue(ticket, write),
            Err(Command::Discard { key }) => self.discard(ticket, key),
            Err(command @ (Command::SignUp { .. } | Command::LogIn { .. })) => self.want_entry(ticket, command),
            Err(Command::LogOut) if self.client.state() != State::Ready => {
                self.leave("logged out");
                self.answer(ticket, Ok(Answer::Done));
            }
            Err(Command::MarkRead { conversation, upto }) => {
                if self.model.conversations.get(&conversation).is_some_and(|found| found.read_here < upto) {
                    self.change(Delta::ReadHere { conversation, upto });
                }
                self.answer(ticket, Ok(Answer::Done));
            }
            Err(Command::Draft { conversation, text }) => {
                self.change(Delta::Draft { conversation, text });
                self.answer(ticket, Ok(Answer::Done));
            }
            Err(Command::Typing { conversation, on }) => {
                if self.has_room() && !is_aside(conversation) {
                    let request = Request::Typing(request::Typing { conversation, on });
                    // Without a connection nobody is told, which is what typing means.
                    let _ = self.ask(&request, Asked::Typing);
                }
                self.answer(ticket, Ok(Answer::Done));
            }
            Err(Command::Watch(mut users)) => {
                users.truncate(WATCHED_MAX);
                self.watch_due |= self.watched != users;
                self.watched = users;
                self.answer(ticket, Ok(Answer::Done));
            }
            Err(Command::ConnectNow) => {
                self.answer(ticket, Ok(Answer::Done));
            }
            Err(Command::History { conversation, before, limit })
                if is_aside(conversation) || self.is_on_disk(conversation, before, limit) =>
            {
                self.history_from_disk(ticket, conversation, before, limit, is_aside(conversation));
            }
            Err(Command::Next { conversation }) if is_aside(conversation) => {
                self.answer(ticket, Err(Failure::NotNow(GONE.to_owned())));
            }
            Err(command) => self.wait_for_room(ticket, command),
        }
    }

    fn wait_for_room(&mut self, ticket: Ticket, command: Command) {
        match &self.model.link.state {
            LinkState::LogInNeeded { why } => {
                let failure = Failure::LogInNeeded(why.clone());
                self.unreachable(ticket, command, &failure);
            }
            LinkState::Offline { .. } | LinkState::Stopped { .. } => {
                let failure = Failure::Offline(self.model.link.why().unwrap_or_default().to_owned());
                self.unreachable(ticket, command, &failure);
            }
            _ if self.waiting.len() >= PENDING_MAX => {
                let text = "too many requests wait already";
                self.answer(ticket, Err(Failure::Busy(text.to_owned())));
            }
            _ => self.waiting.push_back((ticket, command)),
        }
    }

    /// A request was lost with its connection.
    pub(super) fn unanswered(&mut self, ticket: Ticket, command: Command) {
        match command {
            // Doing these twice is not the same, or says something else the second time.
            Command::ChangePassword { .. } | Command::DeleteAccount { confirm: true, .. } => {
                self.answer(ticket, Err(Failure::Unknown));
            }
            Command::LogOut => {
                self.leave("logged out");
                self.answer(ticket, Ok(Answer::Done));
            }
            repeatable => self.waiting.push_front((ticket, repeatable)),
        }
    }

    pub(super) fn fail_waiting(&mut self, failure: &Failure) {
        for (ticket, command) in std::mem::take(&mut self.waiting) {
            self.unreachable(ticket, command, failure);
        }
    }

    fn unreachable(&mut self, ticket: Ticket, command: Command, failure: &Failure) {
        match command {
            // Old messages are shown as far as they are here.
            Command::History { conversation, before, limit }
                if self.model.conversations.contains_key(&conversation) =>
            {
                self.history_from_disk(ticket, conversation, before, limit, true);
            }
            _ => self.answer(ticket, Err(failure.clone())),
        }
    }

    /// Sends what waits for room.
    pub(super) fn pump_waiting(&mut self) {
        while self.has_room()
            && let Some((ticket, command)) = self.waiting.pop_front()
        {
            self.send_command(ticket, command);
        }
    }

    pub(super) fn send_watch(&mut self) {
        let request = Request::Watch(request::Watch { users: self.watched.clone().into() });
        self.watch_due = self.ask(&request, Asked::Watch).is_err();
    }

    fn send_command(&mut self, ticket: Ticket, command: Command) {
        let sent = match &command {
            Command::Next { conversation } => {
                let conversation = *conversation;
                let me = self.model.me();
                let after = self.model.conversations.get(&conversation).map_or(0, |found| found.next_after(me));
                let request = Request::Next(request::Next { conversation, after });
                self.ask(&request, Asked::Next { ticket, conversation, after })
            }
            _ => match request_of(&command) {
                Some(request) => self.ask(&request, Asked::Command(ticket, command.clone())),
                None => return,
            },
        };
        if sent.is_err() {
            self.waiting.push_front((ticket, command));
        }
    }

    /// A request of the caller's was answered.
    pub(super) fn replied(&mut self, asked: Asked, reply: Option<&Reply<'_>>) {
        match (asked, reply) {
            (Asked::Write { seq, blank }, reply) => self.write_answered(seq, blank, reply),
            (Asked::Sync, Some(Reply::Changes(changes))) => self.synced(changes),
            (Asked::Sync, _) => {
                // Without it nothing would ever be pushed; another node may do better.
                self.syncing = false;
                self.hangup = Some("the node could not tell what has happened".to_owned());
            }
            (Asked::Echo { conversation, number }, Some(Reply::Messages(messages))) => {
                for delta in of_history(conversation, 0, number + 1, 0, messages) {
                    self.change(delta);
                }
            }
            (Asked::Echo { .. }, _) => {}
            (Asked::Marks(marks), reply) => {
                self.marks_asked = false;
                if !matches!(reply, Some(Reply::Error(_))) {
                    let user = self.model.me();
                    for (conversation, marks) in marks {
                        self.change(Delta::Mark { conversation, user, marks });
                    }
                } else {
                    // Not now; they stay due.
                    self.marks_from = self.now().after(crate::limits::STALE_MS);
                }
            }
            (Asked::Watch | Asked::Typing, _) => {}
            (Asked::Next { ticket, conversation, after }, Some(Reply::Messages(messages))) => {
                self.note_stale_of(messages.stale);
                for delta in of_next(conversation, after, messages) {
                    self.change(delta);
                }
                self.answer_messages(ticket, conversation, messages);
            }
            (Asked::Next { ticket, conversation, .. }, reply) => {
                self.answered(ticket, Command::Next { conversation }, reply);
            }
            (Asked::Command(ticket, command), reply) => self.answered(ticket, command, reply),
        }
    }

    fn note_stale_of(&mut self, stale: bool) {
        if stale != self.model.link.stale {
            self.note_stale(stale);
        }
    }

    fn answer_messages(&mut self, ticket: Ticket, conversation: u64, messages: &wire::chat::reply::Messages<'_>) {
        let list = messages.messages.iter().map(Message::from).filter(|message| !message.deleted).collect();
        let answer = Answer::Messages { conversation, messages: list, more: messages.more, stale: messages.stale };
        self.answer(ticket, Ok(answer));
    }

    fn answered(&mut self, ticket: Ticket, command: Command, reply: Option<&Reply<'_>>) {
        let answer = match (command, reply) {
            (command, Some(Reply::Error(error))) => return self.command_refused(ticket, command, error),
            (Command::LogOut, _) => {
                self.leave("logged out");
                Answer::Done
            }
            (Command::DeleteAccount { confirm, .. }, Some(Reply::Lost(lost))) => {
                if confirm {
                    self.leave("the account was deleted");
                }
                Answer::Count(lost.count)
            }
            (Command::History { conversation, before, .. }, Some(Reply::Messages(messages))) => {
                self.note_stale_of(messages.stale);
                let newest = self.model.conversations.get(&conversation).map_or(0, |found| found.last_number);
                for delta in of_history(conversation, 0, before, newest, messages) {
                    self.change(delta);
                }
                return self.answer_messages(ticket, conversation, messages);
            }
            (_, Some(Reply::Opened(opened))) => {
                self.change(Delta::Opened(Summary::from(opened)));
                Answer::Opened(opened.conversation)
            }
            (_, Some(Reply::Users(users))) => {
                self.note_stale_of(users.stale);
                Answer::People {
                    people: users.people.iter().map(Person::from).collect(),
                    total: users.total,
                    stale: users.stale,
                }
            }
            (_, Some(Reply::Devices(devices))) => Answer::Devices(devices.devices.iter().map(Device::from).collect()),
            _ => Answer::Done,
        };
        self.answer(ticket, Ok(answer));
    }

    fn command_refused(&mut self, ticket: Ticket, command: Command, error: &wire::chat::reply::Error<'_>) {
        let refusal = Refusal { code: error.code, text: error.text.to_owned() };
        match (&command, error.code) {
            // The node logs this device in again by itself, then the command is asked again.
            (_, Code::NotLoggedIn) => self.waiting.push_back((ticket, command)),
            (Command::LogOut, _) => {
                self.leave("logged out");
                self.answer(ticket, Ok(Answer::Done));
            }
            _ => self.answer(ticket, Err(Failure::Refused(refusal))),
        }
    }

    // ---- old messages ------------------------------------------------------------------------------------------

    /// From which number on to which number a page of history goes; `None` if there is no such conversation.
    fn page(&self, conversation: u64, before: u64, limit: u64) -> Option<(u64, u64)> {
        let found = self.model.conversations.get(&conversation)?;
        let last = if before == 0 { found.last_number } else { before - 1 };
        let limit = limit.clamp(1, MESSAGES_PER_REPLY_MAX as u64);
        Some((last.saturating_sub(limit).max(found.cleared) + 1, last))
    }

    fn is_on_disk(&self, conversation: u64, before: u64, limit: u64) -> bool {
        let Some((first, last)) = self.page(conversation, before, limit) else { return false };
        self.model.conversations.get(&conversation).is_some_and(|found| found.spans.covers(first, last))
    }

    fn history_from_disk(&mut self, ticket: Ticket, conversation: u64, before: u64, limit: u64, stale: bool) {
        let Some((first, last)) = self.page(conversation, before, limit) else {
            let text = "there is no such conversation here".to_owned();
            return self.answer(ticket, Err(Failure::NotNow(text)));
        };
        let count = usize::try_from(limit.clamp(1, MESSAGES_PER_REPLY_MAX as u64)).unwrap_or(MESSAGES_PER_REPLY_MAX);
        let mut messages = match self.store.messages_before(conversation, last.saturating_add(1), count) {
            Ok(messages) => messages,
            Err(error) => return self.break_down(error),
        };
        // With holes in between, what is here is better than nothing.
        messages.retain(|message| stale || message.number >= first);
        let lowest = messages.last().map_or(first, |message| message.number.min(first));
        let cleared = self.model.conversations.get(&conversation).map_or(0, |found| found.cleared);
        for message in messages.iter().cloned() {
            // Written again as they are; who shows them folds them from the same note as everything else.
            self.change(Delta::Message { conversation, message, way: Way::History });
        }
        messages.retain(|message| !message.deleted);
        let more = lowest > cleared + 1;
        self.answer(ticket, Ok(Answer::Messages { conversation, messages, more, stale }));
    }
}

/// The request for a command that is one, whatever was said before.
fn request_of(command: &Command) -> Option<Request<'_>> {
    Some(match command {
        Command::LogOut => Request::Logout(request::Nothing {}),
        Command::History { conversation, before, limit } => {
            Request::History(request::History { conversation: *conversation, after: 0, before: *before, limit: *limit })
        }
        Command::Users { pattern, skip, limit } => {
            Request::Users(request::Users { pattern, skip: *skip, limit: *limit })
        }
        Command::OpenConversation { username } => Request::Open(request::Open { username }),
        Command::Devices => Request::Devices(request::Nothing {}),
        Command::Revoke { device } => Request::Revoke(request::Revoke { device: *device }),
        Command::ChangePassword { old, new } => {
            Request::Password(request::Password { password: old.wire(), new_password: new.wire() })
        }
        Command::DeleteAccount { password, confirm } => {
            Request::DeleteAccount(request::DeleteAccount { password: password.wire(), confirm: *confirm })
        }
        _ => return None,
    })
}

/// Whether a name or pattern is so long that no node would take it.
fn has_long_field(command: &Command) -> bool {
    let fields: [&str; 2] = match command {
        Command::SignUp { username, nickname, .. } => [username, nickname],
        Command::LogIn { username, .. } | Command::OpenConversation { username } => [username, ""],
        Command::Send { to: crate::model::Target::Username(username), .. } => [username, ""],
        Command::Users { pattern, .. } => [pattern, ""],
        Command::Nickname(nickname) => [nickname, ""],
        _ => return false,
    };
    fields.iter().any(|field| field.len() > FIELD_BYTES_MAX)
}
