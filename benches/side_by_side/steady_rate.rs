//! Load at a constant rate, free of coordinated omission.
//!
//! `steady-rate ADDRESS PATH RATE SECONDS HEADER…`
//!
//! Every request has a time at which it is due, decided before the first one
//! is sent. Its latency counts from then, also when the connection was still
//! busy with the one before: a server that stalls is charged for everything
//! that had to wait. Prints one line of JSON. One file without dependencies, so
//! that `rustc -O` alone builds it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const CONNECTIONS: u32 = 32;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if words == ["--bench"] {
        eprintln!("steady-rate is a tool of benches/side-by-side, no benchmark by itself");
        return ExitCode::SUCCESS;
    }
    match run(&words) {
        Ok(line) if io::stdout().write_all(line.as_bytes()).is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("steady-rate: {fault}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[String]) -> Result<String, &'static str> {
    let [address, path, rate, seconds, headers @ ..] = words else {
        return Err("usage: steady-rate ADDRESS PATH RATE SECONDS HEADER…");
    };
    let rate: f64 = rate.parse().map_err(|_| "the rate is no number")?;
    let seconds: f64 = seconds.parse().map_err(|_| "the time is no number")?;
    let mut request = format!("GET {path} HTTP/1.1\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");

    let each = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate);
    let begin = Instant::now() + Duration::from_millis(300);
    let end = begin + Duration::from_secs_f64(seconds);
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (address, request) = (address.clone(), request.clone().into_bytes());
            // Spread evenly, so that no two are due at once.
            let first = begin + each.mul_f64(f64::from(number) / f64::from(CONNECTIONS));
            thread::spawn(move || drive(&address, &request, first, each, end))
        })
        .collect();
    let (mut latencies, mut bad) = (Vec::new(), 0);
    for one in threads {
        match one.join().map_err(|_| "a connection panicked")? {
            Ok((own, own_bad)) => {
                latencies.extend(own);
                bad += own_bad;
            }
            Err(error) => {
                eprintln!("steady-rate: {error}");
                bad += 1;
            }
        }
    }
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        let found = latencies.get(place.min(latencies.len().saturating_sub(1)));
        found.map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    Ok(format!(
        "{{\"good\":{},\"bad\":{bad},\"p50_us\":{:.1},\"p99_us\":{:.1},\"max_us\":{:.1}}}\n",
        latencies.len(),
        at(0.5),
        at(0.99),
        at(1.0),
    ))
}

/// One connection: its latencies, and how many answers were not 200.
fn drive(
    address: &str,
    request: &[u8],
    first: Instant,
    each: Duration,
    end: Instant,
) -> io::Result<(Vec<Duration>, u32)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    wake_in_time();
    let mut buffer = vec![0; 1 << 16];
    // The first one pays for what is set up once; it does not count.
    exchange(&mut stream, request, &mut buffer)?;
    let (mut latencies, mut bad) = (Vec::new(), 0);
    let mut due = first;
    while due < end {
        let now = Instant::now();
        if due > now {
            thread::sleep(due - now);
        }
        if exchange(&mut stream, request, &mut buffer)? {
            latencies.push(due.elapsed());
        } else {
            bad += 1;
        }
        due += each;
    }
    Ok((latencies, bad))
}

/// Whether the answer was a 200. It must say its length.
fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> io::Result<bool> {
    stream.write_all(request)?;
    let mut filled = 0;
    let (good, whole) = loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let head = buffer[..filled]
            .windows(4)
            .position(|four| four == b"\r\n\r\n");
        if let Some(end) = head {
            let text = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .and_then(|length| length.trim().parse::<usize>().ok())
                .ok_or_else(|| io::Error::other("an answer without a length"))?;
            break (text.starts_with("http/1.1 200"), end + 4 + length);
        }
        if filled == buffer.len() {
            return Err(io::Error::other("an endless head"));
        }
    };
    while filled < whole {
        let room = buffer.len();
        let read = stream.read(&mut buffer[..room.min(whole - filled)])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
    }
    Ok(good)
}

/// Asks the kernel not to round this thread's sleeps up by 50 us. Where it
/// does not listen, every peer is measured with that rounding alike.
fn wake_in_time() {
    let Ok(own) = std::fs::read_link("/proc/thread-self") else {
        return;
    };
    if let Some(id) = own.file_name() {
        let file = std::path::Path::new("/proc").join(id).join("timerslack_ns");
        drop(std::fs::write(file, "1000"));
    }
}
