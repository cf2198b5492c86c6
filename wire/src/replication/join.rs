//! How a new node asks to be let in. The only thing a connection without a certificate may say.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::entry::Member;

/// From the newcomer, after it has checked the pin of the cluster's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The secret half of the one-time code. Never logged.
    pub secret: Vec<u8>,
    /// PKCS #10 certificate request, DER.
    pub csr: Vec<u8>,
    /// Who wants to join. An empty host (`:PORT`) in the address means "the address this came from".
    pub member: Member,
    /// Whether an operator chose the name. Host names are often equal, so a name taken from one says nothing.
    pub named: bool,
}

/// A question to a newcomer at the address that it wants to be listed under, before its code is used up. It is asked
/// over a connection on which the newcomer has proven the key of its certificate request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Address of the asking node, as the members list it.
    pub leader: String,
}

/// The newcomer's answer to a [`Probe`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReply {
    /// The error with which the newcomer failed to reach [`Probe::leader`]; none if it reached it.
    pub failed: Option<String>,
}

/// To the newcomer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinReply {
    /// Welcome.
    Admitted {
        /// The cluster's id, also the name in its certificates.
        cluster_id: String,
        /// What its operator calls the cluster.
        cluster_name: String,
        /// Certificate for the newcomer's key, DER.
        certificate: Vec<u8>,
        /// The address others will use for it.
        address: String,
        /// The members at this moment.
        members: Vec<Member>,
    },
    /// No, and why.
    Refused(JoinRefusal),
}

/// Why a newcomer is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinRefusal {
    /// The code was never given out by this cluster.
    CodeUnknown,
    /// Its time is over.
    CodeExpired,
    /// Another node has used it.
    CodeUsed,
    /// The certificate request is damaged or not signed by its own key.
    BadRequest,
    /// The cluster cannot decide now (no majority, or too many at the door).
    Busy {
        /// What is missing, for the operator of the newcomer.
        reason: String,
    },
    /// The newcomer's id belongs to a node that was removed.
    Removed,
    /// The newcomer has the name or the address of a member that runs.
    Taken {
        /// Name of that member.
        name: String,
        /// Address of that member.
        address: String,
    },
    /// The leader does not reach the newcomer under the address that it would be listed under.
    Unreached {
        /// The address.
        address: String,
        /// `UDP` for servers or `TCP` for clients, and the error.
        reason: String,
    },
    /// The newcomer does not reach the leader.
    OneWay {
        /// Name of the leader.
        name: String,
        /// Address of the leader.
        address: String,
        /// The newcomer's error.
        reason: String,
    },
}
