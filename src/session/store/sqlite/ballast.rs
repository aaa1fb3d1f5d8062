//! Room kept for the day when the disk is full. No database can delete with
//! nothing free: a sign-out writes too. So a file of ballast lies beside it,
//! and goes overboard when a write finds no room.
//!
//! The empty file stays: it tells the next start that this database was in use.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::base::random;

/// Enough for some hundred sign-outs before SQLite gets its log emptied.
pub const SIZE: u64 = 16 * 1024 * 1024;
/// What must be free beside it. Without that, the room that it gave back would
/// look like the end of the trouble.
const LEFT: u64 = 1024 * 1024;
const CHUNK: usize = 64 * 1024;

pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    pub fn beside(database: &Path) -> Self {
        let mut name = database.as_os_str().to_owned();
        name.push("-ballast");
        Self { path: name.into() }
    }

    /// Whether this database ever had any.
    pub fn was_laid(&self) -> bool {
        self.path.exists()
    }

    /// Takes the room, unless it is held already, if some more is left beside
    /// it; otherwise takes nothing. Not synced: the file system counts the
    /// blocks at once.
    pub fn lay(&self) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)?;
        if file.metadata()?.len() == SIZE {
            return Ok(());
        }
        file.set_len(0)?;
        let filled = fill(&mut file);
        file.set_len(if filled.is_ok() { SIZE } else { 0 })?;
        filled
    }

    /// Gives the room back. False if there was none to give.
    pub fn throw(&self) -> io::Result<bool> {
        let held = std::fs::metadata(&self.path).is_ok_and(|found| found.len() > 0);
        if held {
            OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(&self.path)?;
        }
        Ok(held)
    }
}

/// Bytes that no file system can store in less room.
fn fill(file: &mut File) -> io::Result<()> {
    for _ in 0..(SIZE + LEFT) / CHUNK as u64 {
        file.write_all(&random::bytes::<CHUNK>())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_held_thrown_and_laid_again() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = Ballast::beside(&folder.path().join("db"));
        let length = || {
            let found = std::fs::metadata(folder.path().join("db-ballast"));
            found.unwrap().len()
        };
        assert!(!ballast.was_laid() && !ballast.throw().unwrap());
        ballast.lay().unwrap();
        assert_eq!(length(), SIZE);
        assert!(ballast.throw().unwrap() && ballast.was_laid());
        assert_eq!(length(), 0);
        assert!(!ballast.throw().unwrap(), "there is no more");
        ballast.lay().unwrap();
        assert_eq!(length(), SIZE);
    }
}
