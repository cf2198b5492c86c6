//! Measurements: of a real cluster on this machine, of the desktop client, and of the codecs alone.
//!
//! * [`client`]: the desktop client, from in front of its screen.
//! * [`closed_loop`]: a fixed number of messages outstanding, the next sent when one is acknowledged; [`grpc_loop`]: the same
//!   as calls.
//! * [`failover`]: how long no write is acknowledged when the leader dies or hangs.
//! * [`codec`]: sizes of the original's benchmark messages, and the time to write and read them.
//! * [`latency`]: from one client over the cluster to another.
//! * [`links`]: a cluster over long, narrow and lossy lines.
//! * [`usage`]: who used the processors meanwhile, and how often the disk was flushed.
//!
//! The method for clusters is that of the comparisons in `docs/performance.md`: client and servers share the machine, the client is
//! one thread, and latency includes queueing behind one's own other messages.

pub mod client;
pub mod closed_loop;
pub mod codec;
pub mod failover;
mod grpc_loop;
pub mod latency;
pub mod links;
mod speaker;
pub mod usage;

use wire::codec::Codec;

/// Bytes of text in each measured message.
pub const TEXT_BYTES: usize = 128;

/// Conversations that measured messages are spread over.
pub const CONVERSATIONS: usize = 16;

/// What the measuring client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The original's JSON dialect.
    Json1,
    /// The original's binary dialect.
    Samira1,
    /// Our own dialect, in lines of JSON.
    Json2,
    /// Our own dialect, in its binary form.
    Samira2,
    /// Calls of the original's gRPC package.
    Grpc,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Json1, Self::Samira1, Self::Json2, Self::Samira2, Self::Grpc];

    /// As it is written on the command line and in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json1 => "json1",
            Self::Samira1 => "samira1",
            Self::Json2 => "json2",
            Self::Samira2 => "samira2",
            Self::Grpc => "grpc",
        }
    }

    /// Its codec; for gRPC, that of sockets whose requests mean the same.
    #[must_use]
    pub const fn codec(self) -> Codec {
        match self {
            Self::Json1 | Self::Grpc => Codec::Json,
            Self::Samira1 => Codec::Samira1,
            Self::Json2 => Codec::Json2,
            Self::Samira2 => Codec::Samira2,
        }
    }

    /// Whether it is the original's dialect.
    #[must_use]
    pub const fn is_legacy(self) -> bool {
        matches!(self, Self::Json1 | Self::Samira1 | Self::Grpc)
    }
}

/// Name of the user on connection `connection`.
fn sender(connection: usize) -> String {
    format!("sender{connection}")
}

/// Name of the person at the other end of a conversation.
fn receiver(conversation: usize) -> String {
    format!("receiver{conversation}")
}
