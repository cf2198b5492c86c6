//! What every program on this library takes from its command line: which cluster, which profile.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::link::Link;
use crate::net::driver::Settings;
use crate::profile::{self, ProfileError};

/// Flatten it into a program's own command line.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where the cluster is: the client link that the server printed. Needed once; the profile remembers it
    #[arg(long, global = true, value_name = "LINK", env = "SAMIRA_CONNECT")]
    connect: Option<Link>,
    /// One account and what it holds; two programs at a time need two
    #[arg(long, global = true, value_name = "NAME", default_value = profile::DEFAULT, env = "SAMIRA_PROFILE")]
    profile: String,
    /// Where to keep the profile, instead of in the user's data directory
    #[arg(long, global = true, value_name = "DIR", env = "SAMIRA_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Which servers may be spoken to without TLS; on the way from others anybody can read along
    #[arg(long, global = true, value_name = "WHICH", default_value = "loopback", env = "SAMIRA_PLAINTEXT")]
    plaintext: Plaintext,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Plaintext {
    /// Those on this machine
    Loopback,
    /// Any: the server must have been started with the same
    Any,
}

impl Options {
    /// What a driver has to be told.
    ///
    /// # Errors
    /// The profile's name is none, or the user has no directory.
    pub fn into_settings(self) -> Result<Settings, ProfileError> {
        let directory = match self.data_dir {
            Some(directory) => directory,
            None => profile::directory(&self.profile)?,
        };
        let plaintext_any = self.plaintext == Plaintext::Any;
        Ok(Settings { directory: Some(directory), link: self.connect, plaintext_any, ..Settings::default() })
    }
}
