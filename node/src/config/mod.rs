//! Configuration: flag over environment over file over default.
//!
//! * [`args`]: the command line, raw.
//! * [`mod@file`]: the configuration file, raw; unknown keys are errors.
//! * [`resolved`]: one checked [`Config`](resolved::Config), nothing optional left that has a default.

pub mod args;
pub mod file;
pub mod resolved;
