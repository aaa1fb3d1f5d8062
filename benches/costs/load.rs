//! Requests over connections that stay open, as fast as they are answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failure;

/// What a browser sends; about 700 bytes in 12 lines with the Cookie.
pub fn head(authority: &str, path: &str, cookie: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\n\
         Host: {authority}\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
         Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\
         Cache-Control: max-age=0\r\n\
         Referer: http://{authority}/app/overview\r\n\
         Sec-Fetch-Dest: document\r\n\
         Sec-Fetch-Mode: navigate\r\n\
         Sec-Fetch-Site: same-origin\r\n\
         Cookie: theme=dark; {cookie}; lang=en\r\n\
         \r\n"
    )
    .into_bytes()
}

/// Sends `count` requests over `connections`; every answer must be 200.
/// `heads` are taken in turn.
pub async fn send(
    address: SocketAddr,
    heads: &Arc<[Vec<u8>]>,
    connections: usize,
    count: u64,
) -> Result<(), Failure> {
    let next = Arc::new(AtomicU64::new(0));
    let mut all = JoinSet::new();
    for _ in 0..connections {
        let (heads, next) = (Arc::clone(heads), Arc::clone(&next));
        all.spawn(async move { drive(address, &heads, &next, count).await });
    }
    while let Some(one) = all.join_next().await {
        one.map_err(|error| error.to_string())??;
    }
    Ok(())
}

async fn drive(
    address: SocketAddr,
    heads: &[Vec<u8>],
    next: &AtomicU64,
    count: u64,
) -> Result<(), Failure> {
    let broken = |error: std::io::Error| format!("gateway: {error}");
    let mut stream = TcpStream::connect(address).await.map_err(broken)?;
    stream.set_nodelay(true).map_err(broken)?;
    let mut buffer = Vec::with_capacity(128 * 1024);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok(());
        }
        let head = &heads[number as usize % heads.len()];
        stream.write_all(head).await.map_err(broken)?;
        buffer.clear();
        while !is_whole(&buffer)? {
            if stream.read_buf(&mut buffer).await.map_err(broken)? == 0 {
                return Err("gateway closed a connection".to_owned());
            }
        }
    }
}

fn is_whole(buffer: &[u8]) -> Result<bool, Failure> {
    let Some(end) = memmem::find(buffer, b"\r\n\r\n") else {
        return Ok(false);
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        return Err(format!("not 200: {head}"));
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length
        .and_then(|length| length.trim().parse().ok())
        .ok_or("an answer without a length")?;
    Ok(buffer.len() >= end + 4 + length)
}
