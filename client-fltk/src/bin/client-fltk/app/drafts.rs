//! What has been typed and not sent, for each conversation.
//!
//! Writing to disk means waiting for it, and people type faster than disks are: what was typed goes to disk a moment
//! later, together with what was typed meanwhile. Whoever looks away from a field has it there at once.

use std::collections::{BTreeMap, BTreeSet};

use client_fltk::command::Command;
use client_fltk::model::Text;

use super::{Cmd, For};

/// How long something typed may be nowhere but in memory, milliseconds. That much is lost when the machine dies.
pub(crate) const SAVE_AFTER_MS: u64 = 300;

/// The drafts. Nobody else writes to those of a running client, so that what the driver tells of them is old news.
#[derive(Debug, Default)]
pub(crate) struct Drafts {
    texts: BTreeMap<u64, Text>,
    /// Those that the driver does not know as they are.
    unsaved: BTreeSet<u64>,
    /// When it is to be told, milliseconds since 1970; `None`: it knows all.
    save_at_ms: Option<u64>,
}

impl Drafts {
    /// What is on disk.
    pub(crate) fn from_disk(texts: BTreeMap<u64, Text>) -> Self {
        Self { texts, ..Self::default() }
    }

    /// What is in the field of a conversation.
    pub(crate) fn of(&self, conversation: u64) -> &str {
        self.texts.get(&conversation).map_or("", |text| text)
    }

    /// The field has changed; false: to what it was.
    pub(crate) fn write(&mut self, conversation: u64, text: &str, now_ms: u64) -> bool {
        if self.of(conversation) == text {
            return false;
        }
        if text.is_empty() {
            self.texts.remove(&conversation);
        } else {
            self.texts.insert(conversation, text.into());
        }
        self.not_saved(conversation, now_ms);
        true
    }

    /// The driver has not taken it.
    pub(crate) fn not_saved(&mut self, conversation: u64, now_ms: u64) {
        self.unsaved.insert(conversation);
        self.save_at_ms.get_or_insert(now_ms + SAVE_AFTER_MS);
    }

    /// Everything that is to go to disk.
    pub(crate) fn save(&mut self) -> Vec<Cmd> {
        self.save_at_ms = None;
        let unsaved = std::mem::take(&mut self.unsaved).into_iter();
        let draft = |conversation| Command::Draft { conversation, text: self.of(conversation).into() };
        unsaved.map(|conversation| Cmd::Ask(draft(conversation), For::Draft(conversation))).collect()
    }

    /// The same, if it has waited long enough.
    pub(crate) fn save_due(&mut self, now_ms: u64) -> Vec<Cmd> {
        if self.due_in_ms(now_ms) == Some(0) { self.save() } else { Vec::new() }
    }

    /// Milliseconds until something is to go to disk.
    pub(crate) fn due_in_ms(&self, now_ms: u64) -> Option<u64> {
        // A clock that is put back must not put it off.
        self.save_at_ms.map(|at| at.saturating_sub(now_ms)).map(|ms| if ms > SAVE_AFTER_MS { 0 } else { ms })
    }
}
