//! The original's requests as calls: package `chat` of gRPC. Which request means what, who may ask it and what becomes of
//! it is the same as on its sockets ([`super::dispatch`], [`super::job`]); what is different stands here.
//!
//! *Who asks.* A call carries neither a login nor, where the client has just moved to another connection, anything else
//! to know it by. So a login is tied to where it came from ([`Whence`]): to the client's address, committed and so known
//! to every node, or to the one connection. A call may instead carry a device's token ([`super::super::bearer`]).
//!
//! *Which message.* Deletions name places in the list that was shown last. What was shown is remembered for each client
//! and user ([`Books`]), as a socket's session remembers it.
//!
//! *Order.* Calls of one client may be under way beside each other, and are then in no order.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use wire::legacy::{Request, text};
use wire::replication::command::Command;
use wire::session::server::Identity;

use super::answer::{Answer, Said};
use super::dispatch::{self, Plan};
use super::job::{Done, Job, Update};
use super::pages::Pages;
use super::room::Form;
use super::session::Who;
use crate::chat::state::Lookup;
use crate::env::Clock;
use crate::limits::{ADDRESS_BOUND_AGAIN, ADDRESS_BOUND_FOR, GRPC_PLACES_CLIENTS_MAX, GRPC_PLACES_MAX};
use crate::raft::read::Freshness;
use crate::service::backend::{Backend, Cluster};
use crate::service::bearer::{self, Bearer, Shown};
use crate::storage::query::QueryError;

/// Where logins count for nothing.
const TOKEN_REQUIRED: &str = "This server knows callers of package chat by tokens only: log in with samira.v2.";

/// A node that lags behind cannot tell.
const NOT_HEARD: &str = "This server has not heard of your login yet, please try again.";

/// Takes calls.
pub(crate) struct Calls<C> {
    backend: Backend<C>,
    signup_open: bool,
    books: Arc<Mutex<Books>>,
}

/// Where a call comes from, as far as that says who may act there.
#[derive(Clone)]
pub(crate) enum Whence {
    /// Logins count for the address.
    Address(IpAddr),
    /// Logins count for this connection.
    Connection(Arc<Connection>),
    /// Only tokens count.
    Nowhere,
}

/// What is known of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    id: u64,
    logged_in: Mutex<Vec<Who>>,
}

/// Why a call is not carried out, whatever it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Nobody is known to have logged in there.
    Unauthenticated(Said),
    /// The token that was shown is not good.
    BadToken(&'static str),
    /// Somebody else has.
    Denied(Said),
    /// Nobody can tell now.
    NotNow(Said),
}

impl From<QueryError> for Rejection {
    fn from(error: QueryError) -> Rejection {
        match Answer::from(error) {
            Answer::NotNow(why) => Rejection::NotNow(why),
            _ => Rejection::NotNow(text::READ_FAILED.into()),
        }
    }
}

impl Connection {
    /// For a connection that no other has the number of.
    pub(crate) fn new(id: u64) -> Connection {
        Connection { id, logged_in: Mutex::default() }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Vec<Who>) -> T) -> T {
        look(&mut self.logged_in.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<C: Cluster> Calls<C> {
    pub(in crate::service) fn new(backend: Backend<C>, signup_open: bool) -> Self {
        Calls { backend, signup_open, books: Arc::default() }
    }

    /// Carries a call out. `name` is whose name stands in it, empty if nobody's.
    ///
    /// # Errors
    /// Who asks may not, or cannot be known.
    pub(crate) async fn ask(
        &self,
        whence: &Whence,
        bearer: Option<Bearer>,
        name: &str,
        request: &Request<'_>,
    ) -> Result<Answer, Rejection> {
        let entering = matches!(request, Request::Signup { .. } | Request::Login { .. });
        let who = if entering {
            None
        } else {
            match self.identify(whence, bearer, name).await {
                // The original deletes nobody with success.
                Err(Rejection::Denied(_))
                    if matches!(request, Request::DeleteUser { .. }) && !self.exists(name).await? =>
                {
                    return Ok(Answer::Done);
                }
                found => Some(found?),
            }
        };
        let pages = who.as_ref().map(|who| self.book(whence, who.id)).unwrap_or_default();
        let mut spare = String::new();
        let plan = {
            let pages = lock(&pages);
            dispatch::plan(who.as_ref(), &pages, request, self.signup_open, &mut spare)
        };
        let done = match plan {
            Err(said) => return Ok(Answer::Refused(said)),
            Ok(Plan::Answer(answer)) => return Ok(answer),
            Ok(Plan::Write(command)) => return Ok(self.write(&pages, &command).await),
            Ok(Plan::Job(mut job)) => {
                if let Job::Messages { chat, open } = &mut job {
                    *open = lock(&pages).open_page(chat, Clock.monotonic());
                }
                self.backend.clone().run(job, who.clone(), Form::Call).await
            }
        };
        self.close(whence, &pages, done).await
    }

    /// A write. While it lasts the original's client does nothing else, so that its pages do not fall silent.
    async fn write(&self, pages: &Mutex<Pages>, command: &Command<'_>) -> Answer {
        {
            let mut pages = lock(pages);
            pages.before(command);
            pages.wait(Clock.monotonic());
        }
        let result = self.backend.write(command).await;
        lock(pages).go_on(Clock.monotonic());
        Answer::of_write(&result)
    }

    /// What a job changes about its client.
    async fn close(&self, whence: &Whence, pages: &Mutex<Pages>, done: Done) -> Result<Answer, Rejection> {
        match done.update {
            Update::Nothing | Update::LoggedOut => {}
            Update::LoggedIn(who) | Update::SignedUp(who) => self.bind(whence, who).await?,
            Update::Shown { chat, page } => lock(pages).remember(&chat, page, Clock.monotonic()),
            Update::Opening { chat } => lock(pages).close_page(&chat),
        }
        Ok(done.answer)
    }

    // ---- who asks ----

    /// Who shows a token.
    ///
    /// # Errors
    /// It is not good, or nobody can tell now.
    pub(crate) async fn verify(&self, bearer: Bearer) -> Result<Identity, Rejection> {
        match bearer::verify(&self.backend, bearer).await? {
            Shown::By(who) => Ok(who),
            Shown::Void => Err(Rejection::BadToken(bearer::UNKNOWN)),
            Shown::Unheard => Err(Rejection::NotNow(bearer::UNCONFIRMED.into())),
        }
    }

    /// Who acts under `name` there; anybody who is logged in there if that is empty.
    async fn identify(&self, whence: &Whence, bearer: Option<Bearer>, name: &str) -> Result<Who, Rejection> {
        if let Some(bearer) = bearer {
            let Identity { user, .. } = self.verify(bearer).await?;
            let account =
                self.backend.queries.run(move |reader| reader.user(user).map(|found| found.map(|u| u.name.clone())));
            let Some(known) = account.await? else { return Err(Rejection::BadToken(bearer::UNKNOWN)) };
            return named(Who { id: user, name: known.into(), read_only: false }, name);
        }
        match whence {
            Whence::Nowhere => Err(Rejection::Unauthenticated(TOKEN_REQUIRED.into())),
            Whence::Connection(connection) => {
                let known = connection.with(|all| {
                    let matching = all.iter().rev().find(|who| name.is_empty() || *who.name == *name);
                    matching.or(all.last()).cloned()
                });
                named(known.ok_or_else(log_in)?, name)
            }
            Whence::Address(address) => self.at(*address, name).await,
        }
    }

    /// Who has logged in at an address.
    async fn at(&self, address: IpAddr, name: &str) -> Result<Who, Rejection> {
        let octets = octets(address);
        let look = || {
            let (name, now) = (name.to_owned(), Clock.unix_ms());
            self.backend.queries.run(move |reader| {
                if let Some(user) = reader.user_named(&name)?
                    && reader.bound_until(user, &octets)?.is_some_and(|until| until > now)
                {
                    return Ok(Some(Who { id: user, name: name.into(), read_only: false }));
                }
                let anybody = reader.bound_at(&octets, now)?;
                Ok(anybody.map(|(id, name)| Who { id, name: name.into(), read_only: false }))
            })
        };
        let found = look().await?;
        if let Some(who) = found.filter(|who| name.is_empty() || *who.name == *name) {
            return Ok(who);
        }
        // The login may have gone to another node a moment ago.
        let stale = self.backend.cluster.barrier().await == Freshness::Stale;
        match look().await? {
            Some(who) => named(who, name),
            None if stale => Err(Rejection::NotNow(NOT_HEARD.into())),
            None => Err(log_in()),
        }
    }

    async fn exists(&self, name: &str) -> Result<bool, Rejection> {
        let name = name.to_owned();
        let _ = self.backend.cluster.barrier().await;
        Ok(self.backend.queries.run(move |reader| Ok(reader.user_named(&name)?.is_some())).await?)
    }

    /// Somebody has logged in there.
    async fn bind(&self, whence: &Whence, who: Who) -> Result<(), Rejection> {
        let address = match whence {
            Whence::Nowhere => return Ok(()),
            Whence::Connection(connection) => {
                connection.with(|all| {
                    all.retain(|known| known.name != who.name);
                    // A connection serves few people; one that serves many forgets who came first.
                    if all.len() >= wire::limits::ADDRESSES_PER_USER_MAX {
                        all.remove(0);
                    }
                    all.push(who);
                });
                return Ok(());
            }
            Whence::Address(address) => octets(*address),
        };
        let (user, now) = (who.id, Clock.unix_ms());
        let until = self.backend.queries.run(move |reader| reader.bound_until(user, &address)).await?;
        if until.is_some_and(|until| until > now.saturating_add(millis(ADDRESS_BOUND_AGAIN))) {
            return Ok(());
        }
        let command = Command::BindAddress { user, address, for_ms: millis(ADDRESS_BOUND_FOR) };
        match Answer::of_write(&self.backend.write(&command).await) {
            Answer::Done => Ok(()),
            Answer::NotNow(why) => Err(Rejection::NotNow(why)),
            _ => Err(Rejection::Unauthenticated(text::ACCOUNT_GONE.into())),
        }
    }

    fn book(&self, whence: &Whence, user: u64) -> Arc<Mutex<Pages>> {
        let place = match whence {
            Whence::Address(address) => Place::Address(octets(*address)),
            Whence::Connection(connection) => Place::Connection(connection.id),
            Whence::Nowhere => Place::Nowhere,
        };
        self.books.lock().unwrap_or_else(PoisonError::into_inner).open((place, user), Clock.monotonic())
    }
}

impl<C> fmt::Debug for Calls<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

/// `who`, if that is who stands in the call.
fn named(who: Who, name: &str) -> Result<Who, Rejection> {
    if name.is_empty() || *who.name == *name {
        Ok(who)
    } else {
        Err(Rejection::Denied(text::NotYou(&who.name).to_string().into()))
    }
}

fn log_in() -> Rejection {
    Rejection::Unauthenticated(text::LOG_IN_FIRST.into())
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn millis(time: std::time::Duration) -> u64 {
    time.as_millis() as u64
}

fn lock(pages: &Mutex<Pages>) -> std::sync::MutexGuard<'_, Pages> {
    pages.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a client is, for the lists it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Address([u8; 16]),
    Connection(u64),
    Nowhere,
}

/// What the clients were shown, within bounds: those who have not asked for longest are forgotten.
#[derive(Default)]
struct Books {
    kept: HashMap<(Place, u64), Kept>,
}

struct Kept {
    pages: Arc<Mutex<Pages>>,
    used: Instant,
}

impl Books {
    fn open(&mut self, key: (Place, u64), now: Instant) -> Arc<Mutex<Pages>> {
        let known = self.kept.contains_key(&key);
        if !known {
            self.make_room();
        }
        let kept = self.kept.entry(key).or_insert_with(|| Kept { pages: Arc::default(), used: now });
        kept.used = now;
        Arc::clone(&kept.pages)
    }

    /// Looked at when somebody new comes: then the others' lists are as long as they are.
    fn make_room(&mut self) {
        let mut places: usize = self.kept.values().map(|kept| lock(&kept.pages).places()).sum();
        while self.kept.len() >= GRPC_PLACES_CLIENTS_MAX || places > GRPC_PLACES_MAX {
            let Some((&oldest, kept)) = self.kept.iter().min_by_key(|(_, kept)| kept.used) else { return };
            places -= lock(&kept.pages).places();
            self.kept.remove(&oldest);
        }
    }
}
