//! Secrets that stand in files of their own.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::problems::Findings;
use crate::base::secret_file::{self, LiveSecret, SecretFileError};

const CURE_OF_UNUSABLE: &str = "write the secret exactly as it was handed out, on one line";

/// A path in the configuration, relative to the folder of the file.
pub(super) fn located(base_dir: &Path, written: &str) -> PathBuf {
    base_dir.join(written)
}

/// The text of a file that nobody else may read. Reports and returns `None`
/// otherwise.
pub(super) fn read(path: &Path, key: &str, findings: &mut Findings) -> Option<SecretString> {
    secret_file::text(path)
        .map_err(|error| report(path, key, &error, findings))
        .ok()
}

fn report(path: &Path, key: &str, error: &SecretFileError, findings: &mut Findings) {
    let shown = path.display();
    let cure = match error {
        SecretFileError::Missing(_) => {
            "create the file, or correct the path; a relative path starts at the folder of the configuration file"
                .to_owned()
        }
        SecretFileError::NotAFile => "name the file itself".to_owned(),
        SecretFileError::OpenToAll => {
            format!("chmod o-rwx {shown} (Kubernetes: defaultMode: 0440 with fsGroup)")
        }
        SecretFileError::Unreadable(_) => {
            "the user that runs the gateway must be able to read it, and it must be text".to_owned()
        }
        SecretFileError::Unusable => CURE_OF_UNUSABLE.to_owned(),
    };
    findings.error(key, format!("{shown} {error}"), cure);
}

/// A secret and its `_file` twin as they were written.
pub(super) struct Twin<'a> {
    pub(super) value: Option<&'a SecretString>,
    pub(super) file: Option<&'a str>,
    /// The key of the value; the twin's is this and `_file`.
    pub(super) key: &'a str,
}

/// The secret of either twin.
pub(super) fn either(
    twin: &Twin<'_>,
    base_dir: &Path,
    findings: &mut Findings,
) -> Option<LiveSecret> {
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
        let path = located(base_dir, path);
        return LiveSecret::in_file(path.clone())
            .map_err(|error| report(&path, &file_key, &error, findings))
            .ok();
    }
    let value = twin.value?;
    if !findings.is_from_environment(twin.key) {
        findings.warning(
            twin.key,
            "is a secret in the configuration file, where backups and version control find it",
            format!("put it into a file of its own and name that with {file_key}"),
        );
    }
    secret_file::usable(value.expose_secret())
        .map(LiveSecret::from)
        .map_err(|error| findings.error(twin.key, error.to_string(), CURE_OF_UNUSABLE))
        .ok()
}
