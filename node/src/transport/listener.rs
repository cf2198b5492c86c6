//! Accepting: who may come in, and what to do when the system has no more room.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::refusal::Refusal;
use crate::bridge::{Seat, Security};
use crate::config::args::Plaintext;
use crate::limits::{ACCEPT_QUEUE, FILES_RESERVED, REFUSED_WAITING_MAX, WATCHERS_MAX};

/// Counts who is in, and decides who may come in. Pure.
///
/// A connection is a *client* and counts against `clients_max`, or it is *refused* and waits only to show its codec, or
/// to take what it is told; those have a bound of their own. Who comes over the network without TLS is known only by its
/// first byte: until then, at most for the time of a handshake, it has a client's place.
#[derive(Debug)]
pub(super) struct Admission {
    plaintext: Plaintext,
    clients_max: usize,
    clients: usize,
    refused: usize,
    watchers: usize,
    /// Clients that others serve now.
    seats: Arc<AtomicUsize>,
    /// Those whom others turn away.
    seats_refused: Arc<AtomicUsize>,
}

/// What a connection counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Served, or about to be.
    Client,
    /// Another node, which only waits for the connection to break.
    Watcher,
    /// To be told why not.
    Refused(Refusal),
}

impl Admission {
    /// `seats` are the places of clients whom others serve.
    pub(super) fn new(plaintext: Plaintext, clients_max: usize, seats: Arc<AtomicUsize>) -> Self {
        Self { plaintext, clients_max, clients: 0, refused: 0, watchers: 0, seats, seats_refused: Arc::default() }
    }

    /// Connections that count as clients and are served here.
    pub(super) fn clients(&self) -> usize {
        self.clients
    }

    fn has_room(&self) -> bool {
        self.clients + self.seats.load(Relaxed) < self.clients_max
    }

    /// A connection leaves for others who serve it, or tell it why not; it goes on to count as what it was.
    pub(super) fn hand_over(&mut self, standing: Standing) -> Seat {
        self.leave(standing);
        match standing {
            Standing::Client | Standing::Watcher => Seat::take(&self.seats),
            Standing::Refused(_) => Seat::take(&self.seats_refused),
        }
    }

    /// Whether nobody is left but nodes that watch.
    pub(super) fn is_deserted(&self) -> bool {
        self.clients == 0 && self.refused == 0
    }

    /// Takes in a new connection, or `None` when it is to be closed without a word.
    pub(super) fn enter(&mut self) -> Option<Standing> {
        if self.has_room() {
            self.clients += 1;
            Some(Standing::Client)
        } else {
            self.refuse(Refusal::Capacity)
        }
    }

    /// Asked when a connection has shown its codec, and so whether it is encrypted. `None` when it is to be closed without
    /// a word; it then counts as what it was. A place may have become free for one that was refused before.
    pub(super) fn decide(&mut self, standing: Standing, security: Security) -> Option<Standing> {
        let refusal = match (security, self.plaintext) {
            (Security::Tls, _) => None,
            (_, Plaintext::Off) => Some(Refusal::PlaintextOff),
            (Security::Plain, Plaintext::Loopback) => Some(Refusal::PlaintextRemote),
            (Security::Plain, Plaintext::Any) | (Security::Loopback, _) => None,
        };
        match (standing, refusal) {
            (Standing::Client, Some(refusal)) => {
                let refused = self.refuse(refusal)?;
                self.leave(standing);
                Some(refused)
            }
            (Standing::Refused(_), Some(refusal)) => Some(Standing::Refused(refusal)),
            (Standing::Refused(_), None) if self.has_room() => {
                self.leave(standing);
                self.clients += 1;
                Some(Standing::Client)
            }
            (standing, None) | (standing @ Standing::Watcher, _) => Some(standing),
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Option<Standing> {
        if self.refused + self.seats_refused.load(Relaxed) >= REFUSED_WAITING_MAX {
            return None;
        }
        self.refused += 1;
        Some(Standing::Refused(refusal))
    }

    /// Asked when a connection turns out to be a node's: it leaves the clients, whatever the policy for them, and is
    /// told nothing. `None` when too many watch already.
    pub(super) fn watch(&mut self, standing: Standing) -> Option<Standing> {
        if self.watchers >= WATCHERS_MAX {
            return None;
        }
        self.leave(standing);
        self.watchers += 1;
        Some(Standing::Watcher)
    }

    /// A connection is gone.
    pub(super) fn leave(&mut self, standing: Standing) {
        match standing {
            Standing::Client => self.clients -= 1,
            Standing::Watcher => self.watchers -= 1,
            Standing::Refused(_) => self.refused -= 1,
        }
    }
}

/// What a failed `accept` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AfterError {
    /// Nobody waits; the next readiness event tells.
    Drained,
    /// That one connection failed; the next may work.
    Next,
    /// Out of descriptors or memory: trying again at once would spin, since the waiting connection stays.
    Pause,
}

/// Sorts the errors of `accept`.
pub(super) fn after_accept_error(error: &io::Error) -> AfterError {
    match error.kind() {
        io::ErrorKind::WouldBlock => AfterError::Drained,
        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => AfterError::Next,
        _ => match error.raw_os_error().map(Errno::from_raw_os_error) {
            // Linux hands errors of the not yet accepted connection to `accept`; accept(2) says to try the next.
            Some(
                Errno::PROTO
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH,
            ) => AfterError::Next,
            _ => AfterError::Pause,
        },
    }
}

/// Lengthens the queue of connections that wait to be accepted beyond the standard library's 128: after a failover all
/// clients of a node arrive at once, and who finds the queue full tries again only after a second.
///
/// # Errors
/// The system's refusal; the queue is then as it was.
pub(super) fn lengthen_backlog(listener: &TcpListener) -> io::Result<()> {
    // Listening again on a listening socket only changes the length.
    Ok(rustix::net::listen(listener, ACCEPT_QUEUE)?)
}

/// Raises the soft limit of open files to the hard one: every client is a descriptor, and the usual soft limit of 1024
/// exists for `select`, which nothing here uses. Returns the limit that now holds, `None` for no limit.
pub(super) fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        if let Err(error) = raised {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
    getrlimit(Resource::Nofile).current
}

/// How many of the wanted clients fit under a limit of open files beside everything else the process opens. Who comes
/// beyond that is refused in words, instead of waiting for a descriptor that never comes.
pub(super) fn clients_within(file_limit: Option<u64>, wanted: usize) -> usize {
    let Some(limit) = file_limit.and_then(|limit| usize::try_from(limit).ok()) else { return wanted };
    wanted.min(limit.saturating_sub(FILES_RESERVED + REFUSED_WAITING_MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_POLICY: Standing = Standing::Refused(Refusal::PlaintextRemote);
    const FULL: Standing = Standing::Refused(Refusal::Capacity);

    #[test]
    fn plaintext_policy_looks_at_what_protects_the_connection() {
        let check = |plaintext, security, expected| {
            let mut admission = Admission::new(plaintext, 9, Arc::default());
            let standing = admission.enter().unwrap();
            assert_eq!(admission.decide(standing, security), Some(expected), "{plaintext:?} {security:?}");
            assert_eq!(admission.clients(), usize::from(expected == Standing::Client));
        };
        check(Plaintext::Loopback, Security::Loopback, Standing::Client);
        check(Plaintext::Loopback, Security::Plain, BY_POLICY);
        check(Plaintext::Any, Security::Loopback, Standing::Client);
        check(Plaintext::Any, Security::Plain, Standing::Client);
        check(Plaintext::Off, Security::Loopback, Standing::Refused(Refusal::PlaintextOff));
        check(Plaintext::Off, Security::Plain, Standing::Refused(Refusal::PlaintextOff));
        for plaintext in [Plaintext::Loopback, Plaintext::Any, Plaintext::Off] {
            check(plaintext, Security::Tls, Standing::Client);
        }
    }

    #[test]
    fn watchers_take_nobodys_place_and_are_bounded() {
        let mut admission = Admission::new(Plaintext::Loopback, 1, Arc::default());
        for _ in 0..WATCHERS_MAX {
            let standing = admission.enter().unwrap();
            assert_eq!(admission.watch(standing), Some(Standing::Watcher));
        }
        let standing = admission.enter().unwrap();
        assert_eq!((standing, admission.clients()), (Standing::Client, 1));
        assert_eq!(admission.watch(standing), None, "too many");
        assert_eq!(admission.clients(), 1, "it still counts as what it was");
        admission.leave(Standing::Watcher);
        assert_eq!(admission.watch(standing), Some(Standing::Watcher));
        assert_eq!(admission.clients(), 0);
    }

    #[test]
    fn strangers_give_a_clients_place_back_when_they_have_shown_what_they_are() {
        let mut admission = Admission::new(Plaintext::Loopback, 1, Arc::default());
        for _ in 0..REFUSED_WAITING_MAX {
            let stranger = admission.enter().unwrap();
            assert_eq!(admission.decide(stranger, Security::Plain), Some(BY_POLICY));
        }
        let stranger = admission.enter().unwrap();
        assert_eq!(admission.decide(stranger, Security::Plain), None, "too many are being told already");
        assert_eq!(admission.clients(), 1, "it still counts as what it was");
        admission.leave(stranger);
        assert_eq!(admission.enter(), Some(Standing::Client));
        assert_eq!(admission.enter(), None, "full, and no room to wait for the refusal");
        admission.leave(BY_POLICY);
        assert_eq!(admission.enter(), Some(FULL));
        assert_eq!(admission.decide(FULL, Security::Plain), Some(BY_POLICY), "the reason that stays");
    }

    #[test]
    fn a_place_that_became_free_is_given_to_who_waits() {
        let mut admission = Admission::new(Plaintext::Loopback, 1, Arc::default());
        let first = admission.enter().unwrap();
        let second = admission.enter().unwrap();
        assert_eq!(admission.decide(second, Security::Tls), Some(FULL));
        admission.leave(first);
        let second = admission.decide(second, Security::Tls).unwrap();
        assert_eq!((second, admission.clients()), (Standing::Client, 1));
        admission.leave(second);
        assert_eq!((admission.clients(), admission.refused), (0, 0));
    }

    #[test]
    fn accept_errors_never_spin() {
        let check = |error: Errno, expected| assert_eq!(after_accept_error(&error.into()), expected, "{error:?}");
        check(Errno::WOULDBLOCK, AfterError::Drained);
        check(Errno::CONNABORTED, AfterError::Next);
        check(Errno::HOSTUNREACH, AfterError::Next);
        for error in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::BADF] {
            check(error, AfterError::Pause);
        }
    }

    #[test]
    fn the_file_limit_ends_at_the_hard_one() {
        assert_eq!(raise_file_limit(), getrlimit(Resource::Nofile).maximum);
    }

    #[test]
    fn clients_leave_files_for_everything_else() {
        let others = FILES_RESERVED + REFUSED_WAITING_MAX;
        let check = |limit: Option<usize>, wanted, expected| {
            assert_eq!(clients_within(limit.map(|limit| limit as u64), wanted), expected, "{limit:?} {wanted}");
        };
        check(None, 10_000, 10_000);
        check(Some(others + 100), 100, 100);
        check(Some(others + 100), 101, 100);
        check(Some(3), 100, 1);
    }
}
