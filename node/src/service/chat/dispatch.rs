//! What is to be done about each request. When it may be asked at all stands in [`wire::session::rule`].

use wire::chat::item::Mark;
use wire::chat::{Code, Request};
use wire::limits::{ITEMS_PER_REQUEST_MAX, NAME_CHARS_MAX, WATCHED_MAX};
use wire::replication::command::{Addressee, Chat, Command};
use wire::session::server::Identity;
use wire::text;

use super::accounts::{self, Enter, check_name};
use super::answer::No;
use super::job::Job;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Plan<'r> {
    /// Say who we are.
    Welcome,
    /// There is nothing more to do than to say so.
    Done,
    /// A write of the device under its own number.
    Write(Numbered<'r>),
    /// Gather marks.
    Mark(&'r [Mark]),
    /// Tell what happened.
    Sync { cursor: u64, limit: u64, behind: &'r [u64] },
    /// Tell whose presence from now on.
    Watch(&'r [u64]),
    /// Something that takes its time.
    Job(Job),
}

/// A write under its device's number.
#[derive(Debug)]
pub(super) struct Numbered<'r> {
    pub(super) seq: u64,
    /// What is written; only something that uses the number up where the request is `wrong`.
    pub(super) command: Command<'r>,
    /// Why it was refused here.
    pub(super) wrong: Option<No>,
    /// It names a person: one who is not there was never there, for all that is known.
    pub(super) by_name: bool,
}

/// Plans a request of `who`. `spare` holds a text that is not stored as it came.
pub(super) fn plan<'r>(
    request: &'r Request<'_>,
    who: Option<Identity>,
    secure: bool,
    signup_open: bool,
    spare: &'r mut String,
) -> Result<Plan<'r>, No> {
    let enter = |enter| Ok(Plan::Job(Job::Enter { enter, secure }));
    let account = |job| Ok(Plan::Job(Job::Account(job)));
    let user = who.map_or(0, |who| who.user);
    match request {
        Request::Hello(_) => Ok(Plan::Welcome),
        Request::Ping(_) => Ok(Plan::Done),
        Request::Signup(signup) => enter(Enter::SignUp {
            username: signup.username.to_owned(),
            nickname: signup.nickname.to_owned(),
            password: signup.password.to_owned(),
            device_name: signup.device_name.to_owned(),
            open: signup_open,
        }),
        Request::Login(login) => enter(Enter::LogIn {
            username: login.username.to_owned(),
            password: login.password.to_owned(),
            device: login.device,
            device_name: login.device_name.to_owned(),
        }),
        Request::Resume(_) if !secure => {
            Err(No::new(Code::PlaintextRefused, "tokens do not travel in the clear: log in with the password"))
        }
        Request::Resume(resume) => {
            enter(Enter::Resume { device: resume.device, token: resume.token, life: resume.life })
        }
        Request::Logout(_) => account(accounts::Job::LogOut),
        Request::Sync(sync) => {
            if sync.behind.len() > WATCHED_MAX {
                return Err(too_many());
            }
            Ok(Plan::Sync { cursor: sync.cursor, limit: sync.limit, behind: &sync.behind })
        }
        Request::Conversations(page) => Ok(Plan::Job(Job::Conversations(page.clone()))),
        Request::Open(open) => {
            bounded_name(open.username)?;
            Ok(Plan::Job(Job::Open { username: open.username.to_owned() }))
        }
        Request::Next(next) => Ok(Plan::Job(Job::Next(next.clone()))),
        Request::History(history) => Ok(Plan::Job(Job::History(history.clone()))),
        Request::Send(send) => {
            let accepted = text::accept(send.text, spare).map_err(|error| No::new(Code::Malformed, error.to_string()));
            let by_name = send.conversation == 0 && send.user == 0;
            let (text, wrong) = match accepted.and_then(|text| bounded_name(send.username).map(|()| text)) {
                Ok(text) => (text, None),
                Err(no) => ("", Some(no)),
            };
            let command = match (send.conversation, send.user) {
                (0, 0) => Command::SendTo { user, username: send.username, text },
                (0, account) => Command::SendToAccount { user, to: Addressee::Account(account), text },
                (conversation, _) => Command::Send { user, chat: Chat::Id(conversation), text },
            };
            Ok(match write(send.seq, command, wrong) {
                Plan::Write(write) => Plan::Write(Numbered { by_name, ..write }),
                plan => plan,
            })
        }
        Request::Delete(delete) => {
            let chat = Chat::Id(delete.conversation);
            let wrong = (delete.numbers.len() > ITEMS_PER_REQUEST_MAX).then(too_many);
            let numbers = if wrong.is_some() { Vec::new() } else { delete.numbers.to_vec() };
            Ok(write(delete.seq, Command::DeleteMessages { user, chat, numbers }, wrong))
        }
        Request::Clear(clear) => {
            let command = Command::ClearView { user, conversation: clear.conversation, upto: clear.upto };
            Ok(write(clear.seq, command, None))
        }
        Request::Nickname(nickname) => {
            let wrong = check_name("nickname", nickname.nickname).err();
            Ok(write(nickname.seq, Command::SetNickname { user, nickname: nickname.nickname }, wrong))
        }
        Request::ViewLimit(limit) => {
            let (limit, seq) = (u32::try_from(limit.view_limit).unwrap_or(u32::MAX), limit.seq);
            Ok(write(seq, Command::SetViewLimit { user, limit }, None))
        }
        Request::Mark(marks) => {
            if marks.marks.len() > ITEMS_PER_REQUEST_MAX {
                return Err(too_many());
            }
            Ok(if marks.marks.is_empty() { Plan::Done } else { Plan::Mark(&marks.marks) })
        }
        Request::Typing(typing) => Ok(Plan::Job(Job::Typing { conversation: typing.conversation, on: typing.on })),
        Request::Watch(watch) => {
            if watch.users.len() > WATCHED_MAX {
                return Err(too_many());
            }
            Ok(Plan::Watch(&watch.users))
        }
        Request::Users(users) => {
            Ok(Plan::Job(Job::Users { pattern: users.pattern.to_owned(), skip: users.skip, limit: users.limit }))
        }
        Request::Account(_) => account(accounts::Job::Show),
        Request::Password(password) => account(accounts::Job::Password {
            old: password.password.to_owned(),
            new: password.new_password.to_owned(),
        }),
        Request::Devices(_) => account(accounts::Job::Devices),
        Request::Revoke(revoke) => account(accounts::Job::Revoke { device: revoke.device }),
        Request::DeleteAccount(delete) => {
            account(accounts::Job::Delete { password: delete.password.to_owned(), confirm: delete.confirm })
        }
    }
}

/// A write that is wrong uses its number up all the same: those behind it have theirs already.
fn write<'r>(seq: u64, command: Command<'r>, wrong: Option<No>) -> Plan<'r> {
    let command = if wrong.is_some() { Command::Void } else { command };
    Plan::Write(Numbered { seq, command, wrong, by_name: false })
}

fn too_many() -> No {
    No::new(Code::Malformed, "a list in this request is too long")
}

/// Names are looked up as they are; one that nobody can have is not worth a look.
fn bounded_name(name: &str) -> Result<(), No> {
    if name.len() > 4 * NAME_CHARS_MAX {
        return Err(No::new(Code::NoSuchUser, "nobody has a name of this length"));
    }
    Ok(())
}
