//! `cargo xtask bench`: builds the measuring program with what it measures, all optimised, and hands over to it.

use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::cargo::{build_binary, hand_over};
use crate::system::{DESKTOP, SCREEN};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// What to measure, and its options; `--help` tells them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.args.first().is_some_and(|what| what == "client") {
        for needs in [&DESKTOP, &SCREEN] {
            if let Some(missing) = needs.provide()? {
                bail!("{missing}");
            }
        }
        build_binary("client-fltk", true)?;
    }
    hand_over("bench", true, &args.args)
}
