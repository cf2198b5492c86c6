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
}
