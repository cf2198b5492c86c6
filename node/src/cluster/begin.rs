//! Found, join, or start again: the three ways to become a running member.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use wire::replication::entry::Member;
use wire::replication::join::{JoinRefusal, JoinReply, JoinRequest};

use super::code::JoinCode;
use super::identity::{DataDir, Identity, IdentityError};
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
    /// Another cluster.
    #[error(transparent)]
    Join(#[from] JoinError),
}

/// This node's place in a cluster.
#[derive(Debug)]
pub struct Place {
    /// Who it is.
    pub identity: Identity,
    /// The address the cluster was told, when it has just joined.
    pub address: Option<String>,
}

/// Becomes a member: again, by joining, or by founding a cluster. `port` is where this node listens; `say` is told what
/// it waits for.
///
/// # Errors
/// See [`BeginError`]. Servers that cannot be reached are no error: it waits for them.
pub async fn begin(config: &Config, data: &DataDir, port: u16, say: impl Fn(&str)) -> Result<Place, BeginError> {
    if let Some(identity) = data.identity()? {
        return Ok(Place { identity, address: None });
    }
    if config.peers.is_empty() {
        let identity = data.found(&config.name, &config.cluster_name)?;
        return Ok(Place { identity, address: None });
    }
    let code = config.join_code.as_ref().ok_or(BeginError::NoCode)?;
    let (node, csr) = data.prepare_to_join()?;
    let request = |local: IpAddr| {
        // Where the connection to the cluster leaves from is where the cluster can reach us, unless the operator knows
        // better or we listen somewhere else.
        let address = config.advertise.clone().unwrap_or_else(|| {
            let ip = if config.listen.ip().is_unspecified() { local } else { config.listen.ip() };
            std::net::SocketAddr::new(ip, port).to_string()
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
            let identity = Identity { node, name: config.name.clone(), cluster_id, cluster_name, founder: false };
            data.admitted(&identity, &ca, &CertificateDer::from(certificate))?;
            Ok(Place { identity, address: Some(address) })
        }
        JoinReply::Refused(refusal) => Err(BeginError::Refused(explain(&refusal))),
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
    }
}
