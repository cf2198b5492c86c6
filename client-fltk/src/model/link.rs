//! How the connection is.

/// What the connection does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LinkState {
    /// Nothing to connect to, or nobody to log in as.
    #[default]
    Idle,
    /// On its way.
    Connecting {
        /// Where to.
        address: String,
    },
    /// The node answers and somebody is logged in.
    Online,
    /// The node answers; a user name and a password are asked for.
    LogInNeeded {
        /// Why, for people.
        why: String,
    },
    /// No node answers; all were tried.
    Offline {
        /// When the next attempt begins, milliseconds since 1970.
        retry_ms: u64,
    },
    /// Trying again would not help: the person has to do something.
    Stopped {
        /// What, for people.
        why: String,
    },
}

/// No node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
    /// What is wrong with the nodes, for people; empty until the first attempt has failed.
    pub why: String,
}

/// How the connection is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// What it does.
    pub state: LinkState,
    /// Name of the node that answers, or answered last.
    pub node: String,
    /// Its address.
    pub address: String,
    /// Nobody on the way can read along.
    pub encrypted: bool,
    /// No node answers. It stays while they are tried again, one by one: an attempt at a machine that is switched off
    /// takes seconds, and is no news.
    pub outage: Option<Outage>,
    /// No majority answers: what is shown may be old, and nothing can be written.
    pub stale: bool,
}

impl Link {
    /// Why no node answers, for people. `None`: one does, or none was tried to the end.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match &self.state {
            LinkState::Stopped { why } => Some(why),
            _ => self.outage.as_ref().map(|outage| &*outage.why).filter(|why| !why.is_empty()),
        }
    }
}
