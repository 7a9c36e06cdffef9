//! What goes where: results on stdout, everything else on stderr.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use tracing_subscriber::EnvFilter;

use super::exit::Usage;
use super::options::Global;
use super::progress;
use crate::config::ConfigError;

/// Starts the log on stderr. `HOST_LOG` sets it finer: `HOST_LOG=collector=debug`.
pub(super) fn start_log(global: &Global) {
    let level = match global.verbose {
        0 => "warn",
        1 => "info,sqlx=warn",
        _ => "debug,sqlx=warn,hyper_util=info,reqwest=info,h2=info,rustls=info,cranelift=info,wasmtime=info",
    };
    let filter = EnvFilter::try_from_env("HOST_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(progress::above_bars)
        .with_ansi(io::stderr().is_terminal())
        .without_time()
        .with_target(false);
    // Only a second call in one process fails.
    drop(log.try_init());
}

/// Prints a result; a reader that has gone away is not an error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints a result as JSON.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(print(&text)?)
}

/// Prints an error: what happened, the chain, and the line to write.
pub fn print_error(error: &anyhow::Error) {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("  caused by: {cause}\n"));
    }
    let config = error.downcast_ref::<ConfigError>().and_then(ConfigError::hint);
    let hint = config.or_else(|| error.downcast_ref::<Usage>().map(|usage| usage.hint.as_str()));
    if let Some(hint) = hint {
        text.push_str(&format!("  hint: {hint}\n"));
    }
    eprint!("{text}");
}
