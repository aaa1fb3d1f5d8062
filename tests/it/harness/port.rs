//! Ports for servers that come back on the same port after being killed.

use std::fs::{File, TryLockError};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that the system takes outgoing ports from, so that nothing
/// else sits on a port while its owner is being restarted.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// One locked file per port handed out. The system drops the locks when this
/// process ends, however it ends.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A loopback port that was free a moment ago and is handed out once, to one
/// test process of this machine.
pub fn free() -> u16 {
    let start = (std::process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(step)) % COUNT;
        if let Some(lock) = lock(port)
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
        {
            HELD.lock().expect("locks").push(lock);
            return port;
        }
    }
    panic!("no free port on loopback");
}

fn lock(port: u16) -> Option<File> {
    let folder = std::env::temp_dir().join("vestibule-test-ports");
    std::fs::create_dir_all(&folder).expect("folder of the locks");
    let path = folder.join(port.to_string());
    // Another user's lock, or another process's: the next port will do.
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .ok()?;
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
    }
}
