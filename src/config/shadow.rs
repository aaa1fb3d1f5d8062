//! `[shadow]`: a second policy that is only logged.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::problems::Findings;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawShadow {
    /// A complete configuration file whose routes are judged too, and only logged.
    file: Option<String>,
}

/// The file that was named. `inside`: this configuration is itself one.
pub(super) fn check(
    raw: &RawShadow,
    base_dir: &Path,
    inside: bool,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let file = raw.file.as_deref()?;
    if inside {
        findings.error(
            "shadow",
            "a shadow policy cannot have a shadow of its own",
            "remove [shadow] from this file",
        );
        return None;
    }
    if file.is_empty() {
        findings.error(
            "shadow.file",
            "is empty",
            "name a configuration file, or remove the key",
        );
        return None;
    }
    Some(base_dir.join(file))
}
