//! Secrets that stand in files of their own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::problems::Findings;

/// A path in the configuration, relative to the folder of the file.
pub(super) fn located(base_dir: &Path, written: &str) -> PathBuf {
    base_dir.join(written)
}

/// The text of a file that nobody else may read. Reports and returns `None`
/// otherwise.
pub(super) fn read(path: &Path, key: &str, findings: &mut Findings) -> Option<SecretString> {
    let shown = path.display();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            let cure = "create the file, or correct the path; a relative path starts at the folder of the configuration file";
            findings.error(key, format!("{shown} cannot be read: {error}"), cure);
            return None;
        }
    };
    if !metadata.is_file() {
        findings.error(
            key,
            format!("{shown} is not a file"),
            "name the file itself",
        );
        return None;
    }
    if metadata.permissions().mode() & 0o007 != 0 {
        findings.error(
            key,
            format!("{shown} holds a secret and everybody on this machine may read it"),
            format!("chmod o-rwx {shown} (Kubernetes: defaultMode: 0440 with fsGroup)"),
        );
        return None;
    }
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text.into()),
        Err(error) => {
            let cure =
                "the user that runs the gateway must be able to read it, and it must be text";
            findings.error(key, format!("{shown} cannot be read: {error}"), cure);
            None
        }
    }
}

/// A secret and its `_file` twin as they were written.
pub(super) struct Twin<'a> {
    pub(super) value: Option<&'a SecretString>,
    pub(super) file: Option<&'a str>,
    /// The key of the value; the twin's is this and `_file`.
    pub(super) key: &'a str,
}

/// The secret of either twin, without the one newline that editors put at
/// the end of a file.
pub(super) fn either(
    twin: &Twin<'_>,
    base_dir: &Path,
    findings: &mut Findings,
) -> Option<SecretString> {
    let file_key = format!("{}_file", twin.key);
    if let (Some(_), Some(_)) = (twin.value, twin.file) {
        findings.error(
            twin.key,
            format!("stands beside {file_key}: one of them would be ignored"),
            format!("keep {file_key} and remove {}", twin.key),
        );
        return None;
    }
    if let Some(path) = twin.file {
        let text = read(&located(base_dir, path), &file_key, findings)?;
        let text = text.expose_secret();
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        return usable(text, &file_key, findings);
    }
    let value = twin.value?;
    if !findings.is_from_environment(twin.key) {
        findings.warning(
            twin.key,
            "is a secret in the configuration file, where backups and version control find it",
            format!("put it into a file of its own and name that with {file_key}"),
        );
    }
    usable(value.expose_secret(), twin.key, findings)
}

fn usable(text: &str, key: &str, findings: &mut Findings) -> Option<SecretString> {
    if text.is_empty() || text.contains(char::is_control) {
        findings.error(
            key,
            "is empty, or holds a line break or another control character",
            "write the secret exactly as it was handed out, on one line",
        );
        return None;
    }
    Some(text.into())
}
