//! Noticing that the other end of a TCP connection has gone without a word:
//! a machine without power, a network that forgot the connection.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Silent for so long, the other end is asked.
const SILENT: Duration = Duration::from_secs(60);
/// Until the next question.
const AGAIN: Duration = Duration::from_secs(10);
/// Questions without an answer, after which the connection is over.
const QUESTIONS: u32 = 6;

/// Sockets that a listening one accepts have it from there.
///
/// # Errors
/// The system refuses the option.
pub fn set(socket: &impl AsFd) -> io::Result<()> {
    let asks = TcpKeepalive::new()
        .with_time(SILENT)
        .with_interval(AGAIN)
        .with_retries(QUESTIONS);
    SockRef::from(socket).set_tcp_keepalive(&asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_sockets_have_it_from_the_listening_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        set(&listener).unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(SockRef::from(&accepted).keepalive().unwrap());
        assert_eq!(
            SockRef::from(&accepted).tcp_keepalive_time().unwrap(),
            SILENT
        );
        assert!(!SockRef::from(&client).keepalive().unwrap());
    }
}
