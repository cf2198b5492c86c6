//! What can happen, and what is to be done about it.

use client_fltk::command::{Answer, Command, Failure};
use client_fltk::model::{Delta, Model};

use super::{Tab, Theme};

/// Something happened: the driver has told it, or the person has done it.
#[derive(Debug)]
pub(crate) enum Msg {
    /// The driver runs; this is everything that the profile holds.
    Started(Box<Model>),
    /// There is no driver; the text says what is missing, and is empty if nothing was tried yet.
    NotStarted(String),
    /// The driver has told changes.
    Changed(Vec<Delta>),
    /// The driver has answered.
    Answered(For, Result<Answer, Failure>),
    /// The disk does not work, and the driver has ended.
    Broken(String),
    /// Time has passed; there may be nothing else to it.
    Tick,
    /// The window has the keyboard, or has lost it.
    Focus(bool),

    /// This link or address was entered.
    Connect(String),
    /// Another server is wanted.
    ChangeServer,
    /// The form of the entry page was sent.
    Enter { username: String, nickname: String, password: String },
    /// The other form is wanted: to sign up, or to log in.
    SwitchEntry,
    /// Who is logged out wants to log in.
    LogIn,
    /// Or to read what is here.
    ReadOn,

    /// One of the three places of the sidebar.
    Tab(Tab),
    /// What is in the search field now.
    Search(String),
    /// The next page of people.
    MorePeople,
    /// A conversation was chosen.
    Open(u64),
    /// The one before (-1) or after (1) the open one in the list was chosen.
    Step(i32),
    /// Somebody was chosen, by user name.
    OpenPerson(String),
    /// Out of whatever is on top.
    Back,
    /// Out of the conversation, where it covers the list.
    Uncover,
    /// The keyboard into the search.
    Find,

    /// What was in the writing field of this conversation was taken out of it, and is to be sent.
    Send { conversation: u64, text: String },
    /// What is in the writing field of this conversation is longer than a message may be, and is to be sent.
    SendLong(u64),
    /// Something of that length did not fit into the writing field.
    TooLong { bytes: usize },
    /// The writing field of this conversation has changed.
    Typed { conversation: u64, text: String },
    /// The writing field has lost the keyboard, or the window is closed: nothing more is typed for now.
    Left,
    /// Messages up to this number were in sight.
    Seen(u64),
    /// Messages of these numbers are in sight, or nearly.
    Viewing { first: u64, last: u64 },
    /// Messages below this number are needed.
    Need { before: u64 },
    /// The next unread messages are wanted.
    Next,
    /// The newest message is to be in sight, whatever is unread before it.
    Newest,
    /// The first message that was new is.
    FirstNew,
    /// Messages can be chosen; this one is, if one is named.
    Choose(Option<u64>),
    /// A message is chosen, or is not any more.
    Toggle(u64),
    /// The text of all chosen messages is wanted.
    CopyChosen,
    /// All chosen messages of one's own are to be deleted.
    DeleteChosen,
    /// This message is to be deleted.
    DeleteOne(u64),
    /// One's own view of the conversation is to be emptied.
    Clear,
    /// A message that was not sent is to be forgotten.
    Discard(u64),
    /// And its text is to be written once more.
    Rewrite(u64),
    /// What was asked is to be done.
    Confirm,

    /// The nickname field was sent.
    Nickname(String),
    /// The view limit field was sent.
    ViewLimit(String),
    /// The password form was sent.
    Password { old: String, new: String, again: String },
    /// That device is to be logged out.
    Revoke(u64),
    /// This one is.
    LogOut,
    /// The account is to be deleted.
    DeleteAccount { password: String },
    /// Other colours.
    Theme(Theme),

    /// That text is to be copied.
    Copy(String),
    /// That address is to be opened.
    Follow(String),
    /// The connection is to be tried now.
    Reconnect,
}

/// Something is to be done. [`super::update`] does nothing itself.
#[derive(Debug, PartialEq)]
pub(crate) enum Cmd {
    /// Ask the driver, and say what for when the answer comes.
    Ask(Command, For),
    /// Start a driver for this link.
    Connect(String),
    /// Put text on the clipboard.
    Copy(String),
    /// Open an address.
    Follow(String),
    /// Want attention, or not any more.
    Attention(bool),
    /// Keep the colours for the next start.
    Keep(Theme),
    /// Put text into the writing field, which is this conversation's from then on, and the keyboard there.
    Write { conversation: u64, text: String },
    /// Put the keyboard where one begins on this page.
    FocusFirst,
    /// Into the search.
    FocusSearch,
    /// Empty the fields of the settings.
    ClearSettings,
    /// Look at the conversation from where it was left.
    ShowChat,
    /// Look at the newest message.
    ShowNewest,
    /// Look at the first message that was new.
    ShowNew,
}

/// What a command was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum For {
    /// Nothing depends on it, except that a failure is told.
    Telling,
    /// Nothing depends on it at all.
    Nothing,
    /// To send a message, which goes back into its field if there is no room for it.
    Sending {
        /// Where.
        conversation: u64,
        /// What.
        text: String,
    },
    /// To keep what was typed in this conversation.
    Draft(u64),
    /// To sign up or log in.
    Entry,
    /// To open a conversation with somebody.
    Opening,
    /// Older messages.
    History {
        /// Where.
        conversation: u64,
        /// Below this number.
        before: u64,
    },
    /// Unread messages.
    Next(u64),
    /// People who fit what was searched for.
    People {
        /// The how-manieth search.
        serial: u64,
    },
    /// A change of the settings.
    Setting(Setting),
    /// The list of devices.
    Devices,
    /// How many messages the account would lose.
    Loss,
    /// To leave for good.
    Leaving,
}

/// What can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Nickname,
    ViewLimit,
    Password,
    Account,
}
