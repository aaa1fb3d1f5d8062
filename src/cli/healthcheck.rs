//! `healthcheck`: an exit code for containers that have no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use super::terminal::{Stream, line};
use crate::config::{Sources, inspect};

/// For the whole question, step by step.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks `/livez` at `address`, or where the configuration says that the admin
/// listener is. 0 alive, 1 not.
pub fn healthcheck(address: Option<SocketAddr>, sources: &Sources) -> ExitCode {
    let address = match address {
        Some(address) => address,
        None => match inspect(sources) {
            Ok(loaded) => loaded.config.admin.listen,
            Err(problems) => {
                line(Stream::Error, &problems.to_string());
                return ExitCode::FAILURE;
            }
        },
    };
    match status(reachable(address)) {
        Ok(200) => ExitCode::SUCCESS,
        Ok(status) => {
            line(Stream::Error, &format!("{address}/livez answers {status}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            line(Stream::Error, &format!("{address}/livez: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A listener on every address is reached on this machine's own.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn status(address: SocketAddr) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    // the status line begins with "HTTP/1.1 200"
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    std::str::from_utf8(&head)
        .ok()
        .filter(|head| head.starts_with("HTTP/1."))
        .and_then(|head| head.get(9..)?.parse().ok())
        .ok_or_else(|| std::io::Error::other("not an HTTP answer"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answer_once(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /livez HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn reads_the_status() {
        let alive = answer_once("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(status(alive).unwrap(), 200);
        let dead = answer_once("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert_eq!(status(dead).unwrap(), 503);
        let stranger = answer_once("SSH-2.0-OpenSSH_10\r\n");
        assert!(status(stranger).is_err());
    }

    #[test]
    fn a_wildcard_listener_is_asked_on_loopback() {
        let everywhere: SocketAddr = "0.0.0.0:4181".parse().unwrap();
        assert_eq!(reachable(everywhere).to_string(), "127.0.0.1:4181");
    }
}
