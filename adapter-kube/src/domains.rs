//! The domains of labels that claims may put on their Pods: a file that the operator mounts.

use std::io::ErrorKind;
use std::path::Path;

use agent_sandbox_core::id::Text;

/// Where the file is, if there is one.
///
/// Source: the original's manifests mount the optional ConfigMap `agent-sandbox-config` there (CFG-011).
pub const FILE: &str = "/etc/sandbox-config/allowed-label-domains";

/// Reads the domains; none where there is no file.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read(path: &Path) -> std::io::Result<Vec<Text>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> Vec<Text> {
    let domains = text.split([',', '\n', '\r']).map(|domain| domain.trim().to_lowercase());
    domains.filter(|domain| !domain.is_empty()).map(Text::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CFG-011.
    #[test]
    fn domains_are_separated_by_commas_or_lines() {
        let domains = parse(" Corp.Example,sandbox.users.io\r\n\n x.io ,");
        assert_eq!(domains, ["corp.example".into(), "sandbox.users.io".into(), Text::from("x.io")]);
    }

    /// CFG-011.
    #[test]
    fn without_a_file_there_are_none() {
        assert_eq!(read(Path::new("/nowhere/at/all")).expect("absence is no error"), Vec::new());
        assert!(read(Path::new("/")).is_err());
    }
}
