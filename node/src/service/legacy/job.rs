//! Requests that take their time: reads, logins, and writes that depend on a read. Each runs as one task; its
//! connection does nothing else meanwhile.

use wire::codec::Codec;
use wire::legacy::reply::{LoginReply, StartChatReply};
use wire::legacy::text;
use wire::replication::command::{Chat, Command, Outcome, Refusal};

use super::dispatch::limit_reply;
use super::history::{View, history};
use super::lists::{self, Selection};
use super::page::{Ambiguous, Page};
use super::reply::{self, Said};
use super::session::Who;
use crate::chat::resolve::canonical_id;
use crate::chat::state::Lookup;
use crate::limits::STALE_AFTER;
use crate::raft::propose::ProposeError;
use crate::raft::read::Freshness;
use crate::service::backend::{Backend, Cluster, Read, ReadError};
use crate::service::passwords::PasswordError;
use crate::storage::query::QueryError;

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
    /// The reply.
    pub(super) reply: Vec<u8>,
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

/// Why a job has no proper reply.
enum Failure {
    /// The account does not exist any more.
    Gone,
    /// To be told.
    Said(Said),
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        match error {
            ReadError::Gone => Failure::Gone,
            ReadError::Query(error) => error.into(),
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Failure {
        Failure::Said(match error {
            QueryError::Busy => text::BUSY.into(),
            QueryError::Stopped => text::STOPPING.into(),
            QueryError::Sqlite(error) => {
                tracing::error!(%error, "a query failed");
                text::READ_FAILED.into()
            }
        })
    }
}

impl From<PasswordError> for Failure {
    fn from(error: PasswordError) -> Failure {
        Failure::Said(match error {
            PasswordError::Busy => text::BUSY.into(),
            PasswordError::Failed => text::READ_FAILED.into(),
        })
    }
}

type Finished = Result<Done, Failure>;

impl<C: Cluster> Backend<C> {
    /// Does a job to its end. Everything but signing up and logging in needs `who`.
    pub(super) async fn run(self, job: Job, who: Option<Who>, codec: Codec) -> Done {
        let finished = match (job, who) {
            (Job::Signup { username, nickname, password }, _) => self.signup(codec, username, nickname, password).await,
            (Job::Login { username, password }, _) => self.login(codec, username, password).await,
            (_, None) => Err(Failure::Said(text::LOG_IN_FIRST.into())),
            (job, Some(who)) => self.run_as(&who, job, codec).await,
        };
        finished.unwrap_or_else(|failure| match failure {
            Failure::Gone => {
                Done { reply: reply::refused(codec, text::ACCOUNT_GONE), update: Update::LoggedOut, fresh: false }
            }
            Failure::Said(said) => Done { reply: reply::refused(codec, &said), update: Update::Nothing, fresh: false },
        })
    }

    async fn run_as(&self, who: &Who, job: Job, codec: Codec) -> Finished {
        match job {
            Job::Signup { .. } | Job::Login { .. } => Err(Failure::Said(text::REFUSED.into())),
            Job::DeleteAccount => self.delete_account(who, codec).await,
            Job::DeleteOther { name } => self.delete_other(who, codec, name).await,
            Job::Chats => {
                let user = who.id;
                let read = self.read(user, move |reader, stale| {
                    Ok(lists::chats(codec, &reader.chats(user, lists::CHATS_MAX)?, stale))
                });
                Ok(read.await?.into_done())
            }
            Job::Users(selection) => {
                let read = self.read(who.id, move |reader, stale| lists::users(reader, codec, &selection, stale));
                Ok(read.await?.into_done())
            }
            Job::ViewLimit => {
                let user = who.id;
                let read = self.read(user, move |reader, stale| {
                    let limit = reader.user(user)?.map_or(wire::limits::VIEW_LIMIT_DEFAULT, |user| user.view_limit);
                    Ok(limit_reply(codec, limit, stale))
                });
                Ok(read.await?.into_done())
            }
            Job::StartChat { other } => self.start_chat(who, codec, other).await,
            Job::Messages { chat, open } => self.messages(who, codec, chat, open).await,
            Job::DeleteUnseen { chat, indices } => self.delete_unseen(who, codec, chat, indices).await,
            Job::WriteOnceFresh { command } => self.write_once_fresh(who, codec, command).await,
        }
    }

    // ---- accounts ----

    async fn signup(&self, codec: Codec, username: String, nickname: String, password: String) -> Finished {
        let hash = self.passwords.hash(password).await?;
        let command = Command::Signup { username: &username, nickname: &nickname, password_hash: &hash };
        let result = self.write(&command).await;
        let update = match &result {
            Ok(Outcome::UserCreated { user }) => {
                Update::SignedUp(Who { id: *user, name: username.into(), read_only: false })
            }
            _ => Update::Nothing,
        };
        Ok(Done { reply: reply::of_write(codec, &result), update, fresh: false })
    }

    async fn login(&self, codec: Codec, username: String, password: String) -> Finished {
        let freshness = self.cluster.barrier().await;
        let account = self.queries.run(move |reader| reader.account(&username)).await?;
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        let right = self.passwords.verify(password, hash).await?;
        let Some(account) = account.filter(|_| right) else {
            return Err(Failure::Said(text::CREDENTIALS_INVALID.into()));
        };
        let stale = freshness == Freshness::Stale;
        let reply = LoginReply {
            success: true,
            error_message: "",
            user_id: reply::small(account.id),
            nickname: account.nickname.as_str(),
            view_limit: i64::from(account.view_limit),
            stale,
        };
        let who = Who { id: account.id, name: account.name.into(), read_only: stale };
        Ok(Done { reply: reply::encode(codec, &reply), update: Update::LoggedIn(who), fresh: false })
    }

    async fn delete_account(&self, who: &Who, codec: Codec) -> Finished {
        self.ensure_writable(who).await?;
        let result = self.write(&Command::DeleteAccount { user: who.id }).await;
        let update = match &result {
            // Also if it was gone before: what the user wanted is the case.
            Ok(_) => Update::LoggedOut,
            Err(_) => Update::Nothing,
        };
        let reply = match &result {
            Ok(Outcome::Refused(Refusal::NoSuchUser)) => reply::done(codec),
            result => reply::of_write(codec, result),
        };
        Ok(Done { reply, update, fresh: false })
    }

    async fn delete_other(&self, who: &Who, codec: Codec, name: String) -> Finished {
        let not_you = text::NotYou(&who.name).to_string();
        let read = self.read(who.id, move |reader, _| Ok(reader.account(&name)?.is_some())).await?;
        if read.value {
            return Err(Failure::Said(not_you.into()));
        }
        Ok(read.map(|_| reply::done(codec)).into_done())
    }

    // ---- conversations ----

    async fn start_chat(&self, who: &Who, codec: Codec, other: String) -> Finished {
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
            Known::Person if stale && who.read_only => return Err(Failure::Said(text::READ_ONLY.into())),
            Known::Person => match self.write(&Command::OpenConversation { user: who.id, other: &other }).await {
                Ok(Outcome::Conversation { legacy_id, .. }) => legacy_id,
                Ok(Outcome::Refused(Refusal::PeerGone { .. })) => canonical_id(&who.name, &other),
                result => return Ok(self.written(codec, &result)),
            },
        };
        let reply = StartChatReply { success: true, chat_id: chat_id.as_str(), error_message: "" };
        Ok(Done { reply: reply::encode(codec, &reply), update: Update::Opening { chat: chat_id }, fresh: !stale })
    }

    async fn messages(&self, who: &Who, codec: Codec, chat: String, open: Option<Page>) -> Finished {
        let (user, name, wanted) = (who.id, who.name.clone(), chat.clone());
        let read = self
            .read(who.id, move |reader, stale| {
                history(reader, &View { user, name: &name, chat: &wanted, codec, stale }, open)
            })
            .await?;
        let Read { value: shown, stale } = read;
        let shown = shown.ok_or(Failure::Said(text::NO_SUCH_CHAT.into()))?;
        if let (Some(page), Some(upto)) = (&shown.page, shown.read_upto) {
            let mark = Command::MarkRead { user, conversation: page.conversation, upto };
            // The reply waits, so that whoever reads the unread count next finds it lowered. If the mark cannot be stored
            // the messages are shown all the same: they then count as unread once more, which is no lie.
            if let Ok(Err(error)) = tokio::time::timeout(STALE_AFTER, self.write(&mark)).await {
                tracing::debug!(%error, "a read mark was not stored");
            }
        }
        let update = shown.page.map_or(Update::Nothing, |page| Update::Shown { chat, page });
        Ok(Done { reply: shown.reply, update, fresh: !stale })
    }

    async fn delete_unseen(&self, who: &Who, codec: Codec, chat: String, indices: Vec<usize>) -> Finished {
        self.ensure_writable(who).await?;
        let (user, name) = (who.id, who.name.clone());
        let read = self
            .read(who.id, move |reader, stale| {
                history(reader, &View { user, name: &name, chat: &chat, codec, stale }, None)
            })
            .await?;
        let shown = read.value.ok_or(Failure::Said(text::NO_SUCH_CHAT.into()))?;
        let Some(page) = shown.page else {
            return Ok(Done { reply: reply::done(codec), update: Update::Nothing, fresh: !read.stale });
        };
        let numbers = page.at(&indices).map_err(|Ambiguous| Failure::Said(text::PLACE_AMBIGUOUS.into()))?;
        let chat = Chat::Id(page.conversation);
        let result = self.write(&Command::DeleteMessages { user, chat, numbers }).await;
        Ok(self.written(codec, &result))
    }

    // ---- shared steps ----

    async fn write_once_fresh(&self, who: &Who, codec: Codec, command: Vec<u8>) -> Finished {
        self.ensure_writable(who).await?;
        let command = postcard::from_bytes(&command).expect("it was encoded by this process");
        let result = self.write(&command).await;
        Ok(Done { fresh: true, ..self.written(codec, &result) })
    }

    /// A session that was logged in without a quorum may write from the moment on when one vouches for its account.
    async fn ensure_writable(&self, who: &Who) -> Result<(), Failure> {
        if who.read_only && self.read(who.id, |_, _| Ok(())).await?.stale {
            return Err(Failure::Said(text::READ_ONLY.into()));
        }
        Ok(())
    }

    fn written(&self, codec: Codec, result: &Result<Outcome, ProposeError>) -> Done {
        let gone = matches!(result, Ok(Outcome::Refused(Refusal::NoSuchUser)));
        let update = if gone { Update::LoggedOut } else { Update::Nothing };
        Done { reply: reply::of_write(codec, result), update, fresh: false }
    }
}

/// What is known of the one somebody wants to chat with.
enum Known {
    Nobody,
    Person,
    Chat(String),
}

impl Read<Vec<u8>> {
    fn into_done(self) -> Done {
        Done { reply: self.value, update: Update::Nothing, fresh: !self.stale }
    }
}

/// A write on a session that can only read, for later.
pub(super) fn deferred(command: &Command<'_>) -> Job {
    let command = postcard::to_allocvec(command).expect("commands always encode into a growing buffer");
    Job::WriteOnceFresh { command }
}
