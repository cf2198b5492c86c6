//! `cargo xtask chaos`: builds the program that breaks clusters, and hands over to it.

use std::ffi::OsString;

use anyhow::Result;

use crate::cargo::hand_over;

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// `--release` for optimised programs; seed, length, number of nodes and more; `--help` tells them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (ours, theirs): (Vec<_>, Vec<_>) = args.args.iter().partition(|arg| *arg == "--release");
    hand_over("chaos", !ours.is_empty(), theirs)
}
