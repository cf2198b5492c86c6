//! One thread per client: it connects, keeps the connection or finds another, and holds the profile.
//!
//! The thread sleeps in the poller until a socket, a deadline or a command wakes it. Commands come over a bounded channel,
//! and a full one is told at once; notes leave over a bounded channel, and while that is full the thread waits, so that
//! TCP pushes back on the node. The wake callback is called once per turn that told something, and before such a wait.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use wire::codec::Codec;
use wire::session::candidates::Next;
use wire::time::Millis;

use super::handover::Handover;
use super::names::{self, LookUp, Lookup, Names};
use super::socket::{Socket, SocketError};
use super::tls;
use crate::command::{Command, Note, Ticket};
use crate::engine::{Engine, Options};
use crate::env::{Clock, random};
use crate::limits::{COMMANDS_MAX, CONNECT_MS_MAX, GOODBYE_MS_MAX, NOTES_MAX, READ_BYTES};
use crate::link::{Address, Link};
use crate::profile::{Profile, ProfileError};
use crate::store::{Identity, Store, StoreError};

/// What a driver has to be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The profile's directory; `None`: everything in memory, gone at the end.
    pub directory: Option<PathBuf>,
    /// Where the cluster is. Not needed once a profile has found it.
    pub link: Option<Link>,
    /// How to speak: [`Codec::Samira2`] or [`Codec::Json2`].
    pub codec: Codec,
    /// Speak without TLS to other machines too. Anybody on the way can read along, and no token is given.
    pub plaintext_any: bool,
    /// What this device calls itself.
    pub device_name: String,
    /// Take messages from other programs of the same user that find the profile in use: for programs that stay.
    pub takes_over: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let device_name = rustix::system::uname().nodename().to_string_lossy().chars().take(32).collect();
        Self {
            directory: None,
            link: None,
            codec: Codec::Samira2,
            plaintext_any: false,
            device_name,
            takes_over: false,
        }
    }
}

/// Why a driver does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Its database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The link is of another cluster.
    #[error("this profile belongs to another cluster than that link: choose another with --profile")]
    OtherCluster,
    /// Without the pin nobody knows who answers.
    #[error(
        "{0} is not on this machine, and nothing tells whether it can be trusted: paste the whole client link that the server printed (samira://HOST:PORT#PIN)"
    )]
    NoPin(Address),
    /// No address at all.
    #[error("where is the server? Say it once with --connect and the client link that the server printed")]
    NoLink,
    /// The system says no.
    #[error("cannot wait for sockets: {0}")]
    Io(#[from] io::Error),
}

/// As many commands wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Try again when some are answered.
    #[error("too many commands wait already")]
    Busy,
    /// The driver has ended; a note said why.
    #[error("the driver has ended")]
    Ended,
}

/// A running client. Dropping it says goodbye, waits for the thread, and lets go of the profile.
pub struct Driver {
    commands: SyncSender<(Ticket, Command)>,
    notes: Mutex<Option<Receiver<Note>>>,
    shared: Arc<Shared>,
    next_ticket: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    waker: Waker,
    stop: AtomicBool,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl Driver {
    /// Opens the profile and starts the thread. The first note is the model. `wake` is called on the driver's thread when
    /// there are notes to take; it must not wait for anything.
    ///
    /// # Errors
    /// The profile cannot be used, or there is nothing to connect to that could be trusted.
    pub fn start(settings: Settings, wake: impl Fn() + Send + 'static) -> Result<Self, StartError> {
        Self::start_with(settings, names::system(), wake)
    }

    /// The same with another way to look names up.
    pub(super) fn start_with(
        settings: Settings,
        look_up: LookUp,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, StartError> {
        let clock = Clock::start();
        let (profile, (mut store, model)) = match &settings.directory {
            Some(directory) => {
                let profile = Profile::open(directory)?;
                let opened = Store::open(&profile.database()?)?;
                (Some(profile), opened)
            }
            None => (None, Store::in_memory()?),
        };
        let addresses = take_link(&mut store, settings.link, settings.plaintext_any)?;
        let options = Options {
            codec: settings.codec,
            device_name: settings.device_name,
            plaintext_any: settings.plaintext_any,
            clock,
        };
        let engine = Engine::new(options, store, model, &addresses)?;
        let poll = Poll::new()?;
        let directory = settings.directory.as_deref().filter(|_| settings.takes_over);
        // Without it everything else works, and who would hand something over is told that nobody takes it.
        let handover = directory.and_then(|directory| Handover::open(directory, poll.registry(), HANDOVER).ok());
        let shared = Arc::new(Shared { waker: Waker::new(poll.registry(), WAKE)?, stop: AtomicBool::new(false) });
        let (commands, command_queue) = sync_channel(COMMANDS_MAX);
        let (note_queue, notes) = sync_channel(NOTES_MAX);
        let worker = Worker {
            engine,
            clock,
            poll,
            shared: shared.clone(),
            commands: command_queue,
            notes: Some(note_queue),
            wake: Box::new(wake),
            names: Names::new(look_up),
            phase: Phase::Idle,
            retry_at: None,
            plaintext_any: settings.plaintext_any,
            buffer: Vec::with_capacity(READ_BYTES),
            handover,
        };
        let thread = thread::Builder::new().name("samira-net".into()).spawn(move || {
            worker.run();
            // Only now may another process have it.
            drop(profile);
        })?;
        Ok(Self {
            commands,
            notes: Mutex::new(Some(notes)),
            shared,
            next_ticket: AtomicU64::new(1),
            thread: Some(thread),
        })
    }

    /// Asks for something; a note with this ticket answers. Never waits.
    ///
    /// # Errors
    /// Too much waits already, or the driver has ended.
    pub fn send(&self, command: Command) -> Result<Ticket, SendError> {
        let ticket = Ticket(self.next_ticket.fetch_add(1, Relaxed));
        self.commands.try_send((ticket, command)).map_err(|error| match error {
            TrySendError::Full(_) => SendError::Busy,
            TrySendError::Disconnected(_) => SendError::Ended,
        })?;
        // If it cannot be woken, it has ended, and the next command says so.
        let _ = self.shared.waker.wake();
        Ok(ticket)
    }

    /// The next note, if there is one. Never waits.
    pub fn try_note(&self) -> Option<Note> {
        let notes = self.notes.lock().expect("nobody panics with it");
        notes.as_ref().and_then(|notes| notes.try_recv().ok())
    }

    /// The next note; `None` if there is none in time, or never will be.
    pub fn wait_note(&self, timeout: Duration) -> Option<Note> {
        let notes = self.notes.lock().expect("nobody panics with it");
        match notes.as_ref().map(|notes| notes.recv_timeout(timeout)) {
            Some(Ok(note)) => Some(note),
            Some(Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) | None => None,
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        // Without a taker the thread cannot be stuck handing notes over.
        self.notes.lock().expect("nobody panics with it").take();
        let _ = self.shared.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed already.
            let _ = thread.join();
        }
    }
}

/// Puts what a link says beside what the profile knows. Returns the link's addresses.
fn take_link(store: &mut Store, link: Option<Link>, plaintext_any: bool) -> Result<Vec<Address>, StartError> {
    let identity = store.identity().clone();
    let Some(link) = link else {
        return if store.addresses()?.is_empty() { Err(StartError::NoLink) } else { Ok(Vec::new()) };
    };
    if let Some(pin) = link.pin
        && identity.pin != Some(pin)
    {
        // A profile that was used without TLS, or with other keys, and has an account there.
        if identity.device != 0 && identity.pin.is_some() {
            return Err(StartError::OtherCluster);
        }
        let cluster = if identity.device == 0 { String::new() } else { identity.cluster.clone() };
        if identity.device == 0 {
            store.set_addresses([])?;
        }
        store.set_identity(Identity { pin: Some(pin), cluster, ..identity })?;
    } else if link.pin.is_none()
        && identity.pin.is_none()
        && !plaintext_any
        && let Some(address) = link.addresses.iter().find(|address| !address.is_loopback())
    {
        return Err(StartError::NoPin(address.clone()));
    }
    Ok(link.addresses)
}

const WAKE: Token = Token(0);
const SOCKET: Token = Token(1);
/// And all above.
const HANDOVER: Token = Token(2);

/// What the thread owns.
struct Worker {
    engine: Engine,
    clock: Clock,
    poll: Poll,
    shared: Arc<Shared>,
    commands: Receiver<(Ticket, Command)>,
    /// `None` once nobody takes them any more.
    notes: Option<SyncSender<Note>>,
    wake: Box<dyn Fn() + Send>,
    names: Names,
    phase: Phase,
    /// When the next round over all addresses begins.
    retry_at: Option<Millis>,
    plaintext_any: bool,
    buffer: Vec<u8>,
    /// Messages of other programs.
    handover: Option<Handover>,
}

enum Phase {
    Idle,
    /// Where an address is, is being looked up.
    LookingUp {
        lookup: Lookup,
        deadline: Millis,
    },
    /// One of the places an address stands for is tried.
    Dialling {
        socket: Socket,
        rest: VecDeque<SocketAddr>,
        deadline: Millis,
    },
    Standing {
        socket: Socket,
        /// The node has to say welcome by then.
        deadline: Millis,
    },
}

impl Worker {
    fn run(mut self) {
        if let Err(error) = self.work() {
            self.tell(Note::Broken(error.to_string()));
            (self.wake)();
        }
    }

    fn work(&mut self) -> Result<(), StoreError> {
        let first = self.engine.first_note();
        self.tell(first);
        (self.wake)();
        let mut events = Events::with_capacity(16);
        loop {
            self.turn()?;
            if self.shared.stop.load(Relaxed) || self.notes.is_none() {
                return self.say_goodbye();
            }
            self.wait(&mut events, None);
            self.take_commands();
        }
    }

    fn wait(&mut self, events: &mut Events, at_most: Option<Millis>) {
        let now = self.clock.monotonic();
        let timeout = self.deadline().into_iter().chain(at_most).min().map(|deadline| {
            // Rounded up, so that it has passed when the poller returns.
            Duration::from_millis(deadline.since(now)) + Duration::from_millis(1)
        });
        let timeout = if self.has_more() { Some(Duration::ZERO) } else { timeout };
        match self.poll.poll(events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(_) => {
                // Only a bad call could fail otherwise; a pause keeps that from becoming a busy loop.
                thread::sleep(Duration::from_millis(10));
                return;
            }
        }
        for event in events.iter() {
            if event.token() >= HANDOVER {
                self.handover.iter_mut().for_each(|handover| handover.ready(self.poll.registry(), event.token()));
            } else if event.token() == SOCKET
                && let Phase::Dialling { socket, .. } | Phase::Standing { socket, .. } = &mut self.phase
            {
                socket.set_ready(event.is_readable() || event.is_read_closed() || event.is_error());
            }
        }
    }

    fn deadline(&self) -> Option<Millis> {
        let phase = match &self.phase {
            Phase::Idle => self.retry_at.filter(|_| self.engine.wants_connection()),
            Phase::LookingUp { deadline, .. } | Phase::Dialling { deadline, .. } => Some(*deadline),
            Phase::Standing { deadline, .. } => self.engine.is_greeting().then_some(*deadline),
        };
        phase.into_iter().chain(self.engine.deadline()).min()
    }

    fn has_more(&self) -> bool {
        matches!(&self.phase, Phase::Standing { socket, .. } if socket.may_have_more())
    }

    fn take_commands(&mut self) {
        for (ticket, command) in self.handover.iter_mut().flat_map(Handover::take_asked) {
            self.engine.command(ticket, command);
        }
        for _ in 0..COMMANDS_MAX {
            match self.commands.try_recv() {
                Ok((ticket, command)) => {
                    if matches!(command, Command::ConnectNow | Command::LogIn { .. } | Command::SignUp { .. }) {
                        self.retry_at = None;
                        self.engine.try_anew();
                    }
                    self.engine.command(ticket, command);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
        // There may be more; the poller is to return at once.
        let _ = self.shared.waker.wake();
    }

    /// Does everything that can be done now.
    fn turn(&mut self) -> Result<(), StoreError> {
        self.engine.tick();
        while self.step()? {}
        // Without a connection too, commands change things and are answered.
        self.finish()?;
        if let Phase::Standing { socket, .. } = &mut self.phase {
            // An error shows again where the connection is read.
            let _ = socket.flush();
        }
        Ok(())
    }

    /// One step of the connection. False: it waits for something.
    fn step(&mut self) -> Result<bool, StoreError> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => Ok(self.dial()),
            Phase::LookingUp { lookup, deadline } => {
                let found = match lookup.poll() {
                    None if self.clock.monotonic() < deadline => {
                        self.phase = Phase::LookingUp { lookup, deadline };
                        return Ok(false);
                    }
                    None => Err(names::SILENT.to_owned()),
                    Some(found) => found.map_err(|error| error.to_string()),
                };
                match found.and_then(|found| self.usable(found)) {
                    Ok(targets) => self.try_next(targets, String::new(), false),
                    Err(why) => self.address_failed(&why, false),
                }
                Ok(true)
            }
            Phase::Dialling { mut socket, rest, deadline } => {
                match socket.is_standing() {
                    Ok(true) => {
                        self.engine.connected(socket.is_encrypted(), socket.cluster());
                        self.phase = Phase::Standing { socket, deadline };
                        return Ok(true);
                    }
                    Ok(false) if self.clock.monotonic() < deadline => {
                        self.phase = Phase::Dialling { socket, rest, deadline };
                        return Ok(false);
                    }
                    Ok(false) => self.try_next(rest, "there was no answer in time".to_owned(), false),
                    Err(error) => self.try_next(rest, error.to_string(), matches!(error, SocketError::Tls(_))),
                }
                Ok(true)
            }
            Phase::Standing { socket, deadline } => {
                self.phase = Phase::Standing { socket, deadline };
                self.pump()
            }
        }
    }

    /// Moves bytes both ways. True: the connection is over.
    fn pump(&mut self) -> Result<bool, StoreError> {
        let Phase::Standing { socket, deadline } = &mut self.phase else { return Ok(false) };
        let deadline = *deadline;
        let read = socket.read(&mut self.buffer);
        let mut trouble = read.err().map(|error| error.to_string());
        if !self.buffer.is_empty() {
            self.engine.received(&mut self.buffer);
        }
        self.finish()?;
        if let Phase::Standing { socket, .. } = &mut self.phase
            && let Err(error) = socket.flush()
        {
            trouble.get_or_insert(error.to_string());
        }
        if self.engine.is_greeting() && self.clock.monotonic() >= deadline {
            trouble.get_or_insert("the node does not say welcome: is this a Samira server?".to_owned());
        }
        // What the node said on its way out explains more than the end itself.
        let Some(why) = self.engine.wants_hangup().or(trouble) else { return Ok(false) };
        if let Phase::Standing { mut socket, .. } = std::mem::replace(&mut self.phase, Phase::Idle) {
            socket.say_goodbye();
        }
        self.engine.lost(why);
        Ok(true)
    }

    /// Writes to disk, tells, and hands bytes to the socket, in this order.
    fn finish(&mut self) -> Result<(), StoreError> {
        let notes = self.engine.finish()?;
        let any = !notes.is_empty();
        for note in notes {
            let is_foreign = match (&note, &mut self.handover) {
                (Note::Answer { ticket, outcome }, Some(handover)) => handover.takes_answer(*ticket, outcome),
                _ => false,
            };
            if !is_foreign {
                self.tell(note);
            }
        }
        self.handover.iter_mut().for_each(Handover::tell_kept);
        if any {
            (self.wake)();
        }
        if let Phase::Standing { socket, .. } = &mut self.phase {
            let mut out = Vec::new();
            self.engine.take_out(&mut out);
            socket.send(&out);
        }
        Ok(())
    }

    fn tell(&mut self, note: Note) {
        let Some(notes) = &self.notes else { return };
        let outcome = match notes.try_send(note) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(()),
            Err(TrySendError::Full(note)) => {
                (self.wake)();
                notes.send(note).map_err(|_| ())
            }
        };
        if outcome.is_err() {
            self.notes = None;
        }
    }

    // ---- dialling ----------------------------------------------------------------------------------------------

    /// Begins with the next address, if it is time. False: there is nothing to do now.
    fn dial(&mut self) -> bool {
        if !self.engine.wants_connection() {
            return false;
        }
        let now = self.clock.monotonic();
        if self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        self.retry_at = None;
        let text = match self.engine.candidates().next(now, random()) {
            Next::Try(address) => address.to_owned(),
            Next::WaitUntil(at) => {
                self.retry_at = Some(at);
                self.engine.offline(at);
                return false;
            }
            Next::Nowhere => {
                self.engine.stopped("no server is known: say where it is with --connect");
                return false;
            }
        };
        self.engine.dialling(&text);
        match self.look_up(&text) {
            Ok(lookup) => {
                let deadline = now.after(CONNECT_MS_MAX);
                self.phase = Phase::LookingUp { lookup, deadline };
            }
            Err(why) => self.address_failed(&why, false),
        }
        true
    }

    fn look_up(&self, text: &str) -> Result<Lookup, String> {
        let address: Address = text.parse().map_err(|error: crate::link::LinkError| error.to_string())?;
        if !self.engine.may_use(&address) {
            return Err("it is not on this machine, and no pin tells whether it can be trusted".to_owned());
        }
        let shared = self.shared.clone();
        let wake = move || {
            // If it cannot be woken, it has ended and asks for nothing any more.
            let _ = shared.waker.wake();
        };
        self.names.begin(&address, wake).map_err(|error| error.to_string())
    }

    /// Those of the places that a name stands for which may be tried.
    fn usable(&self, found: Vec<SocketAddr>) -> Result<VecDeque<SocketAddr>, String> {
        // A name of this machine stays on this machine.
        let local_only = self.engine.store().identity().pin.is_none() && !self.plaintext_any;
        let targets: VecDeque<_> =
            found.into_iter().filter(|target| !local_only || target.ip().to_canonical().is_loopback()).collect();
        if targets.is_empty() { Err("the name stands for no address".to_owned()) } else { Ok(targets) }
    }

    fn address_failed(&mut self, why: &str, telling: bool) {
        let address = self.engine.candidates().current().unwrap_or("the server").to_owned();
        self.engine.dial_failed(format!("{address}: {why}"), telling);
    }

    /// Tries the first of `targets`; without any, the current address has failed because of `why`.
    fn try_next(&mut self, mut targets: VecDeque<SocketAddr>, mut why: String, telling: bool) {
        while let Some(target) = targets.pop_front() {
            match self.open(target) {
                Ok(socket) => {
                    let deadline = self.clock.monotonic().after(CONNECT_MS_MAX);
                    self.phase = Phase::Dialling { socket, rest: targets, deadline };
                    return;
                }
                Err(error) => why = error,
            }
        }
        self.address_failed(&why, telling);
    }

    fn open(&mut self, target: SocketAddr) -> Result<Socket, String> {
        let identity = self.engine.store().identity();
        let tls = match identity.pin {
            None => None,
            Some(pin) => {
                // Before anybody has logged in, the cluster may still turn out to be another.
                let cluster = (identity.device != 0 && !identity.cluster.is_empty()).then_some(&*identity.cluster);
                Some(tls::connect(pin, cluster).map_err(|error| error.to_string())?)
            }
        };
        let mut socket = Socket::dial(target, tls).map_err(|error| error.to_string())?;
        let interests = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket, SOCKET, interests).map_err(|error| error.to_string())?;
        Ok(socket)
    }

    // ---- the end -----------------------------------------------------------------------------------------------

    /// Lets what was decided reach the node, for a moment.
    fn say_goodbye(&mut self) -> Result<(), StoreError> {
        let deadline = self.clock.monotonic().after(GOODBYE_MS_MAX);
        let mut events = Events::with_capacity(16);
        self.take_commands();
        loop {
            self.turn()?;
            let unsent = matches!(&self.phase, Phase::Standing { socket, .. } if socket.unsent() > 0);
            if (self.engine.is_quiet() && !unsent) || self.clock.monotonic() >= deadline {
                break;
            }
            self.wait(&mut events, Some(deadline));
        }
        if let Phase::Standing { socket, .. } = &mut self.phase {
            socket.say_goodbye();
        }
        Ok(())
    }
}
