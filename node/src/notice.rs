//! What a node says on standard output: for eyes, or as JSON objects, one in a line, with the key `event`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::args::LogFormat;
use crate::greeting::Greeting;
use crate::terminal;

/// Something its operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A cluster was founded, which may be the last thing that the operator wanted.
    Founded {
        /// Id of the new cluster.
        cluster_id: String,
        /// The data directory.
        directory: PathBuf,
    },
    /// This newcomer takes the place of a member that is not reached.
    Replaces {
        /// Id of that member, hexadecimal.
        id: String,
        /// Name of that member.
        name: String,
        /// Address of that member.
        address: String,
    },
    /// No server has decided yet whether this one may join.
    Joining {
        /// What each of the peers says.
        missing: String,
    },
    /// Clients are served.
    Ready {
        /// Name of this server.
        name: String,
        /// The address it listens on.
        address: SocketAddr,
        /// Its role.
        role: &'static str,
        /// Id of its cluster.
        cluster_id: String,
        /// The data directory.
        directory: PathBuf,
    },
    /// Nothing can be decided yet.
    Waiting {
        /// What is missing.
        missing: String,
    },
    /// The start is over.
    Started(Box<Greeting>),
}

impl Notice {
    /// For eyes, lines ended.
    fn text(&self) -> String {
        let shown = Path::display;
        match self {
            Notice::Founded { cluster_id, directory } => format!(
                "FOUNDED A NEW CLUSTER, id {cluster_id}: {} was empty, and no --peers were given.\n  \
                 If this server belongs to a cluster that exists already: stop it now, move this directory away, and see \
                 whether the right disk is mounted and the right --data-dir is given.\n  \
                 So that no later start founds another one, put into its unit: --expect-cluster {cluster_id}\n",
                shown(directory)
            ),
            Notice::Replaces { id, name, address } => format!(
                "This server takes the place of {name} (id {id}) at {address}, which nobody reaches: that one never comes back.\n"
            ),
            Notice::Joining { missing } => format!("waiting for a server to join through; {missing}\n"),
            Notice::Ready { name, address, role, cluster_id, directory } => format!(
                "ready name={name} address={address} role={role} cluster={cluster_id} data_dir={}\n",
                shown(directory)
            ),
            Notice::Waiting { missing } => format!("waiting: {missing}\n"),
            Notice::Started(greeting) => greeting.text(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Notice::Founded { cluster_id, directory } => {
                json!({ "event": "founded", "cluster_id": cluster_id, "data_dir": directory })
            }
            Notice::Replaces { id, name, address } => {
                json!({ "event": "replaces", "id": id, "name": name, "address": address })
            }
            Notice::Joining { missing } => json!({ "event": "joining", "missing": missing }),
            Notice::Ready { name, address, role, cluster_id, directory } => json!({
                "event": "ready", "name": name, "address": address, "role": role, "cluster_id": cluster_id,
                "data_dir": directory,
            }),
            Notice::Waiting { missing } => json!({ "event": "waiting", "missing": missing }),
            Notice::Started(greeting) => greeting.json(),
        }
    }
}

/// Says it on standard output, in the form in which the logs are wanted. Nobody may be listening; that harms nothing.
pub fn say(format: LogFormat, notice: &Notice) {
    let text = match format {
        LogFormat::Pretty => notice.text(),
        LogFormat::Json => notice.json().to_string(),
    };
    terminal::say(text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notice_is_lines_for_eyes_and_one_object_for_programs() {
        let directory = PathBuf::from("/srv/samira");
        let notices = [
            Notice::Founded { cluster_id: "0123456789abcdef".into(), directory: directory.clone() },
            Notice::Replaces { id: "0f".into(), name: "n2".into(), address: "h:1".into() },
            Notice::Joining { missing: "h:1: no answer".into() },
            Notice::Ready {
                name: "n1".into(),
                address: ([127, 0, 0, 1], 5555).into(),
                role: "leader",
                cluster_id: "0123456789abcdef".into(),
                directory,
            },
            Notice::Waiting { missing: "n2".into() },
        ];
        for notice in notices {
            assert!(notice.text().ends_with('\n') && !notice.text().starts_with('\n'), "{}", notice.text());
            assert!(notice.json()["event"].is_string() && !notice.json().to_string().contains('\n'));
        }
    }
}
