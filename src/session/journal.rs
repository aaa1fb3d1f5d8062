//! A small file for what must not be lost while the store is away: named
//! entries, each on disk before it is answered.
//!
//! Owns: the file, its lock, its repair. One line per change, `+ name value`
//! or `- name`; rewritten when most of it is void. Values come sealed.
//! Each process writes a file of its own, found by a number whose lock it
//! holds, so that replicas may share a folder; what a process left behind is
//! adopted by another one of the same installation.
//! Limits: what cannot be read is set aside, never deleted, for nobody else.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::base::kill_point;

/// Processes that may share a folder.
const MOST_FILES: usize = 16;
/// Of all that is kept in one file.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Void bytes that are not worth a rewrite.
const SLACK: usize = 256 * 1024;

pub type Name = [u8; 32];
/// Entries as they were found, by name.
pub type Entries = BTreeMap<Name, Vec<u8>>;

#[derive(Debug, Clone)]
pub struct Journal(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// Of the installation, in front of the number.
    stem: String,
    number: usize,
    /// Locked as long as it is open.
    _lock: File,
    file: File,
    /// Where the last whole line ends.
    end: u64,
    entries: Entries,
    live_bytes: usize,
}

impl Journal {
    /// Opens the first file that no other process holds. `stem` tells
    /// installations apart that share the folder.
    pub fn open(folder: &Path, stem: &str) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        for number in 0..MOST_FILES {
            let Some(lock) = lock(folder, stem, number)? else {
                continue;
            };
            let path = data_path(folder, stem, number);
            let file = private(&path, OpenOptions::new().read(true).append(true))?;
            let (entries, damaged) = read(&file)?;
            let mut inner = Inner {
                folder: folder.to_owned(),
                stem: stem.to_owned(),
                number,
                _lock: lock,
                file,
                end: 0,
                live_bytes: 0,
                entries,
            };
            inner.set_lines_aside(&damaged)?;
            inner.rewrite()?;
            File::open(folder)?.sync_all()?;
            return Ok(Self(Arc::new(Mutex::new(inner))));
        }
        Err(io::Error::other(format!(
            "{MOST_FILES} processes keep a file there already"
        )))
    }

    /// A panic of a holder leaves whole lines, or a piece that is cut off
    /// before the next one is written.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything in it.
    pub fn entries(&self) -> Entries {
        self.inner().entries.clone()
    }

    pub fn holds(&self, name: &Name) -> bool {
        self.inner().entries.contains_key(name)
    }

    /// Keeps an entry; on disk when it answers. One of that name stays as it
    /// is.
    pub async fn keep(&self, name: Name, sealed: Vec<u8>) -> io::Result<()> {
        self.blocking(move |inner| inner.keep(name, sealed)).await
    }

    /// A removal that a crash undoes is made again: everything kept here may
    /// be done twice.
    pub async fn remove(&self, name: Name) -> io::Result<()> {
        self.blocking(move |inner| inner.remove(&name)).await
    }

    /// Moves an entry that cannot be used to where nobody reads it again.
    pub async fn set_aside(&self, name: Name) -> io::Result<()> {
        self.blocking(move |inner| {
            if let Some(value) = inner.entries.get(&name) {
                let line = line_of(&name, value);
                inner.set_lines_aside(&[line])?;
            }
            inner.remove(&name)
        })
        .await
    }

    /// Takes over what other processes left that no longer run.
    pub async fn adopt(&self) -> io::Result<Entries> {
        self.blocking(Inner::adopt).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Inner) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(&mut this.inner()))
            .await
            .unwrap_or_else(|gone| Err(io::Error::other(gone)))
    }
}

impl Inner {
    fn keep(&mut self, name: Name, sealed: Vec<u8>) -> io::Result<()> {
        if self.entries.contains_key(&name) {
            return Ok(());
        }
        let line = line_of(&name, &sealed);
        if self.live_bytes + line.len() > MOST_BYTES {
            return Err(io::Error::other(format!(
                "more than {MOST_BYTES} bytes wait already"
            )));
        }
        self.append(line.as_bytes(), true)?;
        self.live_bytes += line.len();
        self.entries.insert(name, sealed);
        Ok(())
    }

    fn remove(&mut self, name: &Name) -> io::Result<()> {
        let Some(value) = self.entries.remove(name) else {
            return Ok(());
        };
        self.live_bytes -= line_of(name, &value).len();
        if self.entries.is_empty() || self.end as usize > 2 * self.live_bytes + SLACK {
            return self.rewrite();
        }
        let line = format!("- {}\n", URL_SAFE_NO_PAD.encode(name));
        self.append(line.as_bytes(), false)
    }

    fn append(&mut self, line: &[u8], durable: bool) -> io::Result<()> {
        let mut written = self.file.write_all(line);
        kill_point::at("journal", "written");
        if durable && written.is_ok() {
            written = self.file.sync_data();
        }
        match written {
            Ok(()) => self.end += line.len() as u64,
            // A piece of a line would spoil the next one.
            Err(_) => self.file.set_len(self.end)?,
        }
        written
    }

    /// A new file with nothing void in it, in the place of the old one.
    fn rewrite(&mut self) -> io::Result<()> {
        let lines: String = self
            .entries
            .iter()
            .map(|(name, value)| line_of(name, value))
            .collect();
        let path = data_path(&self.folder, &self.stem, self.number);
        let fresh = path.with_extension("new");
        // A leftover may be somebody else's, and readable by others.
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private(&fresh, OpenOptions::new().write(true).create_new(true))?;
        file.write_all(lines.as_bytes())?;
        file.sync_data()?;
        kill_point::at("journal_rewrite", "before");
        std::fs::rename(&fresh, &path)?;
        kill_point::at("journal_rewrite", "after");
        File::open(&self.folder)?.sync_all()?;
        self.file = private(&path, OpenOptions::new().read(true).append(true))?;
        self.end = lines.len() as u64;
        self.live_bytes = lines.len();
        Ok(())
    }

    fn adopt(&mut self) -> io::Result<Entries> {
        let mut adopted = Entries::new();
        for number in 0..MOST_FILES {
            let path = data_path(&self.folder, &self.stem, number);
            let empty = std::fs::metadata(&path).map_or(true, |known| known.len() == 0);
            if empty || number == self.number {
                continue;
            }
            let Some(_lock) = lock(&self.folder, &self.stem, number)? else {
                continue;
            };
            let file = private(&path, OpenOptions::new().read(true).append(true))?;
            let (entries, damaged) = read(&file)?;
            self.set_lines_aside(&damaged)?;
            for (name, value) in entries {
                self.keep(name, value.clone())?;
                adopted.insert(name, value);
            }
            kill_point::at("journal", "adopted");
            // Ours is on disk by now.
            file.set_len(0)?;
        }
        Ok(adopted)
    }

    fn set_lines_aside(&self, lines: &[String]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let path = self.folder.join(format!("outage-{}.damaged", self.stem));
        let mut file = private(&path, OpenOptions::new().append(true).create(true))?;
        for line in lines {
            file.write_all(line.trim_end_matches('\n').as_bytes())?;
            file.write_all(b"\n")?;
        }
        file.sync_data()?;
        tracing::error!(
            lines = lines.len(),
            file = %path.display(),
            "what waited for the session store cannot be read; it was set aside, and a sign-out \
             or renewed token may be lost"
        );
        Ok(())
    }
}

fn data_path(folder: &Path, stem: &str, number: usize) -> PathBuf {
    folder.join(format!("outage-{stem}-{number}.journal"))
}

/// For us alone, and made if it is missing. A link is not followed: who may
/// write to the folder must not choose which of our files we write to.
fn private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    if std::fs::symlink_metadata(path).is_ok_and(|known| known.is_symlink()) {
        return Err(io::Error::other(format!("{} is a link", path.display())));
    }
    options.create(true).mode(0o600).open(path)
}

/// `None` while another process holds it.
fn lock(folder: &Path, stem: &str, number: usize) -> io::Result<Option<File>> {
    let path = folder.join(format!("outage-{stem}-{number}.lock"));
    let file = private(&path, OpenOptions::new().write(true))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

fn line_of(name: &Name, value: &[u8]) -> String {
    let (name, value) = (URL_SAFE_NO_PAD.encode(name), URL_SAFE_NO_PAD.encode(value));
    format!("+ {name} {value}\n")
}

/// What stands in it, and the lines that say nothing.
fn read(mut file: &File) -> io::Result<(Entries, Vec<String>)> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let mut entries = Entries::new();
    let mut damaged = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match change(line) {
            Some((name, Some(value))) => drop(entries.insert(name, value)),
            Some((name, None)) => drop(entries.remove(&name)),
            None => damaged.push(String::from_utf8_lossy(line).into_owned()),
        }
    }
    Ok((entries, damaged))
}

fn change(line: &[u8]) -> Option<(Name, Option<Vec<u8>>)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let name_of =
        |text: &str| -> Option<Name> { URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok() };
    if let Some(name) = line.strip_prefix("- ") {
        return Some((name_of(name)?, None));
    }
    let (name, value) = line.strip_prefix("+ ")?.split_once(' ')?;
    Some((name_of(name)?, Some(URL_SAFE_NO_PAD.decode(value).ok()?)))
}

#[cfg(test)]
mod tests;
