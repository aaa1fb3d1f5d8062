//! Listening sockets: TCP and unix.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};

use crate::base::fault::{Blame, Fault};
use crate::base::tcp_keep_alive;
use crate::config::checked::ListenAddr;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;
/// A front in the same group may connect, others may not.
const SOCKET_MODE: u32 = 0o660;

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {address}")]
    Tcp {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot listen on unix:{path}")]
    Unix {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("another process answers on unix:{path}")]
    UnixInUse { path: PathBuf },
    #[error("cannot start the workers")]
    Workers(#[source] io::Error),
}

impl Fault for ListenError {
    fn blame(&self) -> Blame {
        Blame::Operator
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Tcp { .. } | Self::Unix { .. } => "listen_failed",
            Self::UnixInUse { .. } => "listen_in_use",
            Self::Workers(_) => "workers_failed",
        }
    }
}

/// Where a socket really listens: the port is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalAddr {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
pub(super) enum Socketed {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Socketed {
    /// Another handle of the same socket and the same queue.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Self::Unix(listener.try_clone()?),
        })
    }
}

/// The door of the module.
#[derive(Debug)]
pub struct Listener;

impl Listener {
    /// Binds every address, or none.
    pub fn bind(addresses: &[ListenAddr]) -> Result<Bound, ListenError> {
        let mut bound = Bound {
            sockets: Vec::with_capacity(addresses.len()),
            paths: Vec::new(),
        };
        for address in addresses {
            match address {
                ListenAddr::Tcp(address) => {
                    let listener = tcp(*address).map_err(|source| ListenError::Tcp {
                        address: *address,
                        source,
                    })?;
                    bound.sockets.push(Socketed::Tcp(listener));
                }
                ListenAddr::Unix(path) => {
                    let listener = unix(path)?;
                    bound.paths.push(SocketFile(path.clone()));
                    bound.sockets.push(Socketed::Unix(listener));
                }
            }
        }
        Ok(bound)
    }
}

/// Sockets that listen and are not served yet; clients wait in the queue.
#[derive(Debug)]
pub struct Bound {
    pub(super) sockets: Vec<Socketed>,
    pub(super) paths: Vec<SocketFile>,
}

impl Bound {
    /// In the order of the addresses that were asked for.
    pub fn local_addrs(&self) -> Vec<LocalAddr> {
        let mut paths = self.paths.iter();
        self.sockets
            .iter()
            .filter_map(|socket| match socket {
                Socketed::Tcp(listener) => listener.local_addr().ok().map(LocalAddr::Tcp),
                Socketed::Unix(_) => paths.next().map(|file| LocalAddr::Unix(file.0.clone())),
            })
            .collect()
    }
}

/// The file of a unix socket; removed when we stop listening.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that somebody removed before is what we want anyway.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart finds connections of its predecessor in TIME_WAIT.
    socket.set_reuse_address(true)?;
    tcp_keep_alive::set(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn unix(path: &Path) -> Result<std::os::unix::net::UnixListener, ListenError> {
    use std::os::unix::net::{UnixListener, UnixStream};
    let failed = |source| ListenError::Unix {
        path: path.to_owned(),
        source,
    };
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            match UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(failed(error)),
                Ok(_) => {
                    return Err(ListenError::UnixInUse {
                        path: path.to_owned(),
                    });
                }
            }
            std::fs::remove_file(path).map_err(failed)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }
    .map_err(failed)?;
    let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
    std::fs::set_permissions(path, mode).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let bound = Listener::bind(&[ListenAddr::Unix(path.clone())]).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
        let again = Listener::bind(&[ListenAddr::Unix(path.clone())]).unwrap_err();
        assert_eq!(again.reason(), "listen_in_use");
        drop(bound);
        assert!(!path.exists());
    }
}
