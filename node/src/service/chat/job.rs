//! Requests that take their time. Each runs as one task and ends with its reply; many of one connection may be under way.

use wire::chat::request;
use wire::codec::Codec;
use wire::limits::{
    CONVERSATIONS_PER_REPLY_MAX, MESSAGES_PER_REPLY_MAX, PEOPLE_PER_REPLY_MAX, SEARCH_PATTERN_BYTES_MAX,
    VIEW_LIMIT_DEFAULT,
};
use wire::names::Pattern;
use wire::session::server::Identity;

use super::accounts;
use super::answer::{self, No};
use super::feed::{Found, From};
use super::render;
use crate::chat::state::Lookup;
use crate::limits::RECHECK_PATIENCE;
use crate::raft::read::Freshness;
use crate::service::backend::{Backend, Cluster, Read};
use crate::storage::query::sync::SyncFrom;
use crate::storage::query::timeline::Span;
use crate::storage::query::{QueryError, StateReader};
use wire::chat::{Code, Event, Reply};
use wire::replication::command::{Command, Outcome, Refusal};

/// One request that takes its time.
#[derive(Debug)]
pub(super) enum Job {
    Enter {
        enter: accounts::Enter,
        secure: bool,
    },
    Account(accounts::Job),
    /// What happened behind a cursor; as a reply if a request asked, else as an update.
    Sync {
        request: Option<u64>,
        from: From,
        limit: u64,
    },
    Conversations(request::Page),
    Open {
        username: String,
    },
    Next(request::Next),
    History(request::History),
    Users {
        pattern: String,
        skip: u64,
        limit: u64,
    },
    /// Who is in a conversation in which somebody types.
    Typing {
        conversation: u64,
        on: bool,
    },
    /// Whether a session that may only read may write again.
    Recheck,
}

impl Job {
    /// Whether it logs out who asks for it, on a connection that goes on.
    pub(super) fn logs_out(&self) -> bool {
        matches!(self, Job::Account(accounts::Job::LogOut))
    }
}

/// What came of a job.
#[derive(Debug)]
pub(super) struct Done {
    /// The frame to send; none if there is nothing to say.
    pub(super) frame: Option<Vec<u8>>,
    /// What it means for the session.
    pub(super) update: Update,
}

/// What a job changes about its session.
#[derive(Debug)]
pub(super) enum Update {
    Nothing,
    LoggedIn(Identity),
    LoggedOut,
    /// The connection ends behind the reply.
    AccountDeleted,
    Told(Found),
    NotTold,
    /// Unread messages of a conversation were handed over as they stood at `change`; `left` remain. The reply is made once
    /// it is known whether more came meanwhile.
    HandedOver {
        conversation: u64,
        change: u64,
        more: bool,
        left: u64,
        shown: render::Shown,
    },
    Types {
        conversation: u64,
        on: bool,
        audience: Vec<u64>,
    },
    Rechecked {
        writable: bool,
    },
}

impl Done {
    pub(super) fn reply(frame: Vec<u8>) -> Done {
        Done { frame: Some(frame), update: Update::Nothing }
    }
}

/// How many of what was asked for: zero is as many as the node likes.
fn at_most(asked: u64, max: usize) -> usize {
    match usize::try_from(asked) {
        Ok(0) | Err(_) => max,
        Ok(asked) => asked.min(max),
    }
}

/// Does a job to its end, for whoever was logged in when it began.
pub(super) async fn run<C: Cluster>(
    backend: Backend<C>,
    job: Job,
    who: Option<Identity>,
    (codec, id): (Codec, u64),
) -> Done {
    let refused = |no: No| Done {
        update: if no.is_revocation() { Update::LoggedOut } else { Update::Nothing },
        frame: Some(answer::reply(codec, id, no.reply())),
    };
    let done = match (job, who) {
        (Job::Enter { enter, secure }, _) => accounts::enter(&backend, enter, secure, (codec, id)).await,
        (_, None) => Err(No::new(Code::NotLoggedIn, "log in first")),
        (Job::Account(job), Some(who)) => accounts::run(&backend, job, who, (codec, id)).await,
        (Job::Sync { request, from, limit }, Some(who)) => {
            let told = sync(&backend, who, codec, request, (from, limit)).await;
            return told.unwrap_or_else(|no| {
                let frame = request.map(|id| answer::reply(codec, id, no.reply()));
                Done { frame, update: if no.is_revocation() { Update::LoggedOut } else { Update::NotTold } }
            });
        }
        (Job::Conversations(page), Some(who)) => conversations(&backend, who, page, (codec, id)).await,
        (Job::Open { username }, Some(who)) => open(&backend, who, username, (codec, id)).await,
        (Job::Next(next), Some(who)) => self::next(&backend, who, next).await,
        (Job::History(history), Some(who)) => self::history(&backend, who, history, (codec, id)).await,
        (Job::Users { pattern, skip, limit }, Some(who)) => {
            users(&backend, who, pattern, (skip, limit), (codec, id)).await
        }
        (Job::Typing { conversation, on }, Some(who)) => typing(&backend, who, (conversation, on), (codec, id)).await,
        (Job::Recheck, Some(who)) => {
            return Done { frame: None, update: Update::Rechecked { writable: recheck(&backend, who).await } };
        }
    };
    done.unwrap_or_else(refused)
}

async fn sync<C: Cluster>(
    backend: &Backend<C>,
    who: Identity,
    codec: Codec,
    request: Option<u64>,
    (from, limit): (From, u64),
) -> Result<Done, No> {
    let limit = at_most(limit, MESSAGES_PER_REPLY_MAX);
    let read = backend.read(who.user, move |reader, stale| {
        let From { cursor, first, since, unread_left, behind } = from;
        let unread_left = match unread_left {
            Some(left) => left,
            None => view_limit(reader, who)?,
        };
        reader.sync(who.user, &SyncFrom { cursor, first, since, unread_left, behind }, limit, stale)
    });
    let Read { value: chunk, stale } = read.await?;
    let found = Found { next: chunk.next.clone(), more: chunk.more, resync: chunk.resync };
    let told = render::changes(&chunk, who.device, stale);
    let frame = match request {
        Some(id) => answer::reply(codec, id, Reply::Changes(told)),
        None => answer::event(codec, Event::Update(told)),
    };
    Ok(Done { frame: Some(frame), update: Update::Told(found) })
}

/// How many unread messages one request hands over to a user.
fn view_limit(reader: &StateReader, who: Identity) -> Result<u32, QueryError> {
    Ok(reader.profile(who.user)?.map_or(VIEW_LIMIT_DEFAULT, |profile| profile.view_limit))
}

async fn conversations<C: Cluster>(
    backend: &Backend<C>,
    who: Identity,
    page: request::Page,
    (codec, id): (Codec, u64),
) -> Result<Done, No> {
    let count = at_most(page.limit, CONVERSATIONS_PER_REPLY_MAX);
    let read = backend.read(who.user, move |reader, _| reader.summaries(who.user, page.skip, count as u32));
    let Read { value: (summaries, more), stale } = read.await?;
    let told = render::conversations(&summaries, who.device, more, stale);
    Ok(Done::reply(answer::reply(codec, id, Reply::Conversations(told))))
}

async fn open<C: Cluster>(
    backend: &Backend<C>,
    who: Identity,
    username: String,
    (codec, id): (Codec, u64),
) -> Result<Done, No> {
    let wanted = username.clone();
    let known = backend.read(who.user, move |reader, _| {
        let Some((other, name)) = reader.found(&wanted)? else { return Ok(None) };
        Ok(Some((reader.direct(who.user, other)?, name)))
    });
    let conversation = match known.await?.value {
        None => return Err(No::nobody(&username)),
        Some((Some(conversation), _)) => conversation,
        Some((None, other)) => match backend.write(&Command::OpenConversation { user: who.user, other: &other }).await?
        {
            Outcome::Conversation { id, .. } => id,
            // Gone since it was looked up.
            Outcome::Refused(Refusal::PeerGone { name }) => return Err(No::nobody(&name)),
            Outcome::Refused(refusal) => return Err(No::from(&refusal)),
            _ => return Err(No::new(Code::Malformed, "that is no conversation")),
        },
    };
    let summary = backend.read(who.user, move |reader, _| reader.summary(who.user, conversation)).await?.value;
    let summary = summary.ok_or_else(no_such_conversation)?;
    Ok(Done::reply(answer::reply(codec, id, Reply::Opened(render::summary(&summary, false, who.device)))))
}

async fn next<C: Cluster>(backend: &Backend<C>, who: Identity, next: request::Next) -> Result<Done, No> {
    let request::Next { conversation, after } = next;
    let read =
        backend.read(who.user, move |reader, _| reader.next(who.user, conversation, after, view_limit(reader, who)?));
    let Read { value: handed, stale } = read.await?;
    let handed = handed.ok_or_else(no_such_conversation)?;
    let (change, left) = (handed.change, handed.unread);
    let shown = render::Shown { messages: handed.messages, device: who.device, stale };
    Ok(Done { frame: None, update: Update::HandedOver { conversation, change, more: handed.more, left, shown } })
}

async fn history<C: Cluster>(
    backend: &Backend<C>,
    who: Identity,
    wanted: request::History,
    (codec, id): (Codec, u64),
) -> Result<Done, No> {
    let request::History { conversation, after, before, limit } = wanted;
    let span = match (after, before) {
        (0, 0) => Span::Before(u64::MAX),
        (0, before) => Span::Before(before),
        (after, _) => Span::After(after),
    };
    let count = at_most(limit, MESSAGES_PER_REPLY_MAX);
    let read = backend
        .read(who.user, move |reader, _| reader.history(who.user, conversation, span, count, view_limit(reader, who)?));
    let Read { value: page, stale } = read.await?;
    let page = page.ok_or_else(no_such_conversation)?;
    let shown = render::Shown { messages: page.messages, device: who.device, stale };
    Ok(Done::reply(answer::reply(codec, id, Reply::Messages(shown.told(page.more, page.unread)))))
}

fn no_such_conversation() -> No {
    No::new(Code::NoSuchConversation, "you have no such conversation")
}

async fn users<C: Cluster>(
    backend: &Backend<C>,
    who: Identity,
    pattern: String,
    (skip, limit): (u64, u64),
    (codec, id): (Codec, u64),
) -> Result<Done, No> {
    if pattern.len() > SEARCH_PATTERN_BYTES_MAX {
        return Err(No::new(Code::Malformed, "this pattern is too long"));
    }
    let count = at_most(limit, PEOPLE_PER_REPLY_MAX);
    let read = backend.read(who.user, move |reader, _| reader.people(&Pattern::parse(&pattern), skip, count)).await?;
    let Read { value: (people, total), stale } = read;
    Ok(Done::reply(answer::reply(codec, id, Reply::Users(render::people(&people, total, stale)))))
}

async fn typing<C: Cluster>(
    backend: &Backend<C>,
    who: Identity,
    (conversation, on): (u64, bool),
    (codec, id): (Codec, u64),
) -> Result<Done, No> {
    // What this node has is good enough for something that is gone in a moment.
    let found =
        backend.queries.run(move |reader| Ok(reader.conversation(conversation)?.map(|found| found.members.clone())));
    let audience = found.await?.filter(|members| members.contains(&who.user));
    let audience = audience.ok_or_else(no_such_conversation)?;
    Ok(Done {
        frame: Some(answer::reply(codec, id, answer::done())),
        update: Update::Types { conversation, on, audience },
    })
}

/// Whether a majority answers again and still knows the device.
async fn recheck<C: Cluster>(backend: &Backend<C>, who: Identity) -> bool {
    let check = async {
        if backend.cluster.barrier().await == Freshness::Stale {
            return false;
        }
        let device = backend.queries.run(move |reader| reader.device(who.device)).await;
        device.ok().flatten().is_some_and(|device| device.user == who.user && !device.revoked)
    };
    tokio::time::timeout(RECHECK_PATIENCE, check).await.unwrap_or(false)
}
