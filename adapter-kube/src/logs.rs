//! Logs: text for people, JSON for programs, one line for each change worth telling.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Text.
    Text,
    /// One JSON object for each line.
    Json,
}

/// Starts to log to standard error. `RUST_LOG` overrules `level`, which concerns our own lines.
///
/// # Errors
/// When the level, or `RUST_LOG`, is no filter.
pub fn start(format: Format, level: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    let given = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|filter| !filter.is_empty());
    // The client reports each failed request as an error. Here most of them are ordinary, and told with their meaning.
    let filter = EnvFilter::try_new(
        given.unwrap_or_else(|| format!("warn,agent_sandbox_controller={level},kube_client=off")),
    )?;
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    match (format, is_terminal) {
        (Format::Json, _) | (Format::Auto, false) => lines.json().flatten_event(true).init(),
        (Format::Text, _) | (Format::Auto, true) => lines.with_ansi(is_terminal && !no_color).init(),
    }
    Ok(())
}
