//! Connections that are kept and do nothing.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use super::{GIVES_BACK, connect, head, open_gateway, status};
use crate::harness::gateway::Gateway;
use crate::harness::upstream::Upstream;
use crate::harness::{tls, until};

const CONNECTIONS: usize = 700;
/// As browsers send it.
const FIELDS: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n\
                      Accept-Language: en\r\nCookie: theme=dark; lang=en\r\n";

/// A buffer of hyper's takes 8 KiB, which is what each must have given back.
#[tokio::test]
async fn a_connection_that_rests_keeps_no_buffer() {
    let upstream = Upstream::start().await;
    let (name, value) = GIVES_BACK;
    let (_provider, gateway) =
        open_gateway(&upstream.url(), |plan| plan.environment(name, value)).await;
    rests_in(5 * 1024, &gateway, || connect(&gateway)).await;
    let (_provider, gateway) =
        open_gateway(&upstream.url(), |plan| plan.tls().environment(name, value)).await;
    rests_in(18 * 1024, &gateway, || tls::connect(&gateway, "http/1.1")).await;
}

/// Each asks once, so that everything was needed that a request needs.
async fn rests_in<S, F>(bytes: usize, gateway: &Gateway, connect: impl Fn() -> F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = S>,
{
    // What the first ones bring along is the gateway's own.
    for _ in 0..100 {
        drop(asked(gateway, connect().await).await);
    }
    let before = gateway.memory();
    let mut kept = Vec::new();
    for _ in 0..CONNECTIONS {
        kept.push(asked(gateway, connect().await).await);
    }
    let each = || gateway.memory().saturating_sub(before) / CONNECTIONS;
    until::holds("they rest", || each() <= bytes).await;
    for stream in &mut kept {
        ask(gateway, stream).await;
    }
}

async fn asked<S: AsyncRead + AsyncWrite + Unpin>(gateway: &Gateway, stream: S) -> BufReader<S> {
    let mut stream = BufReader::new(stream);
    ask(gateway, &mut stream).await;
    stream
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(gateway: &Gateway, stream: &mut BufReader<S>) {
    let request = head(gateway, "GET /x", FIELDS);
    stream.write_all(request.as_bytes()).await.expect("writes");
    assert_eq!(status(stream).await, 200);
}
