//! `[keys]`: the ring that seals everything we keep.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::checked::Keys;
use super::problems::Findings;
use super::secret_file;
use crate::base::key_ring::KeyRing;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawKeys {
    /// File of keys, one per line: the first writes, all read.
    file: Option<String>,
}

/// Whether files may be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    Allowed,
    /// For `check`: a ring that would be created is made up in memory.
    Never,
}

const KEY: &str = "keys.file";

/// `database` is that of the embedded store, if it is used.
pub(super) fn check(
    raw: &RawKeys,
    database: Option<&Path>,
    base_dir: &Path,
    writing: Writing,
    findings: &mut Findings,
) -> Option<Keys> {
    if let Some(written) = &raw.file {
        return read(&base_dir.join(written), findings);
    }
    let Some(database) = database else {
        findings.missing(
            KEY,
            "is missing: with Redis every replica needs the same keys",
            "vestibule keys generate > keys; chmod 600 keys; then write file = \"/…/keys\" in [keys]",
        );
        return None;
    };
    let beside = database.with_file_name("keys");
    if beside.exists() {
        return read(&beside, findings);
    }
    if database.exists() {
        findings.error(
            KEY,
            format!(
                "{} exists and its key ring {} does not: no session in it could be opened",
                database.display(),
                beside.display()
            ),
            "bring the key ring back from a backup, name it with keys.file, or move the database away to begin anew",
        );
        return None;
    }
    // only where everything else is well: a refused start leaves no traces
    if findings.has_errors() {
        return None;
    }
    let text = KeyRing::generate();
    if writing == Writing::Allowed
        && let Err(error) = create(&beside, &text)
    {
        findings.error(
            KEY,
            format!("{} cannot be created: {error}", beside.display()),
            "set session.path to a folder that the gateway may write to, or keys.file to an existing key ring",
        );
        return None;
    }
    parsed(&text, &beside, findings)
}

fn read(path: &Path, findings: &mut Findings) -> Option<Keys> {
    let text = secret_file::read(path, KEY, findings)?;
    parsed(text.expose_secret(), path, findings)
}

fn parsed(text: &str, path: &Path, findings: &mut Findings) -> Option<Keys> {
    match KeyRing::parse(text) {
        Ok(ring) => Some(Keys {
            ring,
            origin: path.display().to_string(),
        }),
        Err(error) => {
            findings.error(
                KEY,
                format!("{}: {error}", path.display()),
                "each line is one key, as `vestibule keys generate` prints it; empty lines and lines beginning with # are passed over",
            );
            None
        }
    }
}

/// Writes a new file that only we may read, durably: a ring that vanished in
/// a power cut would take every session with it.
fn create(path: &PathBuf, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
