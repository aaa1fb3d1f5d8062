//! Clients that ask for much and read nothing, or nothing more.

use std::iter;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::{IN_TIME, connect, head, open_gateway};
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::http2_frames::{
    END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, fields, frame,
};
use crate::harness::upstream::Upstream;
use crate::harness::{tls, until};

const READERS: usize = 24;
/// More than the system's buffers take on both sides of the gateway.
const LENGTH: usize = 16 * 1024 * 1024;
/// Streams that one client of HTTP/2 asks for at once.
const STREAMS: usize = 4;

/// Of all windows of HTTP/2, RFC 9113 sections 6.9.1 and 6.9.2.
const WIDEST: u32 = 0x7fff_ffff;
const FIRST: u32 = 65535;

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

#[derive(Debug, Clone, Copy)]
enum Reader {
    Plain,
    Tls,
    /// Grants all that HTTP/2 can grant, and leaves the socket unread.
    Http2Socket,
    /// As a browser does whose page stands still: the windows are used up.
    Http2Windows,
}

async fn asks(gateway: &Gateway, reader: Reader) -> Box<dyn Socket> {
    let target = format!("/stream/{LENGTH}");
    let text = head(gateway, &format!("GET {target}"), "");
    let mut stream: Box<dyn Socket> = match reader {
        Reader::Plain => Box::new(connect(gateway).await),
        Reader::Tls => Box::new(tls::connect(gateway, "http/1.1").await),
        Reader::Http2Socket | Reader::Http2Windows => Box::new(tls::connect(gateway, "h2").await),
    };
    let bytes = match reader {
        Reader::Plain | Reader::Tls => text.into_bytes(),
        Reader::Http2Socket => {
            // SETTINGS_INITIAL_WINDOW_SIZE, RFC 9113 section 6.5.2.
            let setting = [&[0, 4], &WIDEST.to_be_bytes()[..]].concat();
            let settings = frame(SETTINGS, 0, 0, &setting);
            let window = grants_all(0);
            [PREFACE, &settings, &window, &requests(gateway, &target)].concat()
        }
        Reader::Http2Windows => {
            let settings = frame(SETTINGS, 0, 0, &[]);
            [PREFACE, &settings, &requests(gateway, &target)].concat()
        }
    };
    stream.write_all(&bytes).await.expect("writes");
    stream.flush().await.expect("writes");
    stream
}

/// A window that was as it is at first becomes the widest; zero is that of
/// the connection.
fn grants_all(stream: usize) -> Vec<u8> {
    let more = (WIDEST - FIRST).to_be_bytes();
    let stream = u32::try_from(stream).expect("few");
    frame(WINDOW_UPDATE, 0, stream, &more)
}

fn requests(gateway: &Gateway, target: &str) -> Vec<u8> {
    let authority = gateway.authority();
    let block = fields(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", &authority),
        (":path", target),
    ]);
    let one = |number: usize| {
        let stream = u32::try_from(2 * number + 1).expect("few");
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
    };
    (0..STREAMS).flat_map(one).collect()
}

async fn held_up(upstream: &Upstream, at_least: usize) {
    let mut last = 0;
    until::some("the upstream is held up", || {
        let now = upstream.streamed();
        let settled = now > at_least && now == last;
        last = now;
        async move {
            sleep(Duration::from_millis(300)).await;
            settled.then_some(())
        }
    })
    .await;
}

/// At most so many KiB for each connection. The system's own buffers are not
/// in it.
async fn holds_memory_flat(reader: Reader, most: usize) {
    let upstream = Upstream::start().await;
    let (_provider, gateway) = open_gateway(&upstream.url(), |plan| match reader {
        Reader::Plain => plan,
        _ => Plan::tls(plan),
    })
    .await;
    // What the first of them needs is not what each of them needs.
    let mut readers = vec![asks(&gateway, reader).await];
    held_up(&upstream, 64 * 1024).await;
    let (before, streamed) = (gateway.memory(), upstream.streamed());
    for _ in 0..READERS {
        readers.push(asks(&gateway, reader).await);
    }
    held_up(&upstream, streamed + READERS * 64 * 1024).await;
    let kept = gateway.memory().saturating_sub(before) / READERS;
    println!(
        "{reader:?}: {} KiB for each of {READERS}, {} MiB from the upstream",
        kept / 1024,
        upstream.streamed() >> 20
    );
    assert!(
        kept < most * 1024,
        "{reader:?}: a reader that does not read costs {kept} bytes"
    );
    // And they are not forgotten: the rest comes when it is read.
    let mut first = readers.swap_remove(0);
    if matches!(reader, Reader::Http2Windows) {
        let streams = (0..STREAMS).map(|number| 2 * number + 1);
        let granted: Vec<u8> = iter::once(0).chain(streams).flat_map(grants_all).collect();
        first.write_all(&granted).await.expect("writes");
        first.flush().await.expect("writes");
    }
    let held = upstream.streamed();
    let mut piece = vec![0; 1024 * 1024];
    let mut read = 0;
    let goes_on = |read: usize| match reader {
        Reader::Plain | Reader::Tls => read < LENGTH,
        // Its streams end together, which would take long.
        Reader::Http2Socket | Reader::Http2Windows => upstream.streamed() < held + LENGTH / 4,
    };
    while goes_on(read) {
        let now = timeout(IN_TIME, first.read(&mut piece))
            .await
            .expect("in time")
            .expect("reads");
        assert!(now > 0, "the answer ends after {read} bytes");
        read += now;
    }
}

#[tokio::test]
async fn slow_readers_hold_memory_flat() {
    holds_memory_flat(Reader::Plain, 512).await;
}

#[tokio::test]
async fn slow_readers_over_tls_hold_memory_flat() {
    holds_memory_flat(Reader::Tls, 512).await;
}

#[tokio::test]
async fn slow_readers_over_http2_hold_memory_flat() {
    holds_memory_flat(Reader::Http2Socket, 2048).await;
    holds_memory_flat(Reader::Http2Windows, 320).await;
}
