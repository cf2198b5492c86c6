//! The chat pages of one client that asked last, and which of them are still open.

use std::time::Instant;

use wire::replication::command::{Chat, Command};

use super::page::Page;
use crate::limits::{PAGE_SILENCE_MAX, PAGES_KEPT_MAX};

/// Newest last.
#[derive(Debug, Default)]
pub(super) struct Pages(Vec<Known>);

/// A page, and whether it is still open.
#[derive(Debug)]
struct Known {
    chat: Box<str>,
    page: Page,
    state: PageState,
}

/// As far as the server can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageState {
    /// It was last answered then.
    Answered(Instant),
    /// It waits for a write on its connection, however long that takes.
    Waiting,
    Closed,
}

impl Pages {
    /// Remembers what a page shows now.
    pub(super) fn remember(&mut self, chat: &str, page: Page, now: Instant) {
        self.0.retain(|known| *known.chat != *chat);
        if self.0.len() >= PAGES_KEPT_MAX {
            self.0.remove(0);
        }
        self.0.push(Known { chat: chat.into(), page, state: PageState::Answered(now) });
    }

    /// What the page of this chat was shown last, whether or not it is still open.
    pub(super) fn page(&self, chat: &str) -> Option<&Page> {
        self.0.iter().find(|known| *known.chat == *chat).map(|known| &known.page)
    }

    /// The page of this chat, if it is still open.
    pub(super) fn open_page(&self, chat: &str, now: Instant) -> Option<Page> {
        self.0.iter().find(|known| *known.chat == *chat && known.is_open(now)).map(|known| known.page.clone())
    }

    /// The next to ask for this chat is a new page.
    pub(super) fn close_page(&mut self, chat: &str) {
        if let Some(known) = self.0.iter_mut().find(|known| *known.chat == *chat) {
            known.state = PageState::Closed;
        }
    }

    /// A command is about to be written.
    pub(super) fn before(&mut self, command: &Command<'_>) {
        if let Command::DeleteMessages { chat: Chat::Id(conversation), numbers, .. } = command {
            self.ask_deletion(*conversation, numbers);
        }
    }

    /// A page asks to delete these messages.
    fn ask_deletion(&mut self, conversation: u64, numbers: &[u64]) {
        for known in self.0.iter_mut().filter(|known| known.page.conversation == conversation) {
            known.page.ask_deletion(numbers);
        }
    }

    /// Places of messages that are remembered in all of them.
    pub(super) fn places(&self) -> usize {
        self.0.iter().map(|known| known.page.places()).sum()
    }

    /// Whether there is any page whose state could change.
    pub(super) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// A write begins. The original's client does nothing else until it is answered.
    pub(super) fn wait(&mut self, now: Instant) {
        for known in self.0.iter_mut().filter(|known| known.is_open(now)) {
            known.state = PageState::Waiting;
        }
    }

    /// The last write was answered.
    pub(super) fn go_on(&mut self, now: Instant) {
        for known in self.0.iter_mut().filter(|known| known.state == PageState::Waiting) {
            known.state = PageState::Answered(now);
        }
    }
}

impl Known {
    fn is_open(&self, now: Instant) -> bool {
        match self.state {
            PageState::Answered(at) => now.saturating_duration_since(at) <= PAGE_SILENCE_MAX,
            PageState::Waiting => true,
            PageState::Closed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::env::Clock;

    fn page(conversation: u64) -> Page {
        Page::opened(conversation, vec![1, 2])
    }

    #[test]
    fn pages_are_remembered_up_to_a_bound() {
        let mut pages = Pages::default();
        let now = Clock.monotonic();
        for chat in 0..PAGES_KEPT_MAX as u64 {
            pages.remember(&chat.to_string(), page(chat), now);
        }
        pages.remember("0", page(100), now);
        pages.remember("new", page(200), now);
        assert_eq!(pages.page("0"), Some(&page(100)));
        assert_eq!(pages.page("1"), None);
        assert_eq!(pages.page("2"), Some(&page(2)));
    }

    #[test]
    fn a_page_is_open_until_it_falls_silent() {
        let mut pages = Pages::default();
        let start = Clock.monotonic();
        let after = |seconds| start + Duration::from_secs(seconds);
        pages.remember("a", page(1), start);
        assert_eq!(pages.open_page("a", after(5)), Some(page(1)));
        assert_eq!(pages.open_page("a", after(6)), None);
        assert_eq!(pages.page("a"), Some(&page(1)), "its places still count");

        // A write that takes long is no silence; but a page that was closed before it stays closed.
        pages.remember("b", page(2), after(3));
        pages.wait(after(7));
        assert_eq!(pages.open_page("b", after(17)), Some(page(2)));
        pages.go_on(after(17));
        assert_eq!(pages.open_page("b", after(18)), Some(page(2)));
        assert_eq!(pages.open_page("a", after(18)), None);
        pages.close_page("b");
        assert_eq!(pages.open_page("b", after(18)), None);
    }
}
