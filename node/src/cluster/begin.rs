//! Found, join, or start again: the three ways to become a running member.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use wire::replication::entry::Member;
use wire::replication::join::{JoinRefusal, JoinReply, JoinRequest};

use super::code::JoinCode;
use super::identity::{DataDir, Identity, IdentityError, Names};
use crate::config::resolved::Config;
use crate::limits::JOIN_PAUSE;
use crate::quic::endpoint::{JoinError, ask_to_join};

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

/// This node was removed from its cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this server ({name}) was removed from cluster {cluster} on {by} and takes no part in it any more. Its data directory \
     {directory} can be deleted. To let this machine join as a new server: run `node join-code` on a server of the \
     cluster, delete that directory or choose another with --data-dir, and start `node` here with the line it prints",
    directory = .directory.display()
)]
pub struct RemovedError {
    /// Of this node.
    pub name: String,
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
            cluster: identity.cluster_name.clone(),
            by: by.to_owned(),
            directory: data.path().to_owned(),
        }
    }
}

/// Becomes a member: again, by joining, or by founding a cluster. `listen` is where this node listens, with its real
/// port; `say` is told what it waits for.
///
/// # Errors
/// See [`BeginError`]. Servers that cannot be reached are no error: it waits for them.
pub async fn begin(
    config: &Config,
    data: &DataDir,
    listen: SocketAddr,
    say: impl Fn(&str),
) -> Result<Identity, BeginError> {
    if let Some(mut identity) = data.identity()? {
        if let Some(by) = &identity.removed_by {
            return Err(RemovedError::new(&identity, by, data).into());
        }
        let advertise = config.advertise.clone().or_else(|| identity.advertise.clone());
        let address = advertise.clone().unwrap_or_else(|| address_again(listen, &identity.address));
        if (&address, &advertise) != (&identity.address, &identity.advertise) {
            (identity.address, identity.advertise) = (address, advertise);
            data.keep(&identity)?;
        }
        return Ok(identity);
    }
    if config.peers.is_empty() {
        let address = config.advertise.clone().unwrap_or_else(|| own_address(listen));
        let advertise = config.advertise.clone();
        return Ok(data.found(Names { node: &config.name, cluster: &config.cluster_name, address, advertise })?);
    }
    let code = config.join_code.as_ref().ok_or(BeginError::NoCode)?;
    let (node, csr) = data.prepare_to_join()?;
    let request = |local: IpAddr| {
        // Where the connection to the cluster leaves from is where the cluster can reach us, unless the operator knows
        // better or we listen somewhere else.
        let address = config.advertise.clone().unwrap_or_else(|| {
            let ip = if listen.ip().is_unspecified() { local } else { listen.ip() };
            SocketAddr::new(ip, listen.port()).to_string()
        });
        JoinRequest {
            secret: code.secret.clone(),
            csr: csr.clone(),
            member: Member { id: node, address, name: config.name.clone() },
        }
    };
    let (reply, ca) = ask_all(config, code, &request, say).await?;
    match reply {
        JoinReply::Admitted { cluster_id, cluster_name, certificate, address, members: _ } => {
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

/// Addresses of this machine that others may reach, loopback left out, those of the older protocol first.
pub fn interfaces() -> Vec<IpAddr> {
    let mut found: Vec<_> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .map(|interface| interface.ip())
        .collect();
    found.sort_by_key(|ip| (ip.is_ipv6(), *ip));
    found
}

/// Where others reach a node that nobody has told: where it listens, or the address of the machine that its default route
/// leaves from. The first in order is the last resort: it may belong to a bridge of containers.
fn own_address(listen: SocketAddr) -> String {
    if !listen.ip().is_unspecified() {
        return listen.to_string();
    }
    let found = interfaces();
    let routed = default_source().filter(|ip| found.contains(ip));
    let ip = routed.or_else(|| found.first().copied()).unwrap_or_else(|| [127, 0, 0, 1].into());
    SocketAddr::new(ip, listen.port()).to_string()
}

/// The address that this machine uses towards the rest of the world. Nothing is sent: connecting a UDP socket only chooses
/// a route. Where to does not matter, so it is an address of a documentation network.
fn default_source() -> Option<IpAddr> {
    let probe = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    probe.connect(("192.0.2.1", 9)).ok()?;
    Some(probe.local_addr().ok()?.ip())
}

/// Where others reach a node that starts again: where they did before, if this machine still has that address.
fn address_again(listen: SocketAddr, before: &str) -> String {
    match before.parse::<SocketAddr>() {
        Ok(before)
            if listen.ip().is_unspecified() && (before.ip().is_loopback() || interfaces().contains(&before.ip())) =>
        {
            SocketAddr::new(before.ip(), listen.port()).to_string()
        }
        _ => own_address(listen),
    }
}

/// Asks one peer after the other until one decides.
async fn ask_all(
    config: &Config,
    code: &JoinCode,
    request: &impl Fn(IpAddr) -> JoinRequest,
    say: impl Fn(&str),
) -> Result<(JoinReply, CertificateDer<'static>), BeginError> {
    let mut said = String::new();
    loop {
        let mut waiting = Vec::new();
        for peer in &config.peers {
            match ask_to_join(peer, code.pin, request).await {
                Ok((JoinReply::Refused(JoinRefusal::Busy { reason }), _)) => waiting.push(format!("{peer}: {reason}")),
                Ok(decided) => return Ok(decided),
                Err(JoinError::Unreachable(error)) => waiting.push(format!("{peer}: {error}")),
                Err(error) => return Err(error.into()),
            }
        }
        let line = format!("waiting for a server to join through; {}", waiting.join("; "));
        if line != said {
            say(&line);
            said = line;
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_node_keeps_its_address_while_the_machine_has_it() {
        let anywhere = SocketAddr::from(([0, 0, 0, 0], 7));
        assert_eq!(address_again(anywhere, "127.0.0.1:5"), "127.0.0.1:7", "same address, new port");
        // An address of a documentation network, which no machine has.
        assert_ne!(address_again(anywhere, "192.0.2.1:5"), "192.0.2.1:7");
        assert_eq!(address_again(([127, 0, 0, 1], 7).into(), "192.0.2.1:5"), "127.0.0.1:7");
    }
}
