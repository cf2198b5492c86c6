//! The configuration file, raw. Keys are the long flags with `_` for `-`; unknown ones are errors.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::args::{LegacyGrpc, LogFormat, Plaintext, Signup};
use super::resolved::ConfigError;

/// Content of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// See [`super::args::RunArgs`], here and below.
    pub name: Option<String>,
    /// Name of the cluster.
    pub cluster_name: Option<String>,
    /// Where to listen.
    pub listen: Option<String>,
    /// Where others reach this server.
    pub advertise: Option<String>,
    /// Where to keep everything.
    pub data_dir: Option<PathBuf>,
    /// Servers to join.
    pub peers: Option<Vec<String>>,
    /// File with the code to join with. The code itself is no setting: it is used once.
    pub join_code_file: Option<PathBuf>,
    /// Id of the cluster this server belongs to.
    pub expect_cluster: Option<String>,
    /// Who may speak without TLS.
    pub plaintext: Option<Plaintext>,
    /// Who may make accounts.
    pub signup: Option<Signup>,
    /// How callers of the original's gRPC package are known.
    pub legacy_grpc: Option<LegacyGrpc>,
    /// Client connections at once.
    pub max_clients: Option<usize>,
    /// How to log.
    pub log: Option<LogFormat>,
}

impl File {
    /// Reads and parses it.
    ///
    /// # Errors
    /// It is unreadable, no TOML, or has an unknown key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Malformed { path: path.to_owned(), reason: error.to_string() })
    }
}
