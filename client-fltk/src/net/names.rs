//! Looking names up, off the driver's thread: the system's own look-up waits for a silent name server as long as it likes,
//! and neither a person's time-out nor the end of the program may wait with it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use crate::limits::LOOKUPS_MAX;
use crate::link::Address;

/// What a name stands for.
pub(super) type Found = io::Result<Vec<SocketAddr>>;

/// How a name is looked up; may wait.
pub(super) type LookUp = Arc<dyn Fn(&str, u16) -> Found + Send + Sync>;

/// Asks the system.
pub(super) fn system() -> LookUp {
    Arc::new(|host, port| (host, port).to_socket_addrs().map(Iterator::collect))
}

/// Looks names up.
pub(super) struct Names {
    look_up: LookUp,
    /// Held by each thread that is at it.
    underway: Arc<()>,
}

/// A name that is being looked up. Dropping it leaves the answer to nobody.
pub(super) struct Lookup(Receiver<Found>);

impl Names {
    pub(super) fn new(look_up: LookUp) -> Self {
        Self { look_up, underway: Arc::new(()) }
    }

    /// Begins; `wake` is called when there is an answer.
    pub(super) fn begin(&self, address: &Address, wake: impl FnOnce() + Send + 'static) -> io::Result<Lookup> {
        let (answer, lookup) = sync_channel(1);
        if let Ok(ip) = address.host.parse::<IpAddr>() {
            // Nobody has to be asked, so nobody is waited for. The channel has room for one.
            let _ = answer.send(Ok(vec![SocketAddr::new(ip, address.port)]));
            return Ok(Lookup(lookup));
        }
        if Arc::strong_count(&self.underway) > LOOKUPS_MAX {
            return Err(io::Error::new(io::ErrorKind::TimedOut, SILENT));
        }
        let (look_up, underway, address) = (self.look_up.clone(), self.underway.clone(), address.clone());
        thread::Builder::new().name("samira-names".into()).spawn(move || {
            // Who asked may have given up.
            let _ = answer.send(look_up(&address.host, address.port));
            drop(underway);
            wake();
        })?;
        Ok(Lookup(lookup))
    }
}

impl Lookup {
    /// The answer, if it has come.
    pub(super) fn poll(&self) -> Option<Found> {
        match self.0.try_recv() {
            Ok(found) => Some(found),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(io::Error::other("the name could not be looked up"))),
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

/// What is told when nothing comes back.
pub(super) const SILENT: &str = "the name server does not answer";
