//! Whether the file is whole, looked at before it is used: a damaged database
//! must stop the start, never become an empty one.
//!
//! Sees truncation, a lost log and broken structure. A flipped bit inside a
//! value is found by the value's own seal, when it is read. Of a log that was
//! left behind by a crash SQLite reads what its checksums cover: it cannot
//! tell a flipped bit from the torn end of a write.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rusqlite::Connection;

use super::ballast::Ballast;
use super::schema;
use crate::session::store::StoreError;

/// Files up to this size, some 7 000 sessions, are read through before the
/// start (20 ms, 110 ms on a machine with eight times the work that it can
/// do); larger ones meanwhile.
const READ_AT_ONCE: u64 = 32 * 1024 * 1024;

/// What was found after the start; set at most once.
pub type Found = Arc<OnceLock<StoreError>>;

pub fn emptied() -> StoreError {
    StoreError::Corrupt("is empty, though it was in use".into())
}

/// A cleanly closed file says how long it is. To be asked before SQLite is:
/// that throws the log of an empty file away, and with it the last chance.
pub fn check_length(path: &Path) -> Result<(), StoreError> {
    let is_empty = std::fs::metadata(path).is_ok_and(|file| file.len() == 0);
    if is_empty && Ballast::beside(path).was_laid() {
        return Err(emptied());
    }
    match is_truncated(path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(StoreError::Corrupt("is shorter than it says".into())),
        Err(error) => Err(StoreError::Unavailable(error.to_string())),
    }
}

fn is_truncated(path: &Path) -> io::Result<bool> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        // The rest may be there.
        return Ok(false);
    }
    let mut head = [0; 32];
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length < head.len() as u64 {
        // Nothing at all is what a new file has.
        return Ok(length > 0);
    }
    file.read_exact(&mut head)?;
    // Big-endian, at fixed places; a page size of 1 stands for 65536.
    let page_size = match u16::from_be_bytes([head[16], head[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u32::from_be_bytes([head[28], head[29], head[30], head[31]]);
    Ok(length < page_size * u64::from(pages))
}

/// Reads small files through now, large ones in a thread of their own, which
/// leaves what it found in the answer.
pub fn check_structure(path: &Path, connection: &Connection) -> Result<Found, StoreError> {
    check_up_to(READ_AT_ONCE, path, connection)
}

fn check_up_to(at_once: u64, path: &Path, connection: &Connection) -> Result<Found, StoreError> {
    let found = Found::default();
    if std::fs::metadata(path).is_ok_and(|file| file.len() <= at_once) {
        read_through(connection)?;
        return Ok(found);
    }
    let (later, path) = (Arc::clone(&found), path.to_owned());
    std::thread::Builder::new()
        .name("store-check".into())
        .spawn(move || {
            let checked = schema::connect(&path).and_then(|other| read_through(&other));
            if let Err(error) = checked {
                let error = schema::named(&path, error);
                tracing::error!(detail = %error, "nothing more is written to the session database");
                // Nobody else sets it.
                drop(later.set(error));
            }
        })
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(found)
}

fn read_through(connection: &Connection) -> Result<(), StoreError> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" {
        return Ok(());
    }
    let what = said.lines().last().unwrap_or_default();
    Err(StoreError::Corrupt(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_to_wait_for_is_found_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let made = Connection::open(&path).unwrap();
        made.execute_batch("CREATE TABLE one (a); CREATE TABLE two (b); CREATE TABLE three (c)")
            .unwrap();
        drop(made);
        let connection = schema::connect(&path).unwrap();
        let found = check_up_to(0, &path, &connection).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        // The root page of the third table.
        bytes[3 * 4096..][..100].fill(0);
        while Arc::strong_count(&found) > 1 {
            std::thread::yield_now();
        }
        assert!(found.get().is_none());
        std::fs::write(&path, bytes).unwrap();
        let connection = schema::connect(&path).unwrap();
        let found = check_up_to(0, &path, &connection).unwrap();
        while Arc::strong_count(&found) > 1 {
            std::thread::yield_now();
        }
        let error = found.get().unwrap().to_string();
        assert!(error.contains("db") && error.contains("restore"), "{error}");
    }
}
