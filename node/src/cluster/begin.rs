//! Found, join, or start again: the three ways to become a running member.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use wire::replication::entry::Member;
use wire::replication::join::{JoinRefusal, JoinReply, JoinRequest};

use super::addresses::{address_now, address_of_newcomer, own_address};
use super::code::JoinCode;
use super::identity::{DataDir, Identity, IdentityError, Names};
use crate::cluster::takes_place_of;
use crate::config::resolved::{CodeSource, Config, ConfigError};
use crate::limits::JOIN_PAUSE;
use crate::notice::Notice;
use crate::quic::endpoint::{EndpointError, JoinError, ask_to_join};
use crate::quic::probe::Answering;
use crate::quic::tls::ANOTHER;

/// Why this node cannot become a member.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The data directory.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// `--peers` without a code, for a node that is nobody yet.
    #[error(
        "this server is not a member of a cluster yet, and --peers needs a --join-code for that: run `node join-code` \
         on a server of the cluster, or take the code it printed when it started"
    )]
    NoCode,
    /// The code cannot be read.
    #[error(transparent)]
    Code(#[from] ConfigError),
    /// The way back cannot be kept open.
    #[error("cannot answer the cluster: {0}")]
    Answering(#[from] EndpointError),
    /// There is no member in the directory, and the operator expects one.
    #[error(
        "{directory} holds no server, and --expect-cluster says that it belongs to cluster {expected}: nothing was founded. \
         See whether the right disk is mounted and the right --data-dir is given. If the disk is lost: run `node join-code` on \
         a server of that cluster and start here with --peers and --join-code, as it prints them. To found a new cluster, \
         start without --expect-cluster",
        directory = .directory.display()
    )]
    WouldFound {
        /// Id of the cluster.
        expected: String,
        /// The data directory.
        directory: PathBuf,
    },
    /// The directory is of another cluster than the operator expects.
    #[error(
        "{directory} belongs to cluster {found}, and --expect-cluster says {expected}: choose the right directory with \
         --data-dir, or start with --expect-cluster {found}",
        directory = .directory.display()
    )]
    OtherCluster {
        /// Id of the cluster that the operator expects.
        expected: String,
        /// Id of the cluster that the directory is of.
        found: String,
        /// The data directory.
        directory: PathBuf,
    },
    /// A newcomer that was not let in yet is told to found.
    #[error(
        "{directory} is of a server that was joining a cluster and was not let in yet: nothing was founded. Start it again with \
         --peers and --join-code, as `node join-code` prints them on a server of that cluster. To found a new cluster on this \
         machine, choose another --data-dir",
        directory = .directory.display()
    )]
    HalfJoined {
        /// The data directory.
        directory: PathBuf,
    },
    /// A member is to join another cluster.
    #[error(
        "{directory} belongs to cluster {found}, and the join code is of another cluster: nothing was changed. To join that one, \
         start with another --data-dir; if this directory was founded by mistake, move it away. To start the server that it \
         holds, leave --join-code out",
        directory = .directory.display()
    )]
    CodeOfAnother {
        /// Id of the cluster that the directory is of.
        found: String,
        /// The data directory.
        directory: PathBuf,
    },
    /// The cluster said no.
    #[error("the cluster does not let this server in: {0}")]
    Refused(String),
    /// It was a member.
    #[error(transparent)]
    Removed(#[from] RemovedError),
    /// Another cluster.
    #[error(transparent)]
    Join(#[from] JoinError),
}

/// A machine with link-local addresses only.
const NO_ADDRESS: &str = "this machine has no address but one that is good only on its own cable, which is of no use to servers \
    elsewhere; give it another one, or say with --advertise HOST:PORT where the others reach it. The join code is not used up";

/// This node was removed from its cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this server ({name}, id {node:016x}) was removed from cluster {cluster} on {by} and takes no part in it any more. Its data directory \
     {directory} can be deleted. To let this machine join as a new server: run `node join-code` on a server of the \
     cluster, delete that directory or choose another with --data-dir, and start `node` here with the line it prints",
    directory = .directory.display()
)]
pub struct RemovedError {
    /// Of this node.
    pub name: String,
    /// Its id: names may repeat.
    pub node: u64,
    /// Of the cluster it was in.
    pub cluster: String,
    /// Name of the server on which an operator asked for it.
    pub by: String,
    /// Its data directory.
    pub directory: PathBuf,
}

impl RemovedError {
    /// Of a node in its data directory.
    pub fn new(identity: &Identity, by: &str, data: &DataDir) -> Self {
        RemovedError {
            name: identity.name.clone(),
            node: identity.node,
            cluster: identity.cluster_name.clone(),
            by: by.to_owned(),
            directory: data.path().to_owned(),
        }
    }
}

/// Becomes a member: again, by joining, or by founding a cluster. `listen` is where this node listens, with its real
/// port, and `socket` is its UDP socket, over which a newcomer is asked back; `say` is told what the operator should know.
///
/// # Errors
/// See [`BeginError`]. Servers that cannot be reached are no error: it waits for them.
pub async fn begin(
    config: &Config,
    data: &DataDir,
    listen: SocketAddr,
    socket: UdpSocket,
    say: impl Fn(Notice),
) -> Result<Identity, BeginError> {
    let expected = config.expect_cluster.as_ref();
    if let Some(mut identity) = data.identity()? {
        if let Some(expected) = expected.filter(|id| **id != identity.cluster_id) {
            let (expected, found) = (expected.clone(), identity.cluster_id);
            return Err(BeginError::OtherCluster { expected, found, directory: data.path().to_owned() });
        }
        if let Some(by) = &identity.removed_by {
            return Err(RemovedError::new(&identity, by, data).into());
        }
        // Its own code stays in many a unit after it has joined. One that cannot be read any more is not needed either.
        let code = config.join_code.as_ref().and_then(CodeSource::at_hand);
        if let Some(code) = code
            && code.pin != data.pin()?
        {
            return Err(BeginError::CodeOfAnother { found: identity.cluster_id, directory: data.path().to_owned() });
        }
        if config.named && config.name != identity.name {
            let (name, given) = (&identity.name, &config.name);
            tracing::warn!(name, given, "a server keeps the name it joined with; the one given now is not used");
        }
        let advertise = config.advertise.clone().or_else(|| identity.advertise.clone());
        let address = advertise.clone().unwrap_or_else(|| address_now(listen, &identity.address, &[]));
        if (&address, &advertise) != (&identity.address, &identity.advertise) {
            (identity.address, identity.advertise) = (address, advertise);
            data.keep(&identity)?;
        }
        return Ok(identity);
    }
    if config.peers.is_empty() {
        if data.is_joining()? {
            return Err(BeginError::HalfJoined { directory: data.path().to_owned() });
        }
        if let Some(expected) = expected {
            return Err(BeginError::WouldFound { expected: expected.clone(), directory: data.path().to_owned() });
        }
        let address = config.advertise.clone().unwrap_or_else(|| own_address(listen));
        let advertise = config.advertise.clone();
        let identity = data.found(Names { node: &config.name, cluster: &config.cluster_name, address, advertise })?;
        let (cluster_id, directory) = (identity.cluster_id.clone(), data.path().to_owned());
        tracing::warn!(cluster_id, directory = %directory.display(), "founded a new cluster");
        say(Notice::Founded { cluster_id, directory });
        return Ok(identity);
    }
    let code = &config.join_code.as_ref().ok_or(BeginError::NoCode)?.code()?;
    let (node, csr) = data.prepare_to_join()?;
    let (certificate, key) = data.newcomer_credentials()?;
    let answering = Answering::start(socket, certificate, key, code.pin)?;
    let request = |local: IpAddr| {
        // Where the connection to the cluster leaves from is where the cluster can reach us, unless the operator knows
        // better or we listen somewhere else.
        let address = config.advertise.clone().or_else(|| address_of_newcomer(listen, local)).ok_or(NO_ADDRESS)?;
        Ok(JoinRequest {
            secret: code.secret.clone(),
            csr: csr.clone(),
            member: Member { id: node, address, name: config.name.clone() },
            named: config.named,
        })
    };
    let asked = ask_all(config, code, &request, &say).await;
    answering.stop().await;
    let (reply, ca) = asked?;
    match reply {
        JoinReply::Admitted { cluster_id, cluster_name, certificate, address, members } => {
            let me = Member { id: node, address: address.clone(), name: config.name.clone() };
            for old in members.into_iter().filter(|old| takes_place_of(&me, config.named, old)) {
                say(Notice::Replaces { id: format!("{:016x}", old.id), name: old.name, address: old.address });
            }
            let (name, advertise) = (config.name.clone(), config.advertise.clone());
            let identity = Identity {
                node,
                name,
                cluster_id,
                cluster_name,
                address,
                advertise,
                founder: false,
                begun: false,
                removed_by: None,
            };
            data.admitted(&identity, &ca, &CertificateDer::from(certificate))?;
            Ok(identity)
        }
        JoinReply::Refused(refusal) => Err(BeginError::Refused(explain(&refusal))),
    }
}

/// Asks one peer after the other until one decides.
async fn ask_all(
    config: &Config,
    code: &JoinCode,
    request: &impl Fn(IpAddr) -> Result<JoinRequest, String>,
    say: &impl Fn(Notice),
) -> Result<(JoinReply, CertificateDer<'static>), BeginError> {
    let mut said = String::new();
    loop {
        let mut waiting = Vec::new();
        for peer in &config.peers {
            match ask_to_join(peer, code.pin, config.expect_cluster.as_deref(), request).await {
                Ok((JoinReply::Refused(JoinRefusal::Busy { reason }), _)) => waiting.push(format!("{peer}: {reason}")),
                Ok(decided) => return Ok(decided),
                Err(JoinError::Unreachable(error)) => {
                    let error = error.to_string();
                    // Of an address that needs no look-up it is said already.
                    let said = error.starts_with(&format!("{peer}: "));
                    waiting.push(if said { error } else { format!("{peer}: {error}") });
                }
                Err(error) => return Err(error.into()),
            }
        }
        let missing = waiting.join("; ");
        if missing != said {
            say(Notice::Joining { missing: missing.clone() });
            said = missing;
        }
        tokio::time::sleep(JOIN_PAUSE).await;
    }
}

fn explain(refusal: &JoinRefusal) -> String {
    match refusal {
        JoinRefusal::CodeUnknown => {
            "it does not know this join code; run `node join-code` there for a new one".to_owned()
        }
        JoinRefusal::CodeExpired => "this join code has expired; run `node join-code` there for a new one".to_owned(),
        JoinRefusal::CodeUsed => {
            "this join code was used by another server already; run `node join-code` there for a new one".to_owned()
        }
        JoinRefusal::BadRequest => "it found the request damaged; do both run the same release?".to_owned(),
        JoinRefusal::Busy { reason } => reason.clone(),
        JoinRefusal::Removed => {
            "this server was removed from the cluster; delete its data directory to join as a new one".to_owned()
        }
        JoinRefusal::Taken { name, address } => format!(
            "a server called {name} at {address} is running; choose another --name or --listen, or stop it first; the join \
             code was not used up"
        ),
        JoinRefusal::Unreached { address, reason } if reason.contains(ANOTHER) => format!(
            "another server answers at {address} when the cluster dials it, so this one is not reached there: start again with \
             --advertise HOST:PORT, the address under which other machines reach this one; the join code was not used up"
        ),
        JoinRefusal::Unreached { address, reason } => {
            let port = address.rsplit(':').next().unwrap_or_default();
            format!(
                "nobody reaches this server at {address} {reason}. Look for a firewall, for NAT, or for a wrong --advertise: \
                 open port {port} for UDP (servers) and TCP (clients), or start again with --advertise HOST:PORT; the join \
                 code was not used up"
            )
        }
        JoinRefusal::OneWay { name, address, reason } => format!(
            "this server does not reach the leader {name} at {address} over UDP ({reason}): look for a firewall there, or \
             start {name} with --advertise HOST:PORT so that all servers reach it; the join code was not used up"
        ),
    }
}
