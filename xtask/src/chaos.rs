//! `cargo xtask chaos`: builds the program that breaks clusters, and hands over to it.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::build_binary;

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// `--release` for optimised programs; seed, length, number of nodes and more; `--help` tells them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (ours, theirs): (Vec<_>, Vec<_>) = args.args.iter().partition(|arg| *arg == "--release");
    let release = !ours.is_empty();
    build_binary("node", release)?;
    let program = build_binary("chaos", release)?;
    let status = Command::new(program).args(theirs).status().context("cannot run the campaign")?;
    if !status.success() {
        bail!("the campaign failed ({status})");
    }
    Ok(())
}
