//! What is to be done about each request: one row per action.
//!
//! | action                    | who      | is        |
//! |---------------------------|----------|-----------|
//! | `signup`                  | anybody  | job: hash, write       |
//! | `login`                   | anybody  | job: read, hash        |
//! | `delete_user`             | oneself  | job: write             |
//! | `get_chats`               | oneself  | job: read              |
//! | `get_all_users`           | anyone in | job: read             |
//! | `get_users_to_display`    | anyone in | job: read             |
//! | `get_user_message_limit`  | oneself  | job: read              |
//! | `start_chat`              | oneself  | job: read, maybe write |
//! | `get_messages`            | oneself  | job: read, maybe write |
//! | `send_chat_message`       | oneself  | write     |
//! | `update_view_limit`       | oneself  | write     |
//! | `save_settings`           | oneself  | write     |
//! | `delete_messages`         | oneself  | write; job: read, write without a page before |
//! | `delete_chats`            | anyone in | refused  |
//!
//! "Oneself": the name in the request must be that of who is logged in on the connection; "anyone in": somebody must be
//! logged in. The original let any connection act for anybody. Requests that asked it about nobody (no name, or one
//! without an account) still get its harmless answers.
//!
//! `delete_chats` is refused in words: the original never implemented it and closed the connection. A conversation
//! belongs to both sides, so one of them cannot delete it; to delete one's own messages in it behind that name would
//! surprise, and cannot be undone.

use wire::legacy::field::{Field, Scalar};
use wire::legacy::{Request, text};
use wire::limits::{NAME_CHARS_MAX, PASSWORD_BYTES_MAX, SEARCH_PATTERN_BYTES_MAX, VIEW_LIMIT_DEFAULT, VIEW_LIMIT_MAX};
use wire::names::{self, Pattern};
use wire::replication::command::{Chat, Command};
use wire::text::TextError;

use super::answer::{Answer, Read, Said};
use super::job::Job;
use super::lists::Selection;
use super::page::Ambiguous;
use super::pages::Pages;
use super::session::Who;
use crate::service::passwords::is_digest;

/// Bytes of the longest text id: two names of four bytes a character, `_`, and a suffix of `~` and a number.
const CHAT_ID_BYTES_MAX: usize = 2 * NAME_CHARS_MAX * 4 + 1 + 21;

/// Names on a page when the request does not say.
const USERS_PER_PAGE_DEFAULT: i64 = 10;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Plan<'r> {
    /// Answer at once.
    Answer(Answer),
    /// Submit a write whose outcome is the whole answer.
    Write(Command<'r>),
    /// Do something that takes its time.
    Job(Job),
}

/// Plans a request. A refusal is an `Err` with the text for the user. `spare` holds a message's text that is not stored as
/// it came.
pub(super) fn plan<'r>(
    who: Option<&Who>,
    pages: &Pages,
    request: &'r Request<'_>,
    signup_open: bool,
    spare: &'r mut String,
) -> Result<Plan<'r>, Said> {
    if matches!(request, Request::Unknown) {
        return Err(text::INVALID_ACTION.into());
    }
    if let Some(key) = request.wrong_key() {
        return Err(text::WrongKey(key).to_string().into());
    }
    let who = match (request, who) {
        (Request::Signup { username, nickname, password }, _) => {
            return signup(username.text(), nickname.text(), password.text(), signup_open);
        }
        (Request::Login { username, password }, _) => return login(username.text(), password.text()),
        (_, None) => return Err(text::LOG_IN_FIRST.into()),
        (_, Some(who)) => who,
    };
    match request {
        Request::Signup { .. } | Request::Login { .. } | Request::Unknown => Err(text::INVALID_ACTION.into()),
        Request::DeleteUser { username } => Ok(match username.text() {
            "" => Plan::Answer(Answer::Done),
            name if *name == *who.name => Plan::Job(Job::DeleteAccount),
            name => Plan::Job(Job::DeleteOther { name: name.to_owned() }),
        }),
        Request::GetChats { user_id } => match user_id.text() {
            "" => Ok(Plan::Answer(Answer::Chats(current(Vec::new())))),
            name => oneself(who, name).map(|_| Plan::Job(Job::Chats)),
        },
        Request::GetAllUsers { exclude_username } => Ok(Plan::Job(Job::Users(Selection {
            pattern: Pattern::parse(""),
            exclude: exclude_username.text().to_owned(),
            skip: 0,
            count: usize::MAX,
        }))),
        Request::UpdateViewLimit { username, new_limit: limit }
        | Request::SaveSettings { username, message_limit: limit } => {
            oneself(who, username.text())?;
            Ok(Plan::Write(Command::SetViewLimit { user: who.id, limit: view_limit(limit)? }))
        }
        Request::GetUserMessageLimit { username } => match username.text() {
            "" => Ok(Plan::Answer(Answer::ViewLimit(current(VIEW_LIMIT_DEFAULT)))),
            name => oneself(who, name).map(|_| Plan::Job(Job::ViewLimit)),
        },
        Request::StartChat { current_user, other_user } => {
            oneself(who, current_user.text())?;
            start_chat(other_user.text())
        }
        Request::GetUsersToDisplay { current_user, search_pattern, page, current_page, users_per_page } => {
            let Field::Given(current_user) = current_user else {
                return Ok(Plan::Answer(Answer::Names(current(Vec::new()))));
            };
            if !current_user.is_empty() {
                oneself(who, current_user)?;
            }
            let per_page = users_per_page.given().copied().unwrap_or(USERS_PER_PAGE_DEFAULT);
            // The original server counts from 1 under a key that its own client does not send; that one counts from 0.
            let page = match (current_page.given(), page.given()) {
                (Some(&from_one), _) => from_one.saturating_sub(1),
                (None, Some(&from_zero)) => from_zero,
                (None, None) => 0,
            };
            users_page(search_pattern.text(), current_user, page, per_page)
        }
        Request::GetMessages { chat_id, current_user } => {
            let (Field::Given(chat), Field::Given(name)) = (chat_id, current_user) else {
                return Ok(Plan::Answer(Answer::InvalidPayload));
            };
            oneself(who, name)?;
            Ok(Plan::Job(Job::Messages { chat: chat_id_of(chat.id)?.to_owned(), open: None }))
        }
        Request::SendChatMessage { chat_id, sender, content } => {
            let (chat, sender, content) = (chat_id.text(), sender.text(), content.text());
            if chat.is_empty() || sender.is_empty() || content.is_empty() {
                return Err(text::MISSING_FIELDS.into());
            }
            oneself(who, sender)?;
            let text = wire::text::accept(content, spare).map_err(|error| match error {
                TextError::Blank => text::MISSING_FIELDS,
                TextError::TooLong => text::MESSAGE_TOO_LONG,
                TextError::Control => text::MESSAGE_CONTROL,
            })?;
            let chat = Chat::Legacy(chat_id_of(chat)?);
            Ok(Plan::Write(Command::Send { user: who.id, chat, text }))
        }
        Request::DeleteMessages { chat_id, message_indices, current_user } => {
            let chat = chat_id.text();
            let Field::Given(indices) = message_indices else { return Err(text::MISSING_FIELDS.into()) };
            if chat.is_empty() {
                return Err(text::MISSING_FIELDS.into());
            }
            oneself(who, current_user.text())?;
            delete_messages(pages, who, chat, indices)
        }
        Request::DeleteChats { .. } => Err(text::DELETE_CHATS.into()),
    }
}

/// Who may act under `name` on a connection where `who` is logged in.
fn oneself<'w>(who: &'w Who, name: &str) -> Result<&'w Who, Said> {
    match name {
        "" => Err(text::MISSING_FIELDS.into()),
        name if *name == *who.name => Ok(who),
        _ => Err(text::NotYou(&who.name).to_string().into()),
    }
}

fn signup<'r>(name: &str, nickname: &str, password: &str, open: bool) -> Result<Plan<'r>, Said> {
    if name.is_empty() || nickname.is_empty() || password.is_empty() {
        return Err(text::ALL_FIELDS_REQUIRED.into());
    }
    if !open {
        return Err(text::SIGNUP_CLOSED.into());
    }
    for (which, value) in [("user name", name), ("nickname", nickname)] {
        names::check(value).map_err(|reason| text::NameRefused { which, reason }.to_string())?;
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(text::PASSWORD_TOO_LONG.into());
    }
    // The original's clients hash. A password in clear would lock out the next one that does.
    if !is_digest(password) {
        return Err(text::PASSWORD_NOT_HASHED.into());
    }
    Ok(Plan::Job(Job::Signup {
        username: name.to_owned(),
        nickname: nickname.to_owned(),
        password: password.to_owned(),
    }))
}

fn login<'r>(name: &str, password: &str) -> Result<Plan<'r>, Said> {
    if name.is_empty() || password.is_empty() {
        return Err(text::CREDENTIALS_REQUIRED.into());
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(text::PASSWORD_TOO_LONG.into());
    }
    Ok(Plan::Job(Job::Login { username: name.to_owned(), password: password.to_owned() }))
}

fn start_chat<'r>(other: &str) -> Result<Plan<'r>, Said> {
    if other.is_empty() {
        return Err(text::MISSING_FIELDS.into());
    }
    // Whether there is such a person is looked up; but the id that is told back must fit a reply.
    if other.chars().count() > NAME_CHARS_MAX {
        let reason = names::NameError::TooLong;
        return Err(text::NameRefused { which: "user name", reason }.to_string().into());
    }
    Ok(Plan::Job(Job::StartChat { other: other.to_owned() }))
}

fn users_page<'r>(pattern: &str, exclude: &str, page: i64, per_page: i64) -> Result<Plan<'r>, Said> {
    if pattern.len() > SEARCH_PATTERN_BYTES_MAX {
        return Err(text::PATTERN_TOO_LONG.into());
    }
    // A negative length means all, on one page.
    let (skip, count) = match usize::try_from(per_page) {
        Ok(count) => (usize::try_from(page.max(0)).unwrap_or(usize::MAX).saturating_mul(count), count),
        Err(_) => (0, usize::MAX),
    };
    Ok(Plan::Job(Job::Users(Selection { pattern: Pattern::parse(pattern), exclude: exclude.to_owned(), skip, count })))
}

fn delete_messages<'r>(pages: &Pages, who: &Who, chat: &str, indices: &[i64]) -> Result<Plan<'r>, Said> {
    let indices: Vec<usize> = indices
        .iter()
        .map(|&index| usize::try_from(index).map_err(|_| text::INDEX_NEGATIVE))
        .collect::<Result<_, _>>()?;
    if indices.is_empty() {
        return Ok(Plan::Answer(Answer::Done));
    }
    Ok(match pages.page(chat) {
        Some(page) => Plan::Write(Command::DeleteMessages {
            user: who.id,
            chat: Chat::Id(page.conversation),
            numbers: page.at(&indices).map_err(|Ambiguous| text::PLACE_AMBIGUOUS)?,
        }),
        None => Plan::Job(Job::DeleteUnseen { chat: chat_id_of(chat)?.to_owned(), indices }),
    })
}

/// A text id that can be one at all.
fn chat_id_of(text: &str) -> Result<&str, Said> {
    if text.len() <= CHAT_ID_BYTES_MAX { Ok(text) } else { Err(text::NO_SUCH_CHAT.into()) }
}

fn view_limit(limit: &Field<Scalar<'_>>) -> Result<u32, Said> {
    limit
        .given()
        .and_then(Scalar::whole)
        .and_then(|limit| u32::try_from(limit).ok())
        .filter(|limit| (1..=VIEW_LIMIT_MAX).contains(limit))
        .ok_or(text::LIMIT_OUT_OF_RANGE.into())
}

/// Nothing had to be read for it.
fn current<T>(value: T) -> Read<T> {
    Read { value, stale: false }
}
