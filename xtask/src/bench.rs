//! `cargo xtask bench`: builds the measuring program with the server, both optimised, and hands over to it.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::build_binary;

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// What to measure, and its options; `--help` tells them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    build_binary("node", true)?;
    let program = build_binary("bench", true)?;
    let status = Command::new(program).args(&args.args).status().context("cannot run the measuring program")?;
    if !status.success() {
        bail!("the measurement failed ({status})");
    }
    Ok(())
}
