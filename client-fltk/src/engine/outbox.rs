//! Writes that must happen once: on disk before anything is sent, sent until they are answered.
//!
//! A write is queued under a key of this device. It gets its number when there is a session and room for it, and number
//! and content are on disk before its bytes leave: what was possibly sent always has its number here, and what has none
//! can be taken back.

use std::borrow::Cow;

use wire::chat::code::Remedy;
use wire::chat::{Code, Reply, Request, request};
use wire::limits::{ITEMS_PER_REQUEST_MAX, MESSAGE_TEXT_BYTES_MAX, NAME_REST_MS};
use wire::session::Writes;
use wire::session::writes::{Fate, blank, uses_number};
use wire::text::{self, TextError};

use super::{Asked, Engine};
use crate::command::{Answer, Command, Failure, Ticket};
use crate::limits::{OUTBOX_MAX, WRITES_MAX};
use crate::model::{Delta, Outgoing, Refusal, Target, Text, Write, WriteState, is_aside};

/// Of a conversation that was set aside.
pub(super) const GONE: &str = "the servers do not have this conversation any more: it is kept here to be read";

impl Engine {
    /// At the start: which numbers may have been sent.
    pub(super) fn restore_outbox(&mut self) {
        for outgoing in self.model.outbox.values() {
            self.next_key = self.next_key.max(outgoing.key + 1);
            match outgoing.state {
                WriteState::Queued => {
                    self.queued.insert(outgoing.key);
                }
                WriteState::Sent => {
                    self.numbers.insert(outgoing.seq, outgoing.key);
                }
                // Its number is still to be used up.
                WriteState::Refused(_) if outgoing.seq != 0 => {
                    self.numbers.insert(outgoing.seq, outgoing.key);
                }
                WriteState::Stored { .. } | WriteState::Refused(_) => {}
            }
        }
        let mut numbers: Vec<_> = self.numbers.keys().copied().collect();
        numbers.sort_unstable();
        match Writes::restored(numbers) {
            Ok(writes) => self.writes = writes,
            Err(_) => self.give_up_unanswered(),
        }
    }

    /// Nobody is left to send for.
    pub(super) fn forget_outbox(&mut self) {
        let lost = Failure::NotNow("the account was left before it was sent".to_owned());
        let tickets: Vec<_> = self.tickets.drain().map(|(_, ticket)| ticket).collect();
        for ticket in tickets {
            self.answer(ticket, Err(lost.clone()));
        }
        self.numbers.clear();
        self.queued.clear();
        self.writes = Writes::new();
    }

    /// The numbers here mean nothing any more. What may have been sent is left to the user's judgement.
    pub(super) fn give_up_unanswered(&mut self) {
        let mut keys: Vec<_> = self.numbers.drain().map(|(_, key)| key).collect();
        keys.sort_unstable();
        for key in keys {
            let text = "whether it was stored cannot be found out: look before you send it again";
            self.refused(key, 0, Refusal { code: Code::Undecided, text: text.to_owned() });
        }
        self.writes = Writes::new();
    }

    /// A command that writes once: on disk first.
    pub(super) fn queue(&mut self, ticket: Ticket, mut write: Write) {
        if let Write::Send { text, .. } = &mut write
            && let Cow::Owned(stored) = text::with_line_feeds(text)
        {
            // As the server keeps it, so that what comes back is what was sent.
            *text = Text(stored);
        }
        if let Err(failure) = self.check(&write) {
            return self.answer(ticket, Err(failure));
        }
        let write = self.addressed(write);
        let key = self.next_key;
        self.next_key += 1;
        let created_ms = self.clock.unix_ms();
        self.change(Delta::Queued(Outgoing { key, seq: 0, write, created_ms, state: WriteState::Queued }));
        self.queued.insert(key);
        self.tickets.insert(key, ticket);
    }

    /// A message is for the account that has the name now, where that is known.
    fn addressed(&self, write: Write) -> Write {
        match write {
            Write::Send { to: Target::Username(username), text } => {
                let own = self.model.account.as_ref().filter(|own| own.username == username).map(|own| own.user);
                let user = own.or_else(|| self.model.person_named(&username).map(|person| person.user));
                let to = match user {
                    Some(user) => Target::Account { user, username },
                    None => Target::Username(username),
                };
                Write::Send { to, text }
            }
            other => other,
        }
    }

    /// Whether a message is for a name whose owner nobody here has met, and has waited for so long that it may be another one.
    fn is_outdated(&self, key: u64) -> bool {
        let written_before = self.clock.unix_ms().saturating_sub(NAME_REST_MS);
        self.model.outbox.get(&key).is_some_and(|outgoing| {
            let named = matches!(outgoing.write, Write::Send { to: Target::Username(_), .. });
            named && outgoing.created_ms < written_before
        })
    }

    fn check(&self, write: &Write) -> Result<(), Failure> {
        let not_now = |text: &str| Err(Failure::NotNow(text.to_owned()));
        if self.model.account.is_none() || self.store.identity().device == 0 {
            return Err(Failure::LogInNeeded(self.nobody()));
        }
        if self.queued.len() >= OUTBOX_MAX {
            let text = "too much waits to be sent already: wait until it was sent";
            return Err(Failure::Busy(text.to_owned()));
        }
        match write {
            Write::Send { to: Target::Conversation(id), .. }
            | Write::Delete { conversation: id, .. }
            | Write::Clear { conversation: id, .. }
                if is_aside(*id) =>
            {
                not_now(GONE)
            }
            Write::Send { text, .. } => match text::check(text) {
                Ok(()) => Ok(()),
                Err(TextError::Blank) => not_now("there is nothing in the message"),
                Err(TextError::TooLong) => {
                    let length = text.len();
                    not_now(&format!("the message is too long: {length} bytes, at most {MESSAGE_TEXT_BYTES_MAX}"))
                }
                Err(error @ TextError::Control) => not_now(&error.to_string()),
            },
            Write::Delete { numbers, .. } if numbers.is_empty() => not_now("no message is named"),
            Write::Delete { numbers, .. } if numbers.len() > ITEMS_PER_REQUEST_MAX => {
                Err(Failure::NotNow(format!("too many at once: at most {ITEMS_PER_REQUEST_MAX}")))
            }
            _ => Ok(()),
        }
    }

    /// Takes a message back.
    pub(super) fn discard(&mut self, ticket: Ticket, key: u64) {
        let state = self.model.outbox.get(&key).map(|outgoing| (&outgoing.state, outgoing.seq));
        let outcome = match state {
            Some((WriteState::Queued | WriteState::Refused(_), 0)) => {
                self.queued.remove(&key);
                self.change(Delta::Dropped { key });
                if let Some(waiting) = self.tickets.remove(&key) {
                    self.answer(waiting, Err(Failure::NotNow("it was taken back".to_owned())));
                }
                Ok(Answer::Done)
            }
            Some(_) => Err(Failure::TooLate),
            None => Err(Failure::NotNow("there is no such message in the outbox".to_owned())),
        };
        self.answer(ticket, outcome);
    }

    /// Gives numbers to what waits and sends what is due.
    pub(super) fn pump_writes(&mut self) {
        if self.read_only {
            return;
        }
        while self.writes.unanswered() < WRITES_MAX as u64
            && let Some(&key) = self.queued.first()
        {
            if self.is_outdated(key) {
                self.queued.remove(&key);
                let text = "it has waited for so long that the name may be somebody else's by now: look who has it, and send it anew";
                self.refused(key, 0, Refusal { code: Code::NoSuchUser, text: text.to_owned() });
                continue;
            }
            let Some(seq) = self.writes.assign() else { break };
            self.queued.remove(&key);
            self.numbers.insert(seq, key);
            self.change(Delta::WriteState { key, seq, state: WriteState::Sent });
        }
        let now = self.now();
        while self.has_room()
            && let Some(due) = self.writes.poll_send(now)
        {
            self.send_write(due.seq, due.blank);
        }
    }

    fn send_write(&mut self, seq: u64, use_up: bool) {
        let outgoing = self.numbers.get(&seq).and_then(|key| self.model.outbox.get(key));
        let write = outgoing.filter(|outgoing| !use_up && outgoing.state == WriteState::Sent);
        let write = write.map(|outgoing| outgoing.write.clone());
        let request = match &write {
            Some(Write::Send { to: Target::Conversation(conversation), text }) => {
                Request::Send(request::Send { conversation: *conversation, text, seq, ..request::Send::default() })
            }
            Some(Write::Send { to: Target::Username(username), text }) => {
                Request::Send(request::Send { username, text, seq, ..request::Send::default() })
            }
            // Without the name: a node that knew no ids would go by it.
            Some(Write::Send { to: Target::Account { user, .. }, text }) => {
                Request::Send(request::Send { user: *user, text, seq, ..request::Send::default() })
            }
            Some(Write::Delete { conversation, numbers }) => {
                Request::Delete(request::Delete { conversation: *conversation, numbers: numbers.clone().into(), seq })
            }
            Some(Write::Clear { conversation, upto }) => {
                Request::Clear(request::Clear { conversation: *conversation, upto: *upto, seq })
            }
            Some(Write::Nickname(nickname)) => Request::Nickname(request::Nickname { nickname, seq }),
            Some(Write::ViewLimit(view_limit)) => {
                Request::ViewLimit(request::ViewLimit { view_limit: *view_limit, seq })
            }
            None => blank(seq),
        };
        let asked = Asked::Write { seq, blank: write.is_none() };
        let outcome = self.ask(&request, asked);
        debug_assert!(outcome.is_ok(), "there was room");
    }

    /// A write was answered.
    pub(super) fn write_answered(&mut self, seq: u64, was_blank: bool, reply: Option<&Reply<'_>>) {
        let error = match reply {
            Some(Reply::Error(error)) => Some(error),
            _ => None,
        };
        let now = self.now();
        let fate = self.writes.handle_answer(seq, error.map_or(Ok(()), Err), now);
        let final_refusal = error.filter(|error| error.code.remedy() == Remedy::GiveUp);
        let Some(&key) = self.numbers.get(&seq) else { return };
        if was_blank {
            return self.blank_answered(key, seq, reply, final_refusal.map(|error| error.code));
        }
        if fate != Fate::Final {
            return;
        }
        match (reply, final_refusal) {
            (_, Some(error)) if error.code == Code::AlreadyDone => {
                let answer = match self.model.outbox.get(&key).map(|outgoing| &outgoing.write) {
                    Some(Write::Send { to, .. }) => {
                        let conversation = match to {
                            Target::Conversation(id) => *id,
                            Target::Username(username) => self.model.direct(username).map_or(0, |found| found.id),
                            Target::Account { user, .. } => {
                                self.model.conversation_with(*user).map_or(0, |found| found.id)
                            }
                        };
                        Answer::Stored { conversation, number: 0 }
                    }
                    _ => Answer::Done,
                };
                self.done(key, seq, answer);
            }
            (_, Some(error)) => {
                let refusal = Refusal { code: error.code, text: error.text.to_owned() };
                let seq_left = if uses_number(error.code) { 0 } else { seq };
                if seq_left == 0 {
                    self.numbers.remove(&seq);
                }
                self.refused(key, seq_left, refusal);
            }
            (Some(Reply::Sent(sent)), None) => {
                let state = WriteState::Stored { conversation: sent.conversation, number: sent.number };
                self.numbers.remove(&seq);
                self.change(Delta::WriteState { key, seq, state });
                self.answer_write(key, Ok(Answer::Stored { conversation: sent.conversation, number: sent.number }));
                self.look_for_echoes();
            }
            (Some(Reply::Removed(removed)), None) => self.done(key, seq, Answer::Count(removed.count)),
            (_, None) => {
                if let Some(&Write::Clear { conversation, upto }) =
                    self.model.outbox.get(&key).map(|outgoing| &outgoing.write)
                {
                    self.change(Delta::Cleared { conversation, upto });
                }
                self.done(key, seq, Answer::Done);
            }
        }
    }

    /// What stood in place of a write was answered: with what the cluster has kept about the write, if it ever saw it.
    fn blank_answered(&mut self, key: u64, seq: u64, reply: Option<&Reply<'_>>, refused: Option<Code>) {
        let not_now = matches!(reply, Some(Reply::Error(_))) && refused.is_none();
        // A blank is well formed: that is said of the write.
        if not_now || refused.is_some_and(|code| code != Code::Malformed && !uses_number(code)) {
            return;
        }
        // A message that came back by itself before its answer has left the outbox, and is still waited for.
        match (reply, refused) {
            (Some(Reply::Sent(sent)), _) => {
                let stored = Answer::Stored { conversation: sent.conversation, number: sent.number };
                self.answer_write(key, Ok(stored));
            }
            (_, Some(Code::AlreadyDone)) => self.answer_write(key, Ok(Answer::Stored { conversation: 0, number: 0 })),
            _ => {}
        }
        self.number_used_up(key, seq);
    }

    fn done(&mut self, key: u64, seq: u64, answer: Answer) {
        self.numbers.remove(&seq);
        self.change(Delta::Dropped { key });
        self.answer_write(key, Ok(answer));
    }

    /// A write will never be done. A message stays in sight until it is discarded; anything else only as long as its number
    /// (0: none) is not used up.
    fn refused(&mut self, key: u64, seq: u64, refusal: Refusal) {
        let is_send = self.model.outbox.get(&key).is_some_and(|outgoing| outgoing.write.is_send());
        if is_send || seq != 0 {
            self.change(Delta::WriteState { key, seq, state: WriteState::Refused(refusal.clone()) });
        } else {
            self.change(Delta::Dropped { key });
        }
        self.answer_write(key, Err(Failure::Refused(refusal)));
    }

    fn number_used_up(&mut self, key: u64, seq: u64) {
        self.numbers.remove(&seq);
        match self.model.outbox.get(&key) {
            Some(outgoing) if outgoing.write.is_send() => {
                let state = outgoing.state.clone();
                self.change(Delta::WriteState { key, seq: 0, state });
            }
            _ => self.change(Delta::Dropped { key }),
        }
    }

    fn answer_write(&mut self, key: u64, outcome: Result<Answer, Failure>) {
        if let Some(ticket) = self.tickets.remove(&key) {
            self.answer(ticket, outcome);
        }
    }

    /// The write that a command asks for, if it is one.
    pub(super) fn write_of(command: Command) -> Result<Write, Command> {
        Ok(match command {
            Command::Send { to, text } => Write::Send { to, text },
            Command::Delete { conversation, numbers } => Write::Delete { conversation, numbers },
            Command::Clear { conversation, upto } => Write::Clear { conversation, upto },
            Command::Nickname(nickname) => Write::Nickname(nickname),
            Command::ViewLimit(limit) => Write::ViewLimit(limit),
            other => return Err(other),
        })
    }
}
