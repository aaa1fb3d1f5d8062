//! One client connection: HTTP/1.1 by hyper, with the limits of the gateway.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::admission::Seat;
use super::io::ClientIo;
use super::pulse::{Pulse, Stage};
use super::tunnels::Tunnels;
use crate::base::body::{Body, BoxError};
use crate::config::checked::Limits;

/// Answers requests. It never fails: trouble is a response.
pub trait Handler: Send + Sync + 'static {
    fn handle(
        &self,
        connection: &Connection,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// The other end of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddr {
    Tcp(SocketAddr),
    Unix,
}

/// What a handler may know of the connection that a request came on.
#[derive(Debug)]
pub struct Connection {
    pub peer: PeerAddr,
    pub tunnels: Tunnels,
    address: IpAddr,
    address_text: HeaderValue,
}

impl Connection {
    pub fn new(peer: PeerAddr, tunnels: Tunnels) -> Self {
        let address = match peer {
            PeerAddr::Tcp(address) => address.ip().to_canonical(),
            PeerAddr::Unix => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        Self {
            peer,
            tunnels,
            address,
            address_text: HeaderValue::from_str(&address.to_string()).expect("an address is ASCII"),
        }
    }

    /// The address of the peer. An IPv4 client of an IPv6 socket has its IPv4
    /// address; the peer of a unix socket counts as 127.0.0.1.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// [`Connection::address`] as text, made once.
    pub fn address_text(&self) -> &HeaderValue {
        &self.address_text
    }
}

struct Served<H> {
    handler: Arc<H>,
    connection: Connection,
    pulse: Arc<Pulse>,
}

/// The settings of hyper that follow from the limits. The timers are those of
/// the sweep, which also tells a slow head from an idle connection.
pub(super) fn protocol(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(limits.request_head)
        .max_buf_size(limits.request_head.max(64 * 1024));
    if limits.header_count != 100 {
        // hyper's own cap of 100 costs less than a cap that is set.
        builder.max_headers(limits.header_count);
    }
    builder
}

/// Serves one connection to its end.
pub(super) fn serve<H, S>(
    protocol: &http1::Builder,
    handler: Arc<H>,
    connection: Connection,
    stream: S,
    pulse: Arc<Pulse>,
    seat: Seat,
) -> impl Future<Output = ()> + Send + 'static
where
    H: Handler,
    S: Unpin + Send + 'static,
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let served = Arc::new(Served {
        handler,
        connection,
        pulse: pulse.clone(),
    });
    let service = service_fn(move |request| answer(served.clone(), request));
    let io = ClientIo::new(stream, pulse.clone(), seat);
    let connection = protocol.serve_connection(io, service).with_upgrades();
    async move {
        let mut connection = std::pin::pin!(connection);
        let mut graceful = false;
        std::future::poll_fn(|cx| {
            pulse.watch(cx.waker());
            if !graceful && pulse.stage() >= Stage::Graceful as u8 {
                graceful = true;
                connection.as_mut().graceful_shutdown();
            }
            // A connection that breaks is the client's affair; the request
            // on it was answered or is dropped.
            connection.as_mut().poll(cx).map(|_| ())
        })
        .await;
    }
}

async fn answer<H: Handler>(
    served: Arc<Served<H>>,
    request: Request<Incoming>,
) -> Result<Response<Outgoing<H>>, Infallible> {
    served.pulse.request_began();
    let mut response = served.handler.handle(&served.connection, request).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        served.pulse.upgraded();
    } else if served.pulse.stage() != Stage::Running as u8 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Outgoing { body, served }))
}

/// A response body that tells the pulse when it is over.
struct Outgoing<H> {
    body: Body,
    served: Arc<Served<H>>,
}

impl<H> Drop for Outgoing<H> {
    fn drop(&mut self) {
        self.served.pulse.response_ended();
    }
}

impl<H> HttpBody for Outgoing<H> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
