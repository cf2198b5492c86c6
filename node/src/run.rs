//! A node's life, in order: signals, directory, sockets, place in a cluster, consensus, service, transport, until it is
//! told to stop.

use std::io::{self, IsTerminal as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use wire::replication::command::{Command, Outcome};

use crate::admin::{self, Administration, FormerMember, MemberRemoved, MemberStatus, Members, NewCode, Status};
use crate::bridge::CallReplies;
use crate::chat::apply;
use crate::cluster::addresses::interfaces;
use crate::cluster::begin::{BeginError, RemovedError, begin};
use crate::cluster::code::JoinCode;
use crate::cluster::identity::{DataDir, Identity, IdentityError};
use crate::config::args::{LogFormat, Signup, spelled};
use crate::config::resolved::Config;
use crate::env::Clock;
use crate::greeting::{Greeting, client_link};
use crate::limits::{
    COMPLETIONS_MAX, DIRECTORY_LOOK, GRPC_HANDED_OVER_MAX, GRPC_TURNS_MAX, JOIN_CODE_LIFETIME, JOIN_CODE_LIFETIME_MAX,
    LINKS_PATIENCE, PORT_TRIES, QUERY_THREADS, SHUTDOWN_PATIENCE, STOP_PATIENCE, TURNS_MAX, WHISPERS_MAX,
};
use crate::listen;
use crate::notice::{Notice, say};
use crate::quic::tls::{self, TlsError};
use crate::raft::read::Freshness;
use crate::raft::removal::RemovedMember;
use crate::raft::{self, Consensus, Failure, Ground};
use crate::signals::Signals;
use crate::storage::Queries;
use crate::storage::state::OpenError;
use crate::storage::trouble::Alarm;
use crate::transport::{self, Stats};
use crate::{grpc, service};

/// Why a node did not start, or stopped by itself. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The listening address.
    #[error("cannot listen on {address} ({protocol}): {source}{}", hint(.source))]
    Listen {
        /// Which.
        address: SocketAddr,
        /// `TCP` for clients, `UDP` for other nodes.
        protocol: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No place in a cluster.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// Consensus.
    #[error(transparent)]
    Consensus(#[from] raft::StartError),
    /// Readers of the state.
    #[error(transparent)]
    State(#[from] OpenError),
    /// Certificates for clients.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Client connections.
    #[error(transparent)]
    Transport(#[from] transport::StartError),
    /// Signals.
    #[error("cannot receive signals: {0}")]
    Signals(io::Error),
    /// The administration socket.
    #[error("cannot serve administration in {directory}: {source}")]
    Admin {
        /// The data directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Password threads.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// An operator removed this node from its cluster.
    #[error(transparent)]
    Removed(#[from] RemovedError),
    /// What this server has promised is not all here, or is kept by another one.
    #[error("this server stops: {0}")]
    Fallen(String),
    /// A panic, or what comes of one.
    #[error(
        "this server stops, because a part of it has failed for a reason that nobody foresaw; that is a defect in this program. \
         Its data directory is left as it is: keep it. Start the server again; if it fails again, leave it down and report the \
         lines above: {0}"
    )]
    Defect(String),
    /// Asked twice.
    #[error("stopped at once at a second signal ({0}); nothing acknowledged is lost")]
    Hurried(&'static str),
    /// A replica unsure of its state must not go on.
    #[error("this server stops, because it cannot vouch for its data any more; nothing it has promised is lost: {0}")]
    Failed(String),
}

impl RunError {
    /// Whether this node has no place in its cluster any more: starting it again is of no use.
    pub fn is_removal(&self) -> bool {
        matches!(self, RunError::Removed(_) | RunError::Begin(BeginError::Removed(_)))
    }
}

/// Why a running node ends.
enum End {
    /// By this signal.
    Told(&'static str),
    Removed(String),
    Failed(String),
    Fallen(String),
    Defect(String),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; stop the program that uses it, or choose another port with --listen ADDR:PORT",
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address, see `ip address`",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges, choose another with --listen ADDR:PORT",
        _ => "",
    }
}

/// Runs a node until a signal asks it to stop, see [`Signals`]. Prints to standard output what its operator should know.
///
/// # Errors
/// See [`RunError`].
pub async fn run(config: Config) -> Result<(), RunError> {
    let mut signals = Signals::receive().map_err(RunError::Signals)?;
    let clock = Clock;
    if let Some(trouble) = clock.trouble() {
        tracing::warn!("{trouble}");
    }
    if let Some(level) = config.test_rule_level {
        apply::set_rule_level(level);
    }
    let data = Arc::new(DataDir::open(&config.data_dir)?);
    let (listener, socket, listen) = bind(config.listen)?;
    let asked_back =
        socket.try_clone().map_err(|source| RunError::Listen { address: listen, protocol: "UDP", source })?;
    let told = |notice: Notice| say(config.log, &notice);
    let identity = tokio::select! {
        begun = begin(&config, &data, listen, asked_back, told) => Arc::new(begun?),
        signal = signals.stop() => {
            tracing::info!(signal, "stopped before it was a member");
            return Ok(());
        }
    };

    let (completed, completions) = mpsc::channel(COMPLETIONS_MAX);
    let (whispered, whispers) = mpsc::channel(WHISPERS_MAX);
    let (told, applied) = service::applied_queue();
    let alarm = Alarm::default();
    let ground = Ground {
        data: data.clone(),
        identity: identity.clone(),
        socket,
        clock,
        alarm: alarm.clone(),
        listener: Some(told),
        trust_data: config.trust_data,
        listen,
        peers: config.peers.clone(),
    };
    let consensus = Consensus::start(ground, completed, whispered).await.map_err(|error| match alarm.reason() {
        // What openraft makes of it says less.
        Some(reason) => RunError::Failed(reason.to_string()),
        None => error.into(),
    })?;
    let consensus = Arc::new(consensus);
    let queries = Queries::start(&data.file("state.db"), QUERY_THREADS, alarm.clone())?;

    let (turned, turns) = mpsc::channel(TURNS_MAX);
    let credentials = data.credentials(&identity)?;
    let tls = tls::client_server(&credentials)?;
    let (handover, handed_over) = mpsc::channel(GRPC_HANDED_OVER_MAX);
    let transport_config = transport::Config {
        max_clients: config.max_clients,
        plaintext: config.plaintext,
        http2: Some(handover),
        ..transport::Config::new(tls)
    };
    let (transport, replies) = transport::start(transport_config, listener, turned)?;
    let (called, calls) = mpsc::channel(GRPC_TURNS_MAX);
    let call_replies = CallReplies::default();
    let whom = service::Whom { cluster: identity.cluster_id.clone(), node: identity.name.clone() };
    let parts = service::Parts {
        proposer: consensus.proposer.clone(),
        reads: consensus.reads.clone(),
        queries: queries.clone(),
        replies,
        call_replies: call_replies.clone(),
        leadership: consensus.leadership.clone(),
        whispers: consensus.whispers.clone(),
        whom: whom.clone(),
        signup_open: config.signup == Signup::Open,
    };
    let inputs = service::Inputs { turns, called: calls, completions, applied, whispered: whispers };
    let (mut service, original) = service::start(parts, inputs).map_err(RunError::Thread)?;
    let grpc = grpc::start(grpc::Parts {
        handed_over,
        tls: tls::grpc_server(&credentials)?,
        original,
        calls: grpc::CallPort { turns: called, replies: call_replies },
        leadership: consensus.leadership.clone(),
        whom,
        legacy: config.legacy_grpc,
    })
    .map_err(RunError::Thread)?;

    let (stats, log) = (transport.stats(), config.log);
    let desk = Arc::new(Desk { consensus: consensus.clone(), queries, stats, data, identity, log });
    let admin_error = |source| RunError::Admin { directory: desk.data.path().to_owned(), source };
    let administered = admin::serve(desk.data.path(), desk.clone()).map_err(admin_error)?;
    let greeting = tokio::spawn(desk.clone().greet(listen));

    let end = tokio::select! {
        biased;
        reason = alarm.raised() => match alarm.is_defect() {
            true => End::Defect(reason.to_string()),
            false => End::Failed(reason.to_string()),
        },
        reason = consensus.introductions.fallen() => End::Fallen(reason),
        failure = consensus.failed() => match (consensus.introductions.verdict().reason(), alarm.reason(), failure) {
            (Some(reason), ..) => End::Fallen(reason),
            (_, Some(reason), _) => End::Failed(reason.to_string()),
            (_, _, Failure::Storage(reason)) => End::Failed(reason),
            (_, _, Failure::Defect(reason)) => End::Defect(reason),
        },
        by = consensus.removed() => End::Removed(by),
        () = out_of_place(desk.data.clone()) => End::Fallen(format!(
            "its data directory {} was deleted or moved away while it ran, and what it stores would be gone with it. If it was \
             moved, put it back and start again. If it is lost, start here with the line that `node join-code` prints on \
             another server, and remove the old one there with `node members remove {:016x}`",
            desk.data.path().display(),
            desk.identity.node
        )),
        ended = &mut service => End::Defect(match ended {
            // The thread with the clients' sockets has ended before; the log says why.
            Ok(()) => "clients are not served any more".to_owned(),
            Err(panicked) => format!("serving clients: {panicked}"),
        }),
        signal = signals.stop() => End::Told(signal),
    };
    greeting.abort();
    let end = match end {
        End::Failed(reason) => {
            // At once, and with everything in it: the end of the process is what tells the others that a leader is gone.
            let _ = std::fs::remove_file(desk.data.file(admin::SOCKET));
            return Err(RunError::Failed(reason));
        }
        End::Defect(reason) => {
            let _ = std::fs::remove_file(desk.data.file(admin::SOCKET));
            return Err(RunError::Defect(reason));
        }
        End::Fallen(reason) => {
            let _ = std::fs::remove_file(desk.data.file(admin::SOCKET));
            return Err(RunError::Fallen(reason));
        }
        End::Removed(by) => {
            tracing::info!(
                node = format_args!("{:016x}", desk.identity.node),
                by,
                "stopping: removed from the cluster"
            );
            // The next start need not ask.
            desk.data.keep(&Identity { begun: true, removed_by: Some(by.clone()), ..(*desk.identity).clone() })?;
            // It may have been asked for here.
            administered.idle().await;
            Err(RemovedError::new(&desk.identity, &by, &desk.data).into())
        }
        End::Told(signal) => {
            tracing::info!(signal, "stopping");
            Ok(())
        }
    };
    let farewell = async {
        // Clients first, so that what is acknowledged still reaches them; consensus last.
        let drained = tokio::task::spawn_blocking(move || transport.shutdown(SHUTDOWN_PATIENCE));
        let closed = tokio::task::spawn_blocking(move || grpc.shutdown());
        if drained.await.is_err() || closed.await.is_err() {
            tracing::error!("the clients' connections were not closed cleanly");
        }
        service.abort();
        consensus.stop().await;
    };
    tokio::select! {
        said = tokio::time::timeout(STOP_PATIENCE, farewell) => match said {
            Ok(()) => tracing::info!("stopped"),
            Err(_) => tracing::warn!("stopped, without waiting any longer for what does not end"),
        },
        signal = signals.stop() => return Err(RunError::Hurried(signal)),
    }
    // Left behind it would only be found stale at the next start.
    let _ = std::fs::remove_file(desk.data.file(admin::SOCKET));
    end
}

/// Returns once the data directory is not where it was.
async fn out_of_place(data: Arc<DataDir>) {
    loop {
        tokio::time::sleep(DIRECTORY_LOOK).await;
        let looked = data.clone();
        // Where that cannot be found out now, later.
        if let Ok(false) = tokio::task::spawn_blocking(move || looked.is_in_place()).await {
            return;
        }
    }
}

/// Binds the same port for TCP and UDP. With port 0 the system chooses for TCP, and another is tried when UDP has that
/// one taken.
fn bind(address: SocketAddr) -> Result<(TcpListener, UdpSocket, SocketAddr), RunError> {
    let address = listen::possible(address);
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let refused = |protocol| move |source| RunError::Listen { address, protocol, source };
        let bound = listen::tcp(address).and_then(|tcp| Ok((tcp.local_addr()?, tcp))).map_err(refused("TCP"));
        let bound = bound.and_then(|(local, tcp)| Ok((tcp, listen::udp(local).map_err(refused("UDP"))?, local)));
        match bound {
            Err(_) if tries > 0 => {}
            decided => return decided,
        }
    }
}

/// A port above ours that is free for both protocols now.
fn free_port(listen: SocketAddr) -> Option<u16> {
    (1..=99)
        .filter_map(|offset| listen.port().checked_add(offset))
        .find(|&port| bind(SocketAddr::new(listen.ip(), port)).is_ok())
}

/// Answers administrators.
struct Desk {
    consensus: Arc<Consensus>,
    queries: Queries,
    stats: Stats,
    data: Arc<DataDir>,
    identity: Arc<Identity>,
    log: LogFormat,
}

impl Administration for Desk {
    async fn status(&self) -> Result<Status, String> {
        let leadership = &self.consensus.leadership;
        let (role, term) = leadership.role();
        let leader = leadership.leader();
        let (known, members) = (leadership.members(), self.member_list());
        let pin = self.data.pin().map_err(|error| error.to_string())?;
        let (hash_at, hash) =
            self.queries.run(|reader| reader.state_hash()).await.map_err(|error| error.to_string())?;
        let troubles = members.iter().filter_map(MemberStatus::warning).collect::<Vec<_>>();
        // After the state, which is therefore never shown ahead of the log.
        let indexes = self.consensus.indexes().await;
        Ok(Status {
            name: self.identity.name.clone(),
            role: role.to_owned(),
            term,
            leader: leader
                .and_then(|id| known.iter().find(|(member, _)| member.id == id))
                .map(|(member, _)| member.name.clone()),
            last_log: indexes.last_log,
            committed: indexes.committed,
            // Read together with the hash: a pair that is compared between nodes must belong together.
            applied: hash_at.map(|id| id.index),
            state_hash: data_encoding::HEXLOWER.encode(&hash),
            state_hash_at: hash_at.map(|id| id.index),
            members,
            clients: self.stats.clients(),
            client_link: client_link(&self.consensus.address(), &pin.to_string()),
            address: self.consensus.address(),
            node_id: format!("{:016x}", self.identity.node),
            cluster: self.identity.cluster_name.clone(),
            cluster_id: self.identity.cluster_id.clone(),
            data_dir: self.data.path().to_owned(),
            waiting_for: self
                .consensus
                .introductions
                .waits_for()
                .or_else(|| leader.is_none().then(|| leadership.waiting_for())),
            rule_level: leadership.rule_level(),
            warnings: leadership.slow_links().into_iter().chain(Clock.trouble()).chain(troubles).collect(),
            leader_id: leader.map(|id| format!("{id:016x}")),
            quorum: leadership.quorum().into(),
        })
    }

    async fn new_code(&self, valid: Option<Duration>) -> Result<NewCode, String> {
        let valid = valid.unwrap_or(JOIN_CODE_LIFETIME);
        if !(Duration::from_secs(1)..=JOIN_CODE_LIFETIME_MAX).contains(&valid) {
            return Err(format!("a join code can be valid from 1s to {}", spelled(JOIN_CODE_LIFETIME_MAX)));
        }
        let pin = self.data.pin().map_err(|error| error.to_string())?;
        let code = JoinCode::generate(pin).map_err(|error| error.to_string())?;
        let lifetime = u64::try_from(valid.as_millis()).expect("hours fit");
        // The code is used up in an entry that the leader stamps, so its clock counts and not ours: they may differ by hours.
        let now = self.consensus.clocks.leader_ms().await;
        let now = now.ok_or_else(|| format!("no join code could be made: {}", self.consensus.leadership.missing()))?;
        let add = Command::AddJoinCode { hash: JoinCode::hash(&code.secret), expires_ms: now.saturating_add(lifetime) };
        match self.consensus.proposer.propose(&add).await {
            Ok(Outcome::Done) => {
                Ok(NewCode { code: code.to_string(), expires_in_s: valid.as_secs(), peers: self.consensus.address() })
            }
            Ok(other) => Err(format!("unexpected outcome {other:?}")),
            Err(error) => Err(format!("no join code could be made: {error}")),
        }
    }

    async fn members(&self) -> Result<Members, String> {
        let removals = self.consensus.removals();
        let former = removals.nodes.iter().filter(|(id, _)| removals.outcast(**id).is_some());
        Ok(Members {
            leader: self.consensus.leadership.leader().map(|leader| format!("{leader:016x}")),
            members: self.member_list(),
            removed: former
                .map(|(id, node)| FormerMember {
                    id: format!("{id:016x}"),
                    name: node.name.clone(),
                    by: node.by.clone(),
                    time_ms: node.time_ms,
                })
                .collect(),
            quorum: self.consensus.leadership.quorum().into(),
        })
    }

    async fn remove(&self, member: &str) -> Result<MemberRemoved, String> {
        let RemovedMember { member, voters } = self.consensus.remove(member, &self.identity.name).await?;
        Ok(MemberRemoved { name: member.name, id: format!("{:016x}", member.id), voters })
    }
}

impl Desk {
    fn member_list(&self) -> Vec<MemberStatus> {
        let leadership = &self.consensus.leadership;
        self.consensus.clocks.look_again();
        let members = leadership.members().into_iter();
        members
            .map(|(member, voter)| {
                let unreached_for = leadership.unreached_for(member.id);
                let ahead_ms = self.consensus.clocks.ahead_ms(member.id);
                let trouble = self.consensus.introductions.trouble(member.id);
                MemberStatus { trouble, ..MemberStatus::new(member, voter, unreached_for, ahead_ms) }
            })
            .collect()
    }

    /// Tells the operator where things stand: at once if there is a leader soon, and what is missing if not.
    async fn greet(self: Arc<Self>, listen: SocketAddr) {
        let leadership = &self.consensus.leadership;
        // A restarted node remembers who led before; only an answered question shows that somebody leads now.
        let led = self.serves().await;
        self.say(&Notice::Ready {
            name: self.identity.name.clone(),
            address: listen,
            role: leadership.role().0,
            cluster_id: self.identity.cluster_id.clone(),
            directory: self.data.path().to_owned(),
        });
        if !led {
            self.say(&Notice::Waiting { missing: leadership.waiting_for() });
            self.report_until_led().await;
        }
        self.links_stand().await;
        // A restart prints none unasked: a journal is read by many, and whoever needs a code can make one.
        let wanted = !self.identity.begun || std::io::stdout().is_terminal();
        let join_code = if wanted { self.new_code(None).await.ok().map(|new| new.code) } else { None };
        let members = leadership.members();
        let (role, term) = leadership.role();
        let leader = leadership.leader().and_then(|id| members.iter().find(|(member, _)| member.id == id));
        let interfaces = if listen.ip().is_unspecified() { interfaces() } else { Vec::new() };
        let greeting = Greeting {
            name: self.identity.name.clone(),
            cluster: self.identity.cluster_name.clone(),
            listen,
            interfaces: interfaces
                .into_iter()
                // 0.0.0.0 takes no connections over IPv6.
                .filter(|ip| listen.is_ipv6() || ip.is_ipv4())
                .map(|ip| SocketAddr::new(ip, listen.port()))
                .collect(),
            address: self.consensus.address(),
            role: (role.to_owned(), term),
            leader: leader.map(|(member, _)| (member.name.clone(), member.address.clone())),
            warning: leadership.quorum_when_joined().warning(),
            founded: self.identity.founder && !self.identity.begun,
            cluster_id: self.identity.cluster_id.clone(),
            data_dir: self.data.path().to_owned(),
            pin: self.data.pin().map(|pin| pin.to_string()).unwrap_or_default(),
            program: std::env::args().next().unwrap_or_else(|| "node".into()),
            join_code,
            next_port: free_port(listen),
        };
        self.say(&Notice::Started(Box::new(greeting)));
    }

    fn say(&self, notice: &Notice) {
        say(self.log, notice);
    }

    /// Returns once all members are reached, or soon: right after a start a missing link says nothing yet.
    async fn links_stand(&self) {
        let leadership = &self.consensus.leadership;
        let links = async {
            for (member, _) in leadership.members() {
                if let Some(peer) = leadership.peers().find(member.id) {
                    peer.wait_connected().await;
                }
            }
        };
        let _ = tokio::time::timeout(LINKS_PATIENCE, links).await;
    }

    /// Says what is missing whenever that changes, until a majority answers.
    async fn report_until_led(&self) {
        let mut said = self.consensus.leadership.waiting_for();
        while !self.serves().await {
            let missing = self.consensus.leadership.waiting_for();
            if missing != said {
                self.say(&Notice::Waiting { missing: missing.clone() });
                said = missing;
            }
        }
    }

    /// Whether a leader with a majority answers now; takes a while to say no.
    async fn serves(&self) -> bool {
        self.consensus.reads.barrier().await == Freshness::Linearizable
    }
}
