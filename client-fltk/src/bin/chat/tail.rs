//! What is unread, then what comes.

use std::collections::BTreeMap;

use client_fltk::command::{Command, Ticket};
use client_fltk::harmless::for_line;
use client_fltk::model::{Delta, Link, LinkState, Message};

use crate::client::Client;
use crate::show::{Screen, print_json};
use crate::{Stop, json};

/// Follows one conversation, or all of them.
pub(crate) struct Tail {
    pub(crate) only: Option<u64>,
    pub(crate) keep_unread: bool,
    pub(crate) json: bool,
    /// Number of the last message shown, by conversation.
    shown: BTreeMap<u64, u64>,
    /// The request for more of a conversation that is behind.
    next: Option<Ticket>,
    online: bool,
    /// No majority answers.
    stale: bool,
    screen: Screen,
}

impl Tail {
    pub(crate) fn new(client: &Client, only: Option<u64>, keep_unread: bool, json: bool) -> Self {
        let me = client.model.me();
        let shown = client.model.conversations.values().map(|found| (found.id, found.read(me))).collect();
        Self { only, keep_unread, json, shown, next: None, online: true, stale: false, screen: Screen::new() }
    }

    /// Until nobody reads it any more, or it cannot go on.
    pub(crate) fn follow(mut self, client: &mut Client) -> Result<(), Stop> {
        let link = client.model.link.clone();
        self.link(&link)?;
        loop {
            self.show_new(client)?;
            for delta in client.next_changes()? {
                self.tell(client, &delta)?;
            }
        }
    }

    fn is_followed(&self, conversation: u64) -> bool {
        self.only.is_none_or(|only| only == conversation)
    }

    /// Shows messages that were handed over in order and not shown yet, and asks for more where there are more.
    fn show_new(&mut self, client: &mut Client) -> Result<(), Stop> {
        if let Some(ticket) = self.next
            && client.has_answer(ticket)
        {
            client.take_answer(ticket);
            self.next = None;
        }
        let (mut read, mut behind) = (Vec::new(), None);
        let only = self.only;
        let followed = |id| only.is_none_or(|only| only == id);
        for found in client.model.conversations.values().filter(|found| followed(found.id)) {
            let from = self.shown.entry(found.id).or_insert(0);
            let upto = found.readable();
            if upto > *from {
                let new: Vec<&Message> = found
                    .messages
                    .range(*from + 1..=upto)
                    .map(|(_, message)| message)
                    .filter(|new| !new.deleted)
                    .collect();
                for message in new {
                    if self.json {
                        print_json(&json::message(&client.model, found.id, message))?;
                    } else {
                        self.screen.message(&client.model, found.id, message, self.only.is_none())?;
                    }
                }
                *from = upto;
                read.push((found.id, upto));
            }
            if found.is_behind() {
                behind = Some(found.id);
            }
        }
        if !self.keep_unread {
            for (conversation, upto) in read {
                client.send(Command::MarkRead { conversation, upto })?;
            }
        }
        if self.next.is_none()
            && let Some(conversation) = behind
            && self.online
        {
            self.next = Some(client.send(Command::Next { conversation })?);
        }
        Ok(())
    }

    /// What is no message.
    fn tell(&mut self, client: &Client, delta: &Delta) -> Result<(), Stop> {
        match delta {
            Delta::Deleted { conversation, number } if self.is_followed(*conversation) => {
                if self.json {
                    print_json(&json::deleted(*conversation, *number))?;
                } else {
                    let title = for_line(&client.model.title(*conversation));
                    self.screen.line(&format!("      #{number} with {title} was deleted"))?;
                }
            }
            Delta::Mark { conversation, user, marks } if self.json && self.is_followed(*conversation) => {
                print_json(&json::mark(*conversation, *user, marks.delivered, marks.read))?;
            }
            Delta::Link(link) => {
                self.link(link)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// How the connection is, where that is news.
    fn link(&mut self, link: &Link) -> Result<(), Stop> {
        let is_stale = link.stale && link.state == LinkState::Online;
        if is_stale && !self.stale {
            eprintln!("chat: {}: too few servers reach each other; what is sent waits", for_line(&link.address));
        } else if self.stale && !link.stale && link.state == LinkState::Online {
            eprintln!("chat: enough servers reach each other again");
        }
        self.stale = is_stale;
        match &link.state {
            LinkState::Online if !self.online => {
                self.online = true;
                eprintln!("chat: connected again, to {}", for_line(&link.address));
            }
            LinkState::Offline { .. } if self.online => {
                self.online = false;
                let why = link.why().unwrap_or_default();
                eprintln!("chat: no server reached ({}); trying again", for_line(why));
            }
            LinkState::LogInNeeded { why } => return Err(Stop::NotLoggedIn(why.clone())),
            LinkState::Stopped { why } => return Err(Stop::Unreachable(why.clone())),
            _ => {}
        }
        Ok(())
    }
}
