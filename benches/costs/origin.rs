//! The application behind the gateway: the same kibibyte for everybody, and a
//! count of what it was told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Failure;

pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    requests: AtomicU64,
    /// Requests that named the person.
    named: AtomicU64,
}

impl Origin {
    /// Answers with a body of `length` bytes. `person` is the line, in lower
    /// case, by which it is told who asks.
    pub async fn start(length: usize, person: &'static str) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| format!("origin: {error}"))?;
        let address = listener
            .local_addr()
            .map_err(|error| format!("origin: {error}"))?;
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let answer: Arc<[u8]> = answer(length).into();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let (seen, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                // Ends with its connection, however that ends.
                tokio::spawn(async move { serve(stream, &seen, &answer, person).await });
            }
        });
        Ok(Self { address, seen })
    }

    pub fn connections(&self) -> u64 {
        self.seen.connections.load(Ordering::Relaxed)
    }

    pub fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::Relaxed)
    }

    pub fn named(&self) -> u64 {
        self.seen.named.load(Ordering::Relaxed)
    }
}

fn answer(length: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sat, 21 Nov 2026 02:00:00 GMT\r\n\
         Content-Type: text/plain\r\nContent-Length: {length}\r\nETag: \"1\"\r\n\
         Cache-Control: no-cache\r\n\r\n"
    );
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + length, b'x');
    answer
}

async fn serve(
    mut stream: TcpStream,
    seen: &Seen,
    answer: &[u8],
    person: &str,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        while let Some(end) = memmem::find(&buffer, b"\r\n\r\n") {
            let head = buffer[..end].to_ascii_lowercase();
            buffer.drain(..end + 4);
            seen.requests.fetch_add(1, Ordering::Relaxed);
            if memmem::find(&head, person.as_bytes()).is_some() {
                seen.named.fetch_add(1, Ordering::Relaxed);
            }
            stream.write_all(answer).await?;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}
