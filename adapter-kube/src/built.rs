//! What was built: shown by `--version`, in metrics and in traces.

/// The package's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns the commit, if it is known.
pub fn commit() -> Option<&'static str> {
    Some(env!("AGENT_SANDBOX_COMMIT")).filter(|commit| !commit.is_empty())
}

/// Returns operating system and processor, as Go names them in `go version`.
pub fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{arch}", std::env::consts::OS)
}

/// Returns what `--version` prints (OPS-061).
pub fn describe() -> String {
    let (revision, platform) = (commit().unwrap_or("unknown"), platform());
    format!(
        "agent-sandbox-controller, version v{VERSION} (revision: {revision})\n  {:<18}rustc\n  {:<18}{platform}",
        "compiler:", "platform:"
    )
}
