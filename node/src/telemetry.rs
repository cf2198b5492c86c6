//! Logs, to standard error. `SAMIRA_LOG_FILTER` (or `RUST_LOG`) chooses what, in tracing's filter syntax.

use tracing_subscriber::EnvFilter;

use crate::config::args::LogFormat;

/// openraft repeats at `error` what every unreachable peer costs it, several times a second. What matters of it is logged
/// by us: links, leaders, members, and the failure that ends it.
const DEFAULT_FILTER: &str = "info,openraft=off,quinn=warn,quinn_proto=warn,rustls=warn";

/// Starts logging. Before the first log line, once.
pub fn start(format: LogFormat) {
    let filter = std::env::var("SAMIRA_LOG_FILTER").or_else(|_| std::env::var("RUST_LOG"));
    let filter = EnvFilter::new(filter.as_deref().unwrap_or(DEFAULT_FILTER));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would complain on standard error that standard error takes nothing, and panic.
        .log_internal_errors(false);
    match format {
        LogFormat::Pretty => {
            logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
        }
        LogFormat::Json => logs.json().init(),
    }
}
