//! Requests that take their time: reads, logins, and writes that depend on a read. Each runs as one task; its
//! connection does nothing else meanwhile.

use wire::legacy::text;
use wire::replication::command::{Chat, Command, Outcome, Refusal};

use super::answer::{Account, Answer, Said};
use super::history::{View, history};
use super::lists::Selection;
use super::page::{Ambiguous, Page};
use super::room::Form;
use super::session::Who;
use crate::chat::resolve::canonical_id;
use crate::chat::state::Lookup;
use crate::limits::STALE_AFTER;
use crate::raft::propose::ProposeError;
use crate::raft::read::Freshness;
use crate::service::backend::{Backend, Cluster, Read, ReadError};

/// One request that takes its time.
#[derive(Debug, Clone)]
pub(super) enum Job {
    Signup {
        username: String,
        nickname: String,
        password: String,
    },
    Login {
        username: String,
        password: String,
    },
    DeleteAccount,
    /// Somebody else's account was named. If nobody has that name, there is nothing to be done.
    DeleteOther {
        name: String,
    },
    Chats,
    Users(Selection),
    ViewLimit,
    StartChat {
        other: String,
    },
    Messages {
        chat: String,
        /// The page that asks, if it was shown something before; filled in when the job begins.
        open: Option<Page>,
    },
    /// Delete by index what `Messages` would show now.
    DeleteUnseen {
        chat: String,
        indices: Vec<usize>,
    },
    /// A write, encoded, on a session that could only read until now.
    WriteOnceFresh {
        command: Vec<u8>,
    },
}

/// What came of a job.
#[derive(Debug)]
pub(super) struct Done {
    /// The answer.
    pub(super) answer: Answer,
    /// What it means for the session.
    pub(super) update: Update,
    /// The account was seen alive in a state that a quorum vouches for.
    pub(super) fresh: bool,
}

/// What a job changes about its session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Update {
    Nothing,
    LoggedIn(Who),
    /// An account was made; it is logged in if nobody is.
    SignedUp(Who),
    LoggedOut,
    Shown {
        chat: String,
        page: Page,
    },
    /// A page of this chat is about to be opened.
    Opening {
        chat: String,
    },
}

/// Why a job has no proper answer.
enum Failure {
    /// The account does not exist any more.
    Gone,
    /// To be told.
    Told(Answer),
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        match error {
            ReadError::Gone => Failure::Gone,
            ReadError::Query(error) => error.into(),
        }
    }
}

impl<E> From<E> for Failure
where
    Answer: From<E>,
{
    fn from(error: E) -> Failure {
        Failure::Told(error.into())
    }
}

/// The rules say no.
fn refused(why: impl Into<Said>) -> Failure {
    Failure::Told(Answer::Refused(why.into()))
}

type Finished = Result<Done, Failure>;

impl<C: Cluster> Backend<C> {
    /// Does a job to its end. Everything but signing up and logging in needs `who`.
    pub(super) async fn run(self, job: Job, who: Option<Who>, form: Form) -> Done {
        let finished = match (job, who) {
            (Job::Signup { username, nickname, password }, _) => self.signup(username, nickname, password).await,
            (Job::Login { username, password }, _) => self.login(username, password).await,
            (_, None) => Err(refused(text::LOG_IN_FIRST)),
            (job, Some(who)) => self.run_as(&who, job, form).await,
        };
        finished.unwrap_or_else(|failure| match failure {
            Failure::Gone => {
                Done { answer: Answer::Refused(text::ACCOUNT_GONE.into()), update: Update::LoggedOut, fresh: false }
            }
            Failure::Told(answer) => Done { answer, update: Update::Nothing, fresh: false },
        })
    }

    async fn run_as(&self, who: &Who, job: Job, form: Form) -> Finished {
        match job {
            Job::Signup { .. } | Job::Login { .. } => Err(refused(text::REFUSED)),
            Job::DeleteAccount => self.delete_account(who).await,
            Job::DeleteOther { name } => self.delete_other(who, name).await,
            Job::Chats => {
                let user = who.id;
                let read = self.read(user, move |reader, _| reader.chats(user, form.chats_max())).await?;
                Ok(done(read, Answer::Chats))
            }
            Job::Users(selection) => {
                let read = self.read(who.id, move |reader, _| selection.names(reader, form)).await?;
                Ok(done(read, Answer::Names))
            }
            Job::ViewLimit => {
                let user = who.id;
                let read = self.read(user, move |reader, _| {
                    Ok(reader.user(user)?.map_or(wire::limits::VIEW_LIMIT_DEFAULT, |user| user.view_limit))
                });
                Ok(done(read.await?, Answer::ViewLimit))
            }
            Job::StartChat { other } => self.start_chat(who, other).await,
            Job::Messages { chat, open } => self.messages(who, form, chat, open).await,
            Job::DeleteUnseen { chat, indices } => self.delete_unseen(who, form, chat, indices).await,
            Job::WriteOnceFresh { command } => self.write_once_fresh(who, command).await,
        }
    }

    // ---- accounts ----

    async fn signup(&self, username: String, nickname: String, password: String) -> Finished {
        let hash = self.passwords.hash(password).await?;
        let result = self.register(&username, &nickname, &hash).await;
        let update = match &result {
            Ok(Outcome::UserCreated { user }) => {
                Update::SignedUp(Who { id: *user, name: username.into(), read_only: false })
            }
            _ => Update::Nothing,
        };
        Ok(Done { answer: Answer::of_write(&result), update, fresh: false })
    }

    async fn login(&self, username: String, password: String) -> Finished {
        let freshness = self.cluster.barrier().await;
        let account = self.queries.run(move |reader| reader.account(&username)).await?;
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        let right = self.passwords.verify(password, hash).await?;
        let Some(account) = account.filter(|_| right) else {
            return Err(refused(text::CREDENTIALS_INVALID));
        };
        let stale = freshness == Freshness::Stale;
        let who = Who { id: account.id, name: account.name.into(), read_only: stale };
        let (nickname, view_limit) = (account.nickname, account.view_limit);
        let answer = Answer::LoggedIn(Account { id: who.id, nickname, view_limit, stale });
        Ok(Done { answer, update: Update::LoggedIn(who), fresh: false })
    }

    async fn delete_account(&self, who: &Who) -> Finished {
        self.ensure_writable(who).await?;
        let result = self.write(&Command::DeleteAccount { user: who.id }).await;
        let update = match &result {
            // Also if it was gone before: what the user wanted is the case.
            Ok(_) => Update::LoggedOut,
            Err(_) => Update::Nothing,
        };
        let answer = match &result {
            Ok(Outcome::Refused(Refusal::NoSuchUser)) => Answer::Done,
            result => Answer::of_write(result),
        };
        Ok(Done { answer, update, fresh: false })
    }

    async fn delete_other(&self, who: &Who, name: String) -> Finished {
        let not_you = text::NotYou(&who.name).to_string();
        let read = self.read(who.id, move |reader, _| Ok(reader.account(&name)?.is_some())).await?;
        if read.value {
            return Err(refused(not_you));
        }
        Ok(done(read, |_| Answer::Done))
    }

    // ---- conversations ----

    async fn start_chat(&self, who: &Who, other: String) -> Finished {
        let (user, wanted) = (who.id, other.clone());
        let read = self
            .read(who.id, move |reader, _| {
                let Some(other) = reader.user_named(&wanted)? else { return Ok(Known::Nobody) };
                let Some(id) = reader.direct(user, other)? else { return Ok(Known::Person) };
                Ok(reader.conversation(id)?.map_or(Known::Person, |known| Known::Chat(known.legacy_id.clone())))
            })
            .await?;
        let Read { value: known, stale } = read;
        let chat_id = match known {
            Known::Chat(id) => id,
            // As the original did: the client opens an empty page, and sending from it is refused in words.
            Known::Nobody => canonical_id(&who.name, &other),
            Known::Person if stale && who.read_only => return Err(read_only()),
            Known::Person => match self.write(&Command::OpenConversation { user: who.id, other: &other }).await {
                Ok(Outcome::Conversation { legacy_id, .. }) => legacy_id,
                Ok(Outcome::Refused(Refusal::PeerGone { .. })) => canonical_id(&who.name, &other),
                result => return Ok(written(&result)),
            },
        };
        let update = Update::Opening { chat: chat_id.clone() };
        Ok(Done { answer: Answer::Chat(chat_id), update, fresh: !stale })
    }

    async fn messages(&self, who: &Who, form: Form, chat: String, open: Option<Page>) -> Finished {
        let (user, name, wanted) = (who.id, who.name.clone(), chat.clone());
        let read = self
            .read(who.id, move |reader, stale| {
                history(reader, &View { user, name: &name, chat: &wanted, form, stale }, open)
            })
            .await?;
        let Read { value: shown, stale } = read;
        let shown = shown.ok_or_else(|| refused(text::NO_SUCH_CHAT))?;
        if let (Some(page), Some(upto)) = (&shown.page, shown.read_upto) {
            let mark = Command::MarkRead { user, conversation: page.conversation, upto };
            // The reply waits, so that whoever reads the unread count next finds it lowered. If the mark cannot be stored
            // the messages are shown all the same: they then count as unread once more, which is no lie.
            if let Ok(Err(error)) = tokio::time::timeout(STALE_AFTER, self.write(&mark)).await {
                tracing::debug!(%error, "a read mark was not stored");
            }
        }
        let update = shown.page.map_or(Update::Nothing, |page| Update::Shown { chat, page });
        let answer = Answer::Messages(Read { value: shown.entries, stale });
        Ok(Done { answer, update, fresh: !stale })
    }

    async fn delete_unseen(&self, who: &Who, form: Form, chat: String, indices: Vec<usize>) -> Finished {
        self.ensure_writable(who).await?;
        let (user, name) = (who.id, who.name.clone());
        let read = self
            .read(who.id, move |reader, stale| {
                history(reader, &View { user, name: &name, chat: &chat, form, stale }, None)
            })
            .await?;
        let shown = read.value.ok_or_else(|| refused(text::NO_SUCH_CHAT))?;
        let Some(page) = shown.page else {
            return Ok(Done { answer: Answer::Done, update: Update::Nothing, fresh: !read.stale });
        };
        let numbers = page.at(&indices).map_err(|Ambiguous| refused(text::PLACE_AMBIGUOUS))?;
        let chat = Chat::Id(page.conversation);
        let result = self.write(&Command::DeleteMessages { user, chat, numbers }).await;
        Ok(written(&result))
    }

    // ---- shared steps ----

    async fn write_once_fresh(&self, who: &Who, command: Vec<u8>) -> Finished {
        self.ensure_writable(who).await?;
        let command = postcard::from_bytes(&command).expect("it was encoded by this process");
        let result = self.write(&command).await;
        Ok(Done { fresh: true, ..written(&result) })
    }

    /// A session that was logged in without a quorum may write from the moment on when one vouches for its account.
    async fn ensure_writable(&self, who: &Who) -> Result<(), Failure> {
        if who.read_only && self.read(who.id, |_, _| Ok(())).await?.stale {
            return Err(read_only());
        }
        Ok(())
    }
}

fn read_only() -> Failure {
    Failure::Told(Answer::NotNow(text::READ_ONLY.into()))
}

/// What a write comes to that has no data to tell.
fn written(result: &Result<Outcome, ProposeError>) -> Done {
    let gone = matches!(result, Ok(Outcome::Refused(Refusal::NoSuchUser)));
    let update = if gone { Update::LoggedOut } else { Update::Nothing };
    Done { answer: Answer::of_write(result), update, fresh: false }
}

/// What a read comes to.
fn done<T>(read: Read<T>, answer: impl FnOnce(Read<T>) -> Answer) -> Done {
    let fresh = !read.stale;
    Done { answer: answer(read), update: Update::Nothing, fresh }
}

/// What is known of the one somebody wants to chat with.
enum Known {
    Nobody,
    Person,
    Chat(String),
}

/// A write on a session that can only read, for later.
pub(super) fn deferred(command: &Command<'_>) -> Job {
    let command = postcard::to_allocvec(command).expect("commands always encode into a growing buffer");
    Job::WriteOnceFresh { command }
}
