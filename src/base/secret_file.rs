//! Secrets in files of their own, which may be replaced while we run.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};

/// Why a file gives no secret. The cure is the caller's to tell.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("cannot be read: {0}")]
    Missing(std::io::Error),
    #[error("is not a file")]
    NotAFile,
    #[error("holds a secret and everybody on this machine may read it")]
    OpenToAll,
    /// No permission, or not text.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    #[error("is empty, or holds a line break or another control character")]
    Unusable,
}

/// The text of a file that nobody else may read.
pub fn text(path: &Path) -> Result<SecretString, SecretFileError> {
    let metadata = std::fs::metadata(path).map_err(SecretFileError::Missing)?;
    if !metadata.is_file() {
        return Err(SecretFileError::NotAFile);
    }
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(SecretFileError::OpenToAll);
    }
    let text = std::fs::read_to_string(path).map_err(SecretFileError::Unreadable)?;
    Ok(text.into())
}

/// The one line of such a file, without the newline that editors put there.
pub fn line(path: &Path) -> Result<SecretString, SecretFileError> {
    let text = text(path)?;
    let text = text.expose_secret();
    let text = text.strip_suffix('\n').unwrap_or(text);
    usable(text.strip_suffix('\r').unwrap_or(text))
}

/// `text` if it can be a secret at all.
pub fn usable(text: &str) -> Result<SecretString, SecretFileError> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err(SecretFileError::Unusable);
    }
    Ok(text.into())
}

/// A secret as it is now. One from a file is read again each time it is
/// asked for, so that a rotation needs no restart. Clones share what they
/// know.
#[derive(Clone)]
pub struct LiveSecret {
    file: Option<Arc<Path>>,
    known: Arc<Mutex<Known>>,
}

struct Known {
    last_good: SecretString,
    /// Whether the present trouble with the file was told.
    warned: bool,
}

impl fmt::Debug for LiveSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSecret")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl LiveSecret {
    fn new(file: Option<Arc<Path>>, value: SecretString) -> Self {
        let known = Known {
            last_good: value,
            warned: false,
        };
        Self {
            file,
            known: Arc::new(Mutex::new(known)),
        }
    }

    /// Reads the file for the first time.
    pub fn in_file(path: PathBuf) -> Result<Self, SecretFileError> {
        let value = line(&path)?;
        Ok(Self::new(Some(path.into()), value))
    }

    /// The present value; the last good one, with a warning in the log, while
    /// the file cannot be used. Reads a small file: for control work, not for
    /// the path of every request.
    pub fn current(&self) -> SecretString {
        let read = self.file.as_deref().map(|path| (path, line(path)));
        // A poisoned lock only tells that a reader died; the value is whole.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            None => {}
            Some((path, Ok(value))) => {
                if value.expose_secret() != known.last_good.expose_secret() {
                    tracing::info!(file = %path.display(), "secret was changed; the new one is used from now on");
                }
                known.last_good = value;
                known.warned = false;
            }
            Some((path, Err(error))) if !known.warned => {
                tracing::warn!(
                    file = %path.display(),
                    %error,
                    "secret cannot be read again; the last one goes on"
                );
                known.warned = true;
            }
            Some((_, Err(_))) => {}
        }
        known.last_good.clone()
    }
}

/// One that never changes.
impl From<SecretString> for LiveSecret {
    fn from(value: SecretString) -> Self {
        Self::new(None, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn follows_the_file_and_keeps_the_last_good_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert!(LiveSecret::in_file(path.clone()).is_err());
        write(&path, "one\n", 0o600);
        let secret = LiveSecret::in_file(path.clone()).unwrap();
        let clone = secret.clone();
        assert_eq!(secret.current().expose_secret(), "one");
        write(&path, "two\r\n", 0o600);
        assert_eq!(secret.current().expose_secret(), "two");
        for (text, mode) in [("", 0o600), ("a\nb", 0o600), ("three", 0o644)] {
            write(&path, text, mode);
            assert_eq!(secret.current().expose_secret(), "two", "{text:?} {mode:o}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(clone.current().expose_secret(), "two");
        // As a mounted secret is replaced: by a rename.
        write(&folder.path().join("new"), "four", 0o600);
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(clone.current().expose_secret(), "four");
        assert!(!format!("{secret:?}").contains("four"));
    }
}
