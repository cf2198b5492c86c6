//! What happens to the connection, and what the node says on it.

use std::mem;

use wire::chat::event::Bye;
use wire::chat::item::Node;
use wire::chat::{Code, Event, FromNode, Reply, Request, reply, request};
use wire::codec::Codec;
use wire::frame::{self, Splitter};
use wire::limits::WATCHED_MAX;
use wire::samira2;
use wire::session::client::{Heard, State, Why};
use wire::time::Millis;

use super::{Asked, Engine};
use crate::command::{Command, Failure};
use crate::limits::STALE_MS;
use crate::model::delta::{of_changes, of_event};
use crate::model::{Delta, Link, LinkState, WriteState};

impl Engine {
    /// An address is about to be tried.
    pub(crate) fn dialling(&mut self, address: &str) {
        self.set_link(LinkState::Connecting { address: address.to_owned() });
    }

    /// The current address does not answer, or not as it should. `telling`: somebody was there.
    pub(crate) fn dial_failed(&mut self, why: String, telling: bool) {
        self.note_trouble(why, telling);
        let now = self.now();
        self.candidates.failed(now);
    }

    /// All known addresses were tried in vain; the next attempt is at `retry`.
    pub(crate) fn offline(&mut self, retry: Millis) {
        let retry_ms = self.clock.unix_ms().saturating_add(retry.since(self.now()));
        self.set_link(LinkState::Offline { retry_ms });
        self.trouble_is_telling = false;
        self.fail_waiting(&Failure::Offline(self.trouble.clone()));
    }

    /// Trying further would not help.
    pub(crate) fn stopped(&mut self, why: &str) {
        self.set_link(LinkState::Stopped { why: why.to_owned() });
        self.fail_waiting(&Failure::Offline(why.to_owned()));
        self.fail_entry(Failure::Offline(why.to_owned()));
    }

    /// A connection stands, TLS included, whose certificate names this cluster.
    pub(crate) fn connected(&mut self, encrypted: bool, certified: Option<&str>) {
        self.certified = certified.map(str::to_owned);
        self.incoming.clear();
        self.splitter = Splitter::of_node(self.codec);
        self.preface_seen = self.codec != Codec::Samira2;
        self.out.clear();
        if self.codec == Codec::Samira2 {
            self.out.extend_from_slice(&samira2::PREFACE);
        }
        self.model.link.encrypted = encrypted;
        self.client.connected(self.now());
    }

    /// The connection is gone. Does nothing if there was none.
    pub(crate) fn lost(&mut self, why: String) {
        self.client.handle_closed();
        self.note_trouble(why, true);
        self.hangup = None;
        self.out.clear();
        self.incoming.clear();
        self.writes.handle_lost();
        self.syncing = false;
        self.marks_asked = false;
        self.probe_at = None;
        self.read_only = false;
        let mut again = Vec::new();
        while let Some(tag) = self.client.poll_unanswered() {
            match self.asked.remove(&tag) {
                Some(Asked::Command(ticket, command)) => again.push((ticket, command)),
                Some(Asked::Next { ticket, conversation, .. }) => again.push((ticket, Command::Next { conversation })),
                _ => {}
            }
        }
        self.asked.clear();
        self.entry_unanswered();
        for (ticket, command) in again.into_iter().rev() {
            self.unanswered(ticket, command);
        }
        let now = self.now();
        self.candidates.failed(now);
        if !self.wants_connection() && !matches!(self.model.link.state, LinkState::LogInNeeded { .. }) {
            let why = self.nobody();
            self.need_login(&why);
        }
    }

    pub(super) fn note_trouble(&mut self, why: String, telling: bool) {
        if telling || !self.trouble_is_telling {
            self.trouble = why;
            self.trouble_is_telling = telling;
        }
    }

    /// The reason to close the connection, if there is one.
    pub(crate) fn wants_hangup(&mut self) -> Option<String> {
        if let State::Lost(why) = self.client.state() {
            let text = match why {
                Why::Closed => "the connection was closed",
                Why::Bye(Code::Stopping) => "the node is being stopped",
                Why::Bye(_) | Why::Refused(_) => "the node has ended the connection",
                Why::Silence => "nothing was heard for too long",
                Why::NoReply => "the node does not answer any more",
                Why::Nonsense => "the other side speaks something else: is this a Samira server?",
            };
            return Some(self.hangup.take().unwrap_or_else(|| text.to_owned()));
        }
        self.hangup.take()
    }

    /// Bytes have arrived. They are taken.
    pub(crate) fn received(&mut self, bytes: &mut Vec<u8>) {
        self.client.handle_bytes(self.now());
        self.incoming.append(bytes);
        if !self.preface_seen {
            match samira2::strip_preface(&self.incoming) {
                Ok(None) => return,
                Ok(Some(_)) => {
                    self.incoming.drain(..samira2::PREFACE.len());
                    self.preface_seen = true;
                }
                Err(_) => return self.client.handle_malformed(),
            }
        }
        // Frames borrow from the buffer while the rest of the engine changes.
        let mut buffer = mem::take(&mut self.incoming);
        let mut taken = 0;
        loop {
            match self.splitter.push(&buffer[taken..]) {
                Ok(None) => break,
                Ok(Some(len)) => {
                    let body = frame::body(self.codec, &mut buffer[taken..taken + len]);
                    taken += len;
                    match self.codec.decode::<FromNode<'_>>(body) {
                        Ok(frame) => self.frame(frame),
                        Err(_) => self.client.handle_malformed(),
                    }
                }
                Err(_) => {
                    self.client.handle_malformed();
                    break;
                }
            }
            if matches!(self.client.state(), State::Lost(_)) {
                break;
            }
        }
        buffer.drain(..taken);
        self.incoming = buffer;
    }

    fn frame(&mut self, frame: FromNode<'_>) {
        let was_ready = self.client.state() == State::Ready;
        let now = self.now();
        match self.client.handle_frame(frame, now) {
            Heard::Welcome(welcome) => self.welcome(&welcome),
            Heard::Entered(session) => self.entered(&session),
            Heard::Refused(error) => self.entry_refused(&error),
            Heard::Reply { tag, reply } => {
                let (code, text) = match &reply {
                    Some(Reply::Error(error)) => (error.code, error.text.to_owned()),
                    _ => (Code::NotLoggedIn, String::new()),
                };
                if let Some(asked) = self.asked.remove(&tag) {
                    self.replied(asked, reply.as_ref());
                }
                if was_ready && self.client.state() == State::Greeted {
                    self.logged_out(code, &text);
                }
            }
            Heard::Event(event) => self.event(&event),
            Heard::Bye(bye) => self.bye(&bye),
            Heard::Nothing => {}
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Nodes(nodes) => {
                self.learn(&nodes.nodes);
                self.look_for_a_majority(&nodes.nodes);
            }
            Event::Update(changes) => self.note_stale(changes.stale),
            _ => {}
        }
        for delta in of_event(event, self.clock.unix_ms()) {
            self.change(delta);
        }
        if let Event::Update(_) = event {
            self.look_for_echoes();
        }
    }

    fn bye(&mut self, bye: &Bye<'_>) {
        if !bye.text.is_empty() {
            self.hangup = Some(bye.text.to_owned());
        }
        if matches!(bye.code, Code::Revoked | Code::TokenReused | Code::BadToken) {
            self.logged_out(bye.code, bye.text);
        }
    }

    /// What nodes there are: more places to go to.
    pub(super) fn learn(&mut self, nodes: &[Node<'_>]) {
        let usable: Vec<_> = nodes
            .iter()
            .filter(|node| node.address.parse().is_ok_and(|address| self.may_use(&address)))
            .copied()
            .collect();
        self.candidates.learn(&usable);
        self.keep_addresses();
    }

    // ---- synchronization ---------------------------------------------------------------------------------------

    pub(super) fn sync(&mut self) {
        let behind = self.model.conversations.values().filter(|found| found.is_behind()).map(|found| found.id);
        let behind = behind.take(WATCHED_MAX).collect();
        let request = Request::Sync(request::Sync { cursor: self.model.cursor, limit: 0, behind });
        self.syncing = self.ask(&request, Asked::Sync).is_ok();
    }

    pub(super) fn synced(&mut self, changes: &reply::Changes<'_>) {
        self.note_stale(changes.stale);
        for delta in of_changes(changes) {
            self.change(delta);
        }
        if changes.more {
            self.sync();
        } else {
            self.syncing = false;
            self.look_for_echoes();
        }
        if self.read_only && !changes.stale {
            self.hangup = Some("a majority answers again".to_owned());
        }
    }

    /// A message that is stored, among those that were told, and not held was passed over: it came with unread messages
    /// that were read elsewhere, or it is deleted. It is looked for by its number.
    pub(super) fn look_for_echoes(&mut self) {
        if self.syncing {
            return;
        }
        let told = |id| self.model.conversations.get(&id).map_or(0, |found| found.told);
        let asked = |id, wanted| {
            let same = |asked: &Asked| matches!(asked, Asked::Echo { conversation, number } if (*conversation, *number) == (id, wanted));
            self.asked.values().any(same)
        };
        let stored = self.model.outbox.values().filter_map(|outgoing| match outgoing.state {
            WriteState::Stored { conversation, number } => Some((conversation, number)),
            _ => None,
        });
        let missed: Vec<_> = stored.filter(|&(id, number)| number <= told(id) && !asked(id, number)).collect();
        for (conversation, number) in missed {
            let wanted = request::History { conversation, after: 0, before: number + 1, limit: 1 };
            // Where there is no room for it, the next change or sync asks again.
            let _ = self.ask(&Request::History(wanted), Asked::Echo { conversation, number });
        }
    }

    /// A node says so when nobody leads, and what that means shows when it is asked: who only reads must not take what is
    /// here for the newest. A leader's return is looked at at once.
    fn look_for_a_majority(&mut self, nodes: &[Node<'_>]) {
        let is_led = nodes.iter().any(|node| node.leader);
        if is_led == self.model.link.stale {
            self.probe_at = Some(if is_led { self.now() } else { self.now().after(STALE_MS) });
        }
    }

    /// Whether a majority stands behind what the node says.
    pub(super) fn note_stale(&mut self, stale: bool) {
        if self.model.link.stale != stale {
            let link = Link { stale, ..self.model.link.clone() };
            self.change(Delta::Link(link));
        }
        self.probe_at = (stale || self.read_only).then(|| self.now().after(STALE_MS));
    }
}
