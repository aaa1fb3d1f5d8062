//! Connections under load: those that an upstream kills, those whose client
//! does not read, those that rest, and those that come and go by the thousand.

mod coming_and_going;
mod killed;
mod resting;
mod slow_readers;

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

use crate::harness::gateway::{Gateway, Plan};
use crate::harness::provider::Provider;

const IN_TIME: Duration = Duration::from_secs(20);
/// The allocator gives back at once what is free.
const GIVES_BACK: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "0");

/// A gateway with one open route; the provider is never asked.
async fn open_gateway(upstream: &str, change: impl FnOnce(Plan) -> Plan) -> (Provider, Gateway) {
    let provider = Provider::start("oidc-plain").await;
    let route = format!(
        "[route.app]\nupstream = \"{upstream}\"\n\
         rules = [ {{ path = \"/*\", lane = \"public\" }} ]\n"
    );
    let plan = Plan::bare(&provider.issuer)
        .route(&route)
        .log_level("info")
        .limits("open_requests_per_minute = 1000000000\nconnections_per_address = 20000");
    let gateway = change(plan).start().await;
    (provider, gateway)
}

fn head(gateway: &Gateway, line: &str, more: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: {}\r\n{more}\r\n",
        gateway.authority()
    )
}

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.address())
        .await
        .expect("connects")
}

/// The status of one answer on a connection that goes on; its body is read.
async fn status<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> u16 {
    let mut first = String::new();
    let mut length = 0;
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        let read = stream.read_line(&mut line).await.expect("reads");
        assert!(read > 0, "the gateway ended the connection after {first:?}");
        if first.is_empty() {
            first.clone_from(&line);
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("the body");
    first
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no status: {first}"))
}
