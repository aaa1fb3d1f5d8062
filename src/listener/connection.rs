//! One client connection: HTTP/1.1 or HTTP/2 by hyper, with the limits of the
//! gateway.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, InvalidHeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::admission::Seat;
use super::io::ClientIo;
use super::pulse::{Pulse, Stage};
use super::rest;
use super::streams::{Reader, Streams};
use super::tunnels::Tunnels;
use crate::base::body::{Body, BoxError};
use crate::config::checked::Limits;

const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What one stream may keep for a client that does not read.
const SEND_BUFFER: usize = 64 * 1024;
/// A client that opens and resets streams (CVE-2023-44487) gets this far.
const RESETS_PENDING: usize = 20;
/// One that makes us reset them (CVE-2025-8671), this far.
const RESETS_OF_OURS: usize = 100;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WAIT: Duration = Duration::from_secs(10);

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
    memory: Mutex<Option<Box<dyn Any + Send>>>,
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
            memory: Mutex::default(),
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

    /// Hands over what the handler remembers from one request of this
    /// connection to the next; it begins empty, also after the connection was
    /// idle for a moment. All callers must ask for the same type.
    pub fn remember<T, R>(&self, look: impl FnOnce(&mut T) -> R) -> R
    where
        T: Default + Send + 'static,
    {
        let mut memory = self.memory();
        let kept = memory.get_or_insert_with(|| Box::new(T::default()));
        match kept.downcast_mut() {
            Some(kept) => look(kept),
            None => look(&mut T::default()),
        }
    }

    /// A connection that waits takes no more room than it must.
    pub(super) fn forget(&self) {
        let forgotten = self.memory().take();
        drop(forgotten);
    }

    /// A panic of its last user leaves it as whole as it was.
    fn memory(&self) -> MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the settings of hyper are made of; the timers of HTTP/1.1 are those
/// of the sweep, which also tells a slow head from an idle connection.
#[derive(Clone)]
pub(super) struct Protocols {
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<Streams>,
    pub(super) header_count: usize,
}

struct Served<H> {
    handler: Arc<H>,
    connection: Connection,
    pulse: Arc<Pulse>,
}

impl Protocols {
    pub(super) fn new(limits: &Limits) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .header_read_timeout(None)
            .max_header_size(limits.request_head)
            .max_buf_size(limits.request_head.max(64 * 1024));
        if limits.header_count != 100 {
            // hyper's own cap of 100 costs less than a cap that is set.
            http1.max_headers(limits.header_count);
        }
        let bounded = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut http2 = http2::Builder::new(Streams {
            patience: limits.body_idle,
        });
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(bounded(limits.request_head))
            .max_concurrent_streams(bounded(limits.streams))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(RESETS_PENDING)
            .max_local_error_reset_streams(RESETS_OF_OURS)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT);
        Self {
            http1,
            http2,
            header_count: limits.header_count,
        }
    }
}

/// Serves one HTTP/1.1 connection to its end.
pub(super) fn serve<H, S>(
    protocols: &Arc<Protocols>,
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
    let resting = served.clone();
    let service = service_fn(move |request| answer(served.clone(), request));
    let io = ClientIo::new(stream, pulse.clone(), seat);
    let rests = move || resting.connection.forget();
    rest::keep(protocols.clone(), io, service, pulse, rests)
}

/// Serves one HTTP/2 connection to its end.
pub(super) fn serve_multiplexed<H, S>(
    protocols: &Protocols,
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
    pulse.multiplexed();
    let served = Arc::new(Served {
        handler,
        connection,
        pulse: pulse.clone(),
    });
    let resting = served.clone();
    let most = protocols.header_count;
    // In a box of its own: what starts the stream moves it several times.
    let service = service_fn(move |request| {
        let stream = answer_stream(served.clone(), most, request);
        Box::pin(stream)
    });
    let io = ClientIo::new(stream, pulse.clone(), seat);
    let connection = protocols.http2.serve_connection(io, service);
    async move {
        let mut connection = std::pin::pin!(connection);
        let mut told = false;
        std::future::poll_fn(|cx| {
            pulse.watch(cx.waker());
            // GOAWAY tells clients at once; what is under way goes on.
            if !told && pulse.stage() >= Stage::Closing as u8 {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            // A connection that breaks is the client's affair.
            let polled = connection.as_mut().poll(cx);
            if pulse.takes_a_rest() {
                resting.connection.forget();
            }
            polled.map(|_| ())
        })
        .await;
    }
}

/// An HTTP/2 request in the form in which everybody behind this line reads
/// requests: one Cookie field (RFC 9113 section 8.2.3), no version of its own.
async fn answer_stream<H: Handler>(
    served: Arc<Served<H>>,
    most_headers: usize,
    mut request: Request<Incoming>,
) -> Result<Response<Outgoing>, Infallible> {
    let under_way = UnderWay::on(&served.pulse, &request);
    *request.version_mut() = Version::HTTP_11;
    let sized = request.headers().contains_key(CONTENT_LENGTH);
    let has_body = !request.body().is_end_stream();
    let headers = request.headers_mut();
    // Every cookie may have come in a field of its own.
    let joined = join_cookies(headers);
    // A refusal of the client's own making: there is no context for a page.
    let refusal = if headers.len() > most_headers {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else {
        joined.is_err().then_some(StatusCode::BAD_REQUEST)
    };
    if has_body && !sized {
        // As HTTP/1.1 says that there is one: whoever judges by the fields
        // must not miss it.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let response = match refusal {
        Some(status) => {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = status;
            response
        }
        None => served.handler.handle(&served.connection, request).await,
    };
    Ok(response.map(|body| Outgoing {
        body,
        reader: Reader::of_this_stream(),
        _under_way: under_way,
    }))
}

fn join_cookies(headers: &mut HeaderMap) -> Result<(), InvalidHeaderValue> {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return Ok(());
    };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    let mut joined = HeaderValue::from_bytes(&joined)?;
    joined.set_sensitive(true);
    headers.insert(COOKIE, joined);
    Ok(())
}

/// No `async fn`, which would move the request once more.
fn answer<H: Handler>(
    served: Arc<Served<H>>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Outgoing>, Infallible>> + Send {
    let under_way = UnderWay::on(&served.pulse, &request);
    async move {
        let mut response = served.handler.handle(&served.connection, request).await;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            served.pulse.upgraded();
        } else if served.pulse.stage() != Stage::Running as u8 {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| Outgoing {
            body,
            reader: None,
            _under_way: under_way,
        }))
    }
}

/// A request under way, until its answer is over or nobody wants it any more.
struct UnderWay(Arc<Pulse>);

impl UnderWay {
    fn on(pulse: &Arc<Pulse>, request: &Request<Incoming>) -> Self {
        pulse.request_began(!request.body().is_end_stream());
        Self(pulse.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.response_ended();
    }
}

/// A response body that tells the pulse when it is over, and whoever keeps the
/// time of its stream who waits for whom.
pub(super) struct Outgoing {
    body: Body,
    /// Of a stream; of an HTTP/1.1 connection the sweep knows it.
    reader: Option<Arc<Reader>>,
    _under_way: UnderWay,
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(reader) = &self.reader {
            match frame {
                Poll::Ready(_) => reader.was_handed_a_piece(),
                Poll::Pending => reader.waits(),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
