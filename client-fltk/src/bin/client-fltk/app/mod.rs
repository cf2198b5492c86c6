//! The desktop client without its windows: a state, what can happen to it ([`Msg`]), and what is to be done then
//! ([`Cmd`]). Nothing here draws, waits or reads a clock, so that all of it is tested without a display.
//!
//! [`msg`] lists both; [`sending`] is what becomes of a text when Enter is pressed; [`update`] is the one way in; [`chat`] is the open conversation; [`drafts`] is what was
//! typed and not sent; [`words`] is what is said to people.

pub(crate) mod chat;
mod drafts;
mod entry;
pub(crate) mod msg;
pub(crate) mod sending;
mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod update;
pub(crate) mod words;

use client_fltk::model::{LinkState, Model, Person, is_aside};
use wire::names::Pattern;

pub(crate) use chat::Chat;
pub(crate) use drafts::Drafts;
pub(crate) use entry::{Entry, EntryField};
pub(crate) use msg::{Cmd, For, Msg, Setting};
pub(crate) use settings::{Settings, Theme};
pub(crate) use update::update;

/// How long a typed character says that somebody types, milliseconds: told again that often at most.
const TYPING_AGAIN_MS: u64 = 3_000;

/// How long a question stands before it can be answered, milliseconds: the button that confirms may come to lie under the second
/// half of a double click.
const UNANSWERED_MS: u64 = 400;

/// People of one page of a search.
const PEOPLE_PAGE: u64 = 50;

/// Everything that the windows show.
#[derive(Debug, Default)]
pub(crate) struct App {
    /// What the driver has told.
    pub(crate) model: Model,
    /// There is a driver.
    pub(crate) is_started: bool,
    /// The server page, and what stands under its field.
    pub(crate) server: Option<String>,
    /// The server that was named last.
    pub(crate) wanted: String,
    /// The page on which one logs in or signs up.
    pub(crate) entry: Entry,
    /// Who is logged out wants to log in; otherwise they read what is here.
    pub(crate) wants_entry: bool,
    /// Where one is in the sidebar.
    pub(crate) tab: Tab,
    /// What was searched for, and whom it has found.
    pub(crate) search: Search,
    /// The open conversation.
    pub(crate) chat: Option<Chat>,
    /// What is in the writing fields.
    pub(crate) drafts: Drafts,
    /// The settings page.
    pub(crate) settings: Settings,
    /// What has to be confirmed.
    pub(crate) question: Option<Question>,
    /// When that was asked, milliseconds since 1970, or what deleting the account would cost was told.
    asked_ms: u64,
    /// Something went wrong that belongs to no field.
    pub(crate) notice: Option<String>,
    /// The window has the keyboard.
    pub(crate) has_focus: bool,
    /// Milliseconds since 1970 when something last happened.
    pub(crate) now_ms: u64,
    /// The disk does not work.
    pub(crate) broken: Option<String>,
    wants_attention: bool,
    watched: Vec<u64>,
    typing_until_ms: u64,
}

/// The three places of the sidebar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tab {
    #[default]
    Chats,
    People,
    Settings,
}

/// The whole window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// Which server?
    Server,
    /// Who are you?
    Entry,
    /// Everything else.
    Main,
    /// Nothing works any more.
    Broken,
}

/// The search field of the sidebar.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// What is in it.
    pub(crate) text: String,
    /// People who fit.
    pub(crate) people: Vec<Person>,
    /// How many fit in all.
    pub(crate) total: u64,
    /// The answer has not come.
    pub(crate) waiting: bool,
    /// Why there is no answer.
    pub(crate) failure: Option<String>,
    serial: u64,
}

/// What has to be confirmed before it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// To delete these messages for everybody.
    Delete(Vec<u64>),
    /// To empty one's own view up to this number.
    Clear(u64),
    /// To leave; that many messages are still on their way.
    LogOut(usize),
    /// To send what is in the field in so many messages.
    Parts(usize),
}

impl Question {
    /// It is asked where messages are written.
    pub(crate) fn is_of_chat(&self) -> bool {
        !matches!(self, Self::LogOut(_))
    }

    /// What is asked, and what the button says.
    pub(crate) fn words(&self) -> (String, &'static str) {
        match self {
            Self::Delete(numbers) => {
                (format!("Delete {} for everybody?", words::count(numbers.len() as u64, "message")), "Delete")
            }
            Self::Parts(count) => (format!("Too long. Send it in {count} parts?"), "Send in parts"),
            Self::Clear(_) => ("Empty this conversation? Others keep their messages.".to_owned(), "Empty"),
            Self::LogOut(0) => ("Log out and forget everything on this device?".to_owned(), "Log out"),
            Self::LogOut(waiting) => {
                let waiting = words::count(*waiting as u64, "message");
                (format!("{waiting} not sent yet would be lost. Log out all the same?"), "Log out")
            }
        }
    }
}

/// A line of the list in the sidebar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Listed<'a> {
    /// A conversation.
    Conversation(u64),
    /// Somebody.
    Person(&'a Person),
    /// The line above what was found.
    Heading(&'static str),
    /// More people fit.
    More(u64),
}

/// What going back leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Top {
    Question,
    Notice,
    /// The server page, where there is something to go back to.
    Server,
    Choosing,
    Search,
    Settings,
    Chat,
}

impl App {
    /// What lies on top of everything else; `None`: there is only the list.
    pub(crate) fn on_top(&self) -> Option<Top> {
        match () {
            () if self.question.is_some() => Some(Top::Question),
            () if self.notice.is_some() => Some(Top::Notice),
            () if self.server.is_some() && self.is_started => Some(Top::Server),
            () if self.chat.as_ref().is_some_and(|chat| chat.choosing) => Some(Top::Choosing),
            () if !self.search.text.is_empty() => Some(Top::Search),
            () if self.tab == Tab::Settings => Some(Top::Settings),
            () => self.chat.as_ref().map(|_| Top::Chat),
        }
    }

    /// Asks, and notes when.
    fn ask(&mut self, question: Question) {
        self.question = Some(question);
        self.asked_ms = self.now_ms;
    }

    /// Which page is shown.
    pub(crate) fn page(&self) -> Page {
        if self.broken.is_some() {
            return Page::Broken;
        }
        if self.server.is_some() || !self.is_started {
            return Page::Server;
        }
        match self.model.account {
            None => Page::Entry,
            Some(_) if self.is_logged_out() && self.wants_entry => Page::Entry,
            Some(_) => Page::Main,
        }
    }

    /// Whether somebody's messages are here who is not logged in any more.
    pub(crate) fn is_logged_out(&self) -> bool {
        self.model.account.is_some() && matches!(self.model.link.state, LinkState::LogInNeeded { .. })
    }

    /// The list in the sidebar.
    pub(crate) fn listed(&self) -> Vec<Listed<'_>> {
        let text = self.search.text.trim();
        let mut listed = Vec::new();
        if self.tab != Tab::People {
            let wanted = Pattern::parse(text);
            let ids = self.model.newest_first().into_iter();
            let fits = |id: &u64| text.is_empty() || self.model.fits(*id, &wanted);
            listed.extend(ids.filter(fits).map(Listed::Conversation));
            if text.is_empty() {
                return listed;
            }
        }
        let me = self.model.me();
        let known = |person: &Person| {
            self.tab != Tab::People
                && listed.iter().any(|line| match line {
                    Listed::Conversation(id) => {
                        self.model.conversation_with(person.user).is_some_and(|one| one.id == *id)
                    }
                    _ => false,
                })
        };
        let people = self.search.people.iter().filter(|person| person.user != me && !known(person));
        let people: Vec<_> = people.map(Listed::Person).collect();
        if self.tab != Tab::People && !people.is_empty() {
            listed.push(Listed::Heading("People"));
        }
        listed.extend(people);
        let held = self.search.people.len() as u64;
        if held < self.search.total && held > 0 {
            listed.push(Listed::More(self.search.total - held));
        }
        listed
    }

    /// Why the list is empty, if it is.
    pub(crate) fn why_empty(&self) -> Option<String> {
        let people = self.tab == Tab::People;
        if let Some(failure) = self.search.failure.as_ref().filter(|_| people || !self.search.text.is_empty()) {
            return Some(failure.clone());
        }
        if self.search.waiting {
            return Some("Searching…".to_owned());
        }
        Some(match (people, self.search.text.is_empty()) {
            (_, false) => "Nobody of that name. Try fewer letters, or * for any.".to_owned(),
            (true, true) => "Nobody else has an account yet.".to_owned(),
            (false, true) if !self.model.synced && self.model.cursor == 0 => "Loading…".to_owned(),
            (false, true) => "No conversations yet. Find somebody under People.".to_owned(),
        })
    }

    /// The name in the title bar.
    pub(crate) fn window_title(&self) -> String {
        let unread = match self.model.unread_total() {
            0 => String::new(),
            unread => format!("({unread}) "),
        };
        match &self.chat {
            Some(chat) if self.page() == Page::Main => format!("{unread}{} – Samira", self.model.title(chat.id)),
            _ => format!("{unread}Samira"),
        }
    }

    /// The newest message of others in the open conversation, as one would read it out.
    pub(crate) fn newest_said(&self) -> Option<String> {
        let found = self.model.conversations.get(&self.chat.as_ref()?.id)?;
        let newest = found.newest().filter(|newest| newest.sender != self.model.me())?;
        Some(format!("{}: {}", self.model.name(newest.sender), newest.text.0))
    }

    /// The other side of a conversation of two.
    pub(crate) fn peer(&self, conversation: u64) -> Option<&Person> {
        let me = self.model.me();
        let members = &self.model.conversations.get(&conversation)?.members;
        let mut others = members.keys().filter(|&&user| user != me);
        let (user, more) = (others.next()?, others.next());
        more.is_none().then(|| self.model.people.get(user)).flatten()
    }

    /// Under the name of a conversation: whether the other side is there.
    pub(crate) fn presence(&self, conversation: u64) -> String {
        match self.peer(conversation) {
            _ if is_aside(conversation) => "the servers do not have this any more".to_owned(),
            Some(person) if person.gone => "deleted their account".to_owned(),
            _ if self.model.link.state != LinkState::Online => "status unknown".to_owned(),
            Some(person) if self.model.is_online(person.user) => "online".to_owned(),
            Some(_) => "not online".to_owned(),
            None => match self.model.conversations.get(&conversation).map_or(0, |one| one.members.len()) {
                0 | 1 => "only you".to_owned(),
                members => format!("{members} people"),
            },
        }
    }

    /// Who types, as a line of text.
    pub(crate) fn typing(&self, conversation: u64) -> Option<String> {
        let names: Vec<_> = self.model.typing(conversation, self.now_ms).map(|user| self.model.name(user)).collect();
        match names.len() {
            0 => None,
            1 => Some(format!("{} is typing…", names[0])),
            _ => Some(format!("{} are typing…", names.join(" and "))),
        }
    }

    /// Milliseconds until something changes on the screen by itself, or is to be done by itself.
    pub(crate) fn changes_in_ms(&self) -> u64 {
        let mut next = words::until_midnight(self.now_ms);
        if let Some(outage) = &self.model.link.outage {
            let told = outage.since_ms.saturating_add(words::GRACE_MS);
            if told > self.now_ms {
                next = next.min(told - self.now_ms);
            }
        }
        let someone = self.chat.as_ref().is_some_and(|chat| self.model.typing(chat.id, self.now_ms).next().is_some());
        // When exactly does not matter: it was a guess from the beginning.
        if someone {
            next = next.min(TYPING_LOOK_MS);
        }
        next.min(self.drafts.due_in_ms(self.now_ms).unwrap_or(next))
    }
}

/// How often one looks whether somebody still types, milliseconds.
const TYPING_LOOK_MS: u64 = 1_000;
