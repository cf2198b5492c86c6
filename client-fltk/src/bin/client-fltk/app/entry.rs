//! Logging in and signing up.

use client_fltk::command::Failure;
use client_fltk::model::LinkState;
use wire::chat::Code;
use wire::limits::NAME_CHARS_MAX;

use super::{App, words};

/// A field of the entry form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryField {
    Username,
    Password,
    /// The whole form.
    Form,
}

/// The form.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// It makes an account.
    pub(crate) is_signup: bool,
    /// It was sent, and the answer has not come.
    pub(crate) waiting: bool,
    /// What is wrong, and where.
    pub(crate) error: Option<(EntryField, String)>,
}

impl Entry {
    /// What is wrong with what was typed, before anybody is asked.
    pub(crate) fn check(&self, username: &str, password: &str) -> Option<(EntryField, String)> {
        let wrong = |field, text: &str| Some((field, text.to_owned()));
        let chars = username.chars().count();
        if username.is_empty() {
            return wrong(EntryField::Username, "A user name is needed.");
        }
        if self.is_signup && chars > NAME_CHARS_MAX {
            return wrong(EntryField::Username, &format!("{chars} letters; at most {NAME_CHARS_MAX} are possible."));
        }
        if password.is_empty() {
            return wrong(EntryField::Password, "A password is needed.");
        }
        None
    }

    /// What the server has said, at the field it speaks of.
    pub(crate) fn refused(&mut self, failure: &Failure) {
        self.waiting = false;
        let field = match failure {
            Failure::Refused(refusal) => match refusal.code {
                Code::NameTaken | Code::NameRefused | Code::NoSuchUser => EntryField::Username,
                Code::BadCredentials | Code::WrongPassword => EntryField::Password,
                _ => EntryField::Form,
            },
            _ => EntryField::Form,
        };
        let text = match failure {
            Failure::Refused(refusal) => match refusal.code {
                Code::NameTaken => "Taken. Choose another, or log in if it is yours.".to_owned(),
                Code::BadCredentials | Code::WrongPassword => "Wrong username or password.".to_owned(),
                Code::SignupClosed => "This server makes no new accounts. Ask whoever runs it.".to_owned(),
                _ => words::failure(failure),
            },
            _ => words::failure(failure),
        };
        self.error = Some((field, text));
    }
}

impl App {
    /// Why one has to log in again, if one was logged in before.
    pub(crate) fn why_entry(&self) -> Option<String> {
        match (&self.model.account, &self.model.link.state) {
            (Some(_), LinkState::LogInNeeded { why }) => Some(words::sentence(why)),
            _ => None,
        }
    }

    /// Why nobody can log in now.
    pub(crate) fn why_no_entry(&self) -> Option<String> {
        let why = words::sentence(self.model.link.why()?);
        let given_up = matches!(self.model.link.state, LinkState::Stopped { .. });
        Some(if given_up { why } else { format!("{why} Trying again until it works.") })
    }
}
