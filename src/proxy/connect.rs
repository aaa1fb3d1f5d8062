//! Dialling an upstream: TCP, TLS, unix socket.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::ProxyError;
use super::upstream_tls::{self, UnusableUpstream};
use crate::base::tcp_keep_alive;
use crate::config::checked::{Upstream, UpstreamTls};
use crate::model::origin::{Authority, Scheme};

const H2: &[u8] = b"h2";

/// What a connection speaks.
pub(super) enum Protocol {
    Http1,
    /// With the scheme that its requests name.
    Http2(http::uri::Scheme),
}

/// Where and how to connect.
#[derive(Clone)]
pub(super) enum Dialer {
    Tcp {
        host: String,
        port: u16,
    },
    Tls {
        host: String,
        port: u16,
        name: ServerName<'static>,
        /// Offers HTTP/2 and HTTP/1.1.
        connector: TlsConnector,
        /// Offers HTTP/1.1 only.
        single: TlsConnector,
    },
    /// HTTP/2 in plain text, which both sides know beforehand.
    H2c {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

impl Dialer {
    /// Reads the files of `tls`.
    pub(super) fn new(upstream: &Upstream, tls: &UpstreamTls) -> Result<Self, UnusableUpstream> {
        Ok(match upstream {
            Upstream::Http(authority) => {
                let (host, port) = place(authority, Scheme::Http);
                Self::Tcp { host, port }
            }
            Upstream::Https(authority) => {
                let (host, port) = place(authority, Scheme::Https);
                let name = tls.server_name.as_ref().unwrap_or(&host).clone();
                let name = ServerName::try_from(name.clone())
                    .map_err(|_| UnusableUpstream::NoCertificateName(name))?;
                let mut config = upstream_tls::client_config(tls)?;
                let single = TlsConnector::from(Arc::new(config.clone()));
                config.alpn_protocols.insert(0, H2.to_vec());
                Self::Tls {
                    host,
                    port,
                    name,
                    connector: TlsConnector::from(Arc::new(config)),
                    single,
                }
            }
            Upstream::H2c(authority) => {
                let (host, port) = place(authority, Scheme::Http);
                Self::H2c { host, port }
            }
            Upstream::Unix(path) => Self::Unix(path.clone()),
        })
    }

    /// Known before anybody was asked.
    pub(super) const fn is_multiplexed(&self) -> bool {
        matches!(self, Self::H2c { .. })
    }

    /// `alone`: for a request that turns the connection into a tunnel, which
    /// only HTTP/1.1 can.
    pub(super) async fn dial(
        &self,
        within: Duration,
        alone: bool,
    ) -> Result<(Stream, Protocol), ProxyError> {
        if alone && matches!(self, Self::H2c { .. }) {
            return Err(ProxyError::UpgradeRefused);
        }
        tokio::time::timeout(within, self.connect(alone))
            .await
            .map_err(|_| ProxyError::ConnectTimeout)?
            .map_err(|error| match upstream_tls::fault(&error) {
                Some((fault, words)) => ProxyError::Tls(fault, words),
                None => ProxyError::Unreachable(error),
            })
    }

    async fn connect(&self, alone: bool) -> io::Result<(Stream, Protocol)> {
        use http::uri::Scheme;
        Ok(match self {
            Self::Tcp { host, port } => (Stream::Tcp(tcp(host, *port).await?), Protocol::Http1),
            Self::H2c { host, port } => {
                let stream = Stream::Tcp(tcp(host, *port).await?);
                (stream, Protocol::Http2(Scheme::HTTP))
            }
            Self::Tls {
                host,
                port,
                name,
                connector,
                single,
            } => {
                let stream = tcp(host, *port).await?;
                let connector = if alone { single } else { connector };
                let stream = connector.connect(name.clone(), stream).await?;
                let protocol = match stream.get_ref().1.alpn_protocol() == Some(H2) {
                    true => Protocol::Http2(Scheme::HTTPS),
                    false => Protocol::Http1,
                };
                (Stream::Tls(Box::new(stream)), protocol)
            }
            Self::Unix(path) => (
                Stream::Unix(UnixStream::connect(path).await?),
                Protocol::Http1,
            ),
        })
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    tcp_keep_alive::set(&stream)?;
    Ok(stream)
}

fn place(authority: &Authority, scheme: Scheme) -> (String, u16) {
    let host = authority
        .host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    (host, authority.port.unwrap_or(scheme.default_port()))
}

/// A connection to an upstream.
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Tls($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }
}
