//! Accepting: who may come in, and what to do when the system has no more room.

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::refusal::Refusal;
use crate::config::args::Plaintext;
use crate::limits::{ACCEPT_QUEUE, FILES_RESERVED, REFUSED_WAITING_MAX, WATCHERS_MAX};

/// Counts who is in, and decides who may come in. Pure.
///
/// A connection is a *client* and counts against `clients_max`, or it is *refused* and waits only to show its codec;
/// those have a bound of their own, so that strangers never take a client's place.
#[derive(Debug)]
pub(super) struct Admission {
    plaintext: Plaintext,
    clients_max: usize,
    clients: usize,
    refused: usize,
    watchers: usize,
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
    pub(super) fn new(plaintext: Plaintext, clients_max: usize) -> Self {
        Self { plaintext, clients_max, clients: 0, refused: 0, watchers: 0 }
    }

    /// Connections that count as clients.
    pub(super) fn clients(&self) -> usize {
        self.clients
    }

    /// Whether nobody is left but nodes that watch.
    pub(super) fn is_deserted(&self) -> bool {
        self.clients == 0 && self.refused == 0
    }

    /// Takes in a new connection, or `None` when it is to be closed without a word.
    pub(super) fn enter(&mut self, peer: SocketAddr) -> Option<Standing> {
        let local = peer.ip().to_canonical().is_loopback();
        let refusal = match self.plaintext {
            Plaintext::Off => Some(Refusal::PlaintextOff),
            Plaintext::Loopback if !local => Some(Refusal::PlaintextRemote),
            _ if self.clients >= self.clients_max => Some(Refusal::Capacity),
            _ => None,
        };
        match refusal {
            None => {
                self.clients += 1;
                Some(Standing::Client)
            }
            Some(refusal) if self.refused < REFUSED_WAITING_MAX => {
                self.refused += 1;
                Some(Standing::Refused(refusal))
            }
            Some(_) => None,
        }
    }

    /// Asked when a refused connection has shown its codec: a place may have become free meanwhile.
    pub(super) fn reconsider(&mut self, standing: Standing) -> Standing {
        if standing == Standing::Refused(Refusal::Capacity) && self.clients < self.clients_max {
            self.leave(standing);
            self.clients += 1;
            return Standing::Client;
        }
        standing
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

    const LOCAL: &str = "127.0.0.1:1000";
    const MAPPED: &str = "[::ffff:127.0.0.1]:1000";
    const REMOTE: &str = "192.0.2.1:1000";

    fn enter(admission: &mut Admission, peer: &str) -> Option<Standing> {
        admission.enter(peer.parse().unwrap())
    }

    #[test]
    fn plaintext_policy_looks_at_the_peer() {
        let check = |plaintext, peer, expected| {
            assert_eq!(enter(&mut Admission::new(plaintext, 9), peer), Some(expected), "{plaintext:?} {peer}");
        };
        for peer in [LOCAL, MAPPED, "[::1]:1000", "127.8.8.8:1"] {
            check(Plaintext::Loopback, peer, Standing::Client);
            check(Plaintext::Any, peer, Standing::Client);
            check(Plaintext::Off, peer, Standing::Refused(Refusal::PlaintextOff));
        }
        for peer in [REMOTE, "[2001:db8::1]:1000", "[::ffff:192.0.2.1]:1000"] {
            check(Plaintext::Loopback, peer, Standing::Refused(Refusal::PlaintextRemote));
            check(Plaintext::Any, peer, Standing::Client);
            check(Plaintext::Off, peer, Standing::Refused(Refusal::PlaintextOff));
        }
    }

    #[test]
    fn watchers_take_nobodys_place_and_are_bounded() {
        let mut admission = Admission::new(Plaintext::Loopback, 1);
        for _ in 0..WATCHERS_MAX {
            let standing = enter(&mut admission, REMOTE).unwrap();
            assert_eq!(admission.watch(standing), Some(Standing::Watcher));
        }
        let standing = enter(&mut admission, LOCAL).unwrap();
        assert_eq!((standing, admission.clients()), (Standing::Client, 1));
        assert_eq!(admission.watch(standing), None, "too many");
        assert_eq!(admission.clients(), 1, "it still counts as what it was");
        admission.leave(Standing::Watcher);
        assert_eq!(admission.watch(standing), Some(Standing::Watcher));
        assert_eq!(admission.clients(), 0);
    }

    #[test]
    fn strangers_never_take_a_clients_place() {
        let mut admission = Admission::new(Plaintext::Loopback, 1);
        for _ in 0..REFUSED_WAITING_MAX {
            assert_eq!(enter(&mut admission, REMOTE), Some(Standing::Refused(Refusal::PlaintextRemote)));
        }
        assert_eq!(enter(&mut admission, REMOTE), None);
        assert_eq!(enter(&mut admission, LOCAL), Some(Standing::Client));
        assert_eq!(enter(&mut admission, LOCAL), None, "full, and no room to wait for the refusal");
        admission.leave(Standing::Refused(Refusal::PlaintextRemote));
        assert_eq!(enter(&mut admission, LOCAL), Some(Standing::Refused(Refusal::Capacity)));
    }

    #[test]
    fn a_place_that_became_free_is_given_to_who_waits() {
        let mut admission = Admission::new(Plaintext::Any, 1);
        let first = enter(&mut admission, REMOTE).unwrap();
        let second = enter(&mut admission, REMOTE).unwrap();
        assert_eq!(admission.reconsider(second), Standing::Refused(Refusal::Capacity));
        admission.leave(first);
        let second = admission.reconsider(second);
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
