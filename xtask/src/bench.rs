//! `cargo xtask bench`: builds the measuring program with the server, both optimised, and hands over to it.

use std::ffi::OsString;

use anyhow::Result;

use crate::cargo::hand_over;

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// What to measure, and its options; `--help` tells them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    hand_over("bench", true, &args.args)
}
