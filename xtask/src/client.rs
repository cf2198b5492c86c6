//! `cargo xtask client`: builds the desktop client and starts it, by default against the cluster of `cargo xtask cluster`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::build_binary;
use crate::cluster;
use crate::system::DESKTOP;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the cluster is: the client link that a server printed. Without it, the one that `cargo xtask cluster` runs
    #[arg(long, value_name = "LINK")]
    connect: Option<String>,
    /// One account and what it holds; two windows need two
    #[arg(long, value_name = "NAME", default_value = "default")]
    profile: String,
    /// The data directory of `cargo xtask cluster`, where the profiles for that cluster are kept too
    #[arg(long, value_name = "DIR", default_value = cluster::DATA_DIR, conflicts_with = "connect")]
    cluster: PathBuf,
    /// Build with optimisation
    #[arg(long)]
    release: bool,
    /// More for the client itself; `-- --help` tells what there is
    #[arg(last = true)]
    more: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let given = match &args.connect {
        Some(link) => ["--connect", link, "--profile", &args.profile].map(Into::into),
        None => local(&args.cluster, &args.profile)?,
    };
    if let Some(missing) = DESKTOP.provide()? {
        bail!("{missing}");
    }
    let client = build_binary("client-fltk", args.release)?;
    let status = Command::new(client).args(given).args(&args.more).status().context("cannot run client-fltk")?;
    if !status.success() {
        bail!("client-fltk failed ({status})");
    }
    Ok(())
}

/// What names the local cluster, and the profile that is kept beside its data: it is worth nothing without it.
fn local(cluster: &Path, profile: &str) -> Result<[std::ffi::OsString; 4]> {
    let Some(link) = cluster::client_link(cluster)? else {
        bail!(
            "no cluster runs in {}: start one in another terminal with `cargo xtask cluster`, or name one with --connect LINK",
            cluster.display()
        );
    };
    // The client checks names; this one becomes a path here.
    if profile.is_empty() || profile.starts_with('.') || profile.contains(std::path::is_separator) {
        bail!("`{profile}` cannot be a profile");
    }
    let directory = std::path::absolute(cluster)?.join(cluster::CLIENTS_DIR).join(profile);
    Ok(["--connect".into(), link.into(), "--data-dir".into(), directory.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_cluster_it_says_how_to_start_one() {
        let nothing = local(Path::new("no-such-directory"), "default").unwrap_err().to_string();
        assert!(nothing.contains("cargo xtask cluster") && nothing.contains("no-such-directory"), "{nothing}");
    }
}
