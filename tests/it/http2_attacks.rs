//! Frames that no decent client sends, written by hand: what HTTP/2 can say
//! and HTTP/1.1 must never hear, and floods.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::harness::gateway::{Gateway, Plan};
use crate::harness::http2_frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, fields, frame,
};
use crate::harness::provider::Provider;
use crate::harness::tls;
use crate::harness::upstream::Upstream;

/// A client of which each byte is chosen.
struct Wire(TlsStream<TcpStream>);

impl Wire {
    async fn open(gateway: &Gateway) -> Self {
        let mut stream = tls::connect(gateway, "h2").await;
        let mut hello = PREFACE.to_vec();
        hello.extend(frame(SETTINGS, 0, 0, &[]));
        stream.write_all(&hello).await.expect("preface");
        Self(stream)
    }

    /// The gateway may hang up in the middle.
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        timeout(Duration::from_secs(20), self.0.write_all(bytes))
            .await
            .map_err(late)?
    }

    /// Frames until the connection ends or rests for `quiet`; and whether it
    /// ended.
    async fn hear(&mut self, quiet: Duration) -> (Vec<(u8, u32, Vec<u8>)>, bool) {
        let mut frames = Vec::new();
        loop {
            let mut head = [0; 9];
            match timeout(quiet, self.0.read_exact(&mut head)).await {
                Err(_) => return (frames, false),
                Ok(Err(_)) => return (frames, true),
                Ok(Ok(_)) => {}
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            if self.0.read_exact(&mut payload).await.is_err() {
                return (frames, true);
            }
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            frames.push((head[3], stream, payload));
        }
    }
}

struct Stage {
    gateway: Gateway,
    upstream: Upstream,
    _provider: Provider,
}

impl Stage {
    async fn start() -> Self {
        let provider = Provider::start("oidc-plain").await;
        let upstream = Upstream::start().await;
        let route = format!(
            "[route.app]\nupstream = \"{}\"\naccess = \"signed-in\"\n\
             rules = [ {{ path = \"/public/*\", lane = \"public\" }}, \
             {{ path = \"/*\", lane = \"session\" }} ]\n",
            upstream.url()
        );
        let plan = Plan::bare(&provider.issuer).route(&route).tls();
        Self {
            gateway: plan.start().await,
            upstream,
            _provider: provider,
        }
    }

    /// An honest request on a connection of its own is answered.
    async fn lives(&self) {
        let mut wire = Wire::open(&self.gateway).await;
        let authority = self.gateway.authority();
        let block = fields(&[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", &authority),
            (":path", "/public/canary"),
        ]);
        let head = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
        wire.send(&head).await.expect("sent");
        let (frames, _) = wire.hear(Duration::from_secs(2)).await;
        let answer = frames.iter().find(|(kind, ..)| *kind == HEADERS);
        // 0x88 is the indexed field `:status: 200`.
        assert_eq!(answer.expect("an answer").2[0], 0x88);
    }

    fn asked(&self) -> Vec<String> {
        let requests = self.upstream.requests();
        let targets = requests.iter().map(|request| request.target.clone());
        targets.filter(|path| path != "/public/canary").collect()
    }
}

const GET: &[(&str, &str)] = &[(":method", "GET"), (":scheme", "https")];

#[tokio::test]
async fn sec_smg_08_what_http1_would_misread_never_reaches_an_application() {
    let stage = Stage::start().await;
    let authority = stage.gateway.authority();
    let own = (":authority", authority.as_str());
    let path = (":path", "/public/x");
    let with = |more: &[(&'static str, &'static str)]| {
        let mut all: Vec<(&str, &str)> = GET.to_vec();
        all.extend([own, path]);
        all.extend(more);
        fields(&all)
    };
    let at = |path: &str| {
        let mut all: Vec<(&str, &str)> = GET.to_vec();
        all.extend([own, (":path", path)]);
        fields(&all)
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("chunked", with(&[("transfer-encoding", "chunked")])),
        ("connection", with(&[("connection", "close, cookie")])),
        ("keep-alive", with(&[("keep-alive", "timeout=5")])),
        ("proxy-connection", with(&[("proxy-connection", "close")])),
        (
            "upgrade",
            with(&[("upgrade", "websocket"), ("sec-websocket-version", "13")]),
        ),
        ("te", with(&[("te", "gzip")])),
        ("CR LF", with(&[("x-a", "b\r\nremote-user: ann")])),
        ("LF", with(&[("x-a", "b\nremote-user: ann")])),
        ("NUL", with(&[("x-a", "b\0c")])),
        ("a name with CR LF", with(&[("x-a\r\nremote-user", "ann")])),
        ("a name with a colon", with(&[("x-a:b", "c")])),
        ("a name with a space", with(&[("x-a ", "c")])),
        ("a large name", with(&[("Remote-User", "ann")])),
        ("no name", with(&[("", "c")])),
        ("a length without a body", with(&[("content-length", "5")])),
        (
            "two lengths",
            with(&[("content-length", "0"), ("content-length", "5")]),
        ),
        ("a signed length", with(&[("content-length", "+0")])),
        ("two paths", with(&[(":path", "/public/y")])),
        (
            "a late pseudo field",
            with(&[("x-a", "b"), (":method", "POST")]),
        ),
        ("a status", with(&[(":status", "200")])),
        ("an unknown pseudo field", with(&[(":user", "ann")])),
        ("two hosts", with(&[("host", "a.test"), ("host", "b.test")])),
        ("a malformed host", with(&[("host", "a.test/b@c")])),
        ("no path", fields(&[GET[0], GET[1], own])),
        ("an empty path", at("")),
        ("no slash", at("public/x")),
        ("an asterisk", at("*")),
        ("a space", at("/public/x HTTP/1.1")),
        ("CR LF in the path", at("/public/x\r\nremote-user: ann")),
        ("another origin", at("http://evil.test/public/x")),
        ("an authority", at("//evil.test/public/x")),
        ("dot segments", at("/public/../admin")),
        ("encoded dots", at("/public/%2e%2e/admin")),
        ("a fragment", at("/admin#/public/x")),
        ("no method", fields(&[(":scheme", "https"), own, path])),
        (
            "a method with a space",
            fields(&[(":method", "GET /admin"), (":scheme", "https"), own, path]),
        ),
        (
            "a scheme with more",
            fields(&[
                (":method", "GET"),
                (":scheme", "https://evil.test/"),
                own,
                path,
            ]),
        ),
        (
            "an authority with more",
            fields(&[GET[0], GET[1], (":authority", "a@b/c"), path]),
        ),
        ("no authority", fields(&[GET[0], GET[1], path])),
        ("CONNECT", fields(&[(":method", "CONNECT"), own])),
        (
            "extended CONNECT",
            fields(&[
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "https"),
                own,
                path,
            ]),
        ),
        (
            "TRACE",
            fields(&[(":method", "TRACE"), (":scheme", "https"), own, path]),
        ),
    ];
    let mut passed = Vec::new();
    for (what, block) in cases {
        let before = stage.asked().len();
        let mut wire = Wire::open(&stage.gateway).await;
        let head = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
        // A connection error comes back at once; a stream error too.
        let sent = wire.send(&head).await;
        let (frames, ended) = wire.hear(Duration::from_millis(300)).await;
        let refused = ended
            || sent.is_err()
            || frames.iter().any(|(kind, stream, payload)| match *kind {
                RST_STREAM | GOAWAY => true,
                // Any status but 200, 204 and 206, which have indices.
                HEADERS => *stream == 1 && !matches!(payload[0], 0x88..=0x8a),
                _ => false,
            });
        if !refused || stage.asked().len() > before {
            passed.push((what, frames));
        }
    }
    assert!(passed.is_empty(), "{passed:?} {:?}", stage.asked());
    stage.lives().await;
}

#[tokio::test]
async fn sec_smg_08_lengths_and_trailers_of_streams_frame_nothing_anew() {
    let stage = Stage::start().await;
    let authority = stage.gateway.authority();
    let post = |length: &'static str| {
        fields(&[
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", &authority),
            (":path", "/public/x"),
            ("content-length", length),
        ])
    };
    let hidden = b"hello GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    for length in ["0", "5", "99"] {
        let mut wire = Wire::open(&stage.gateway).await;
        let mut bytes = frame(HEADERS, END_HEADERS, 1, &post(length));
        bytes.extend(frame(DATA, END_STREAM, 1, hidden));
        let _ended_early = wire.send(&bytes).await;
        let (frames, _) = wire.hear(Duration::from_millis(500)).await;
        let passed = frames
            .iter()
            .any(|(kind, _, payload)| *kind == HEADERS && payload[0] == 0x88);
        assert!(!passed, "{length}: {frames:?}");
    }
    // Trailers say nothing of identities, lengths or pseudo fields.
    for trailer in [
        ("remote-user", "ann"),
        ("x_forwarded_user", "ann"),
        ("content-length", "0"),
        ("transfer-encoding", "chunked"),
        ("host", "evil.test"),
        (":path", "/admin"),
    ] {
        let mut wire = Wire::open(&stage.gateway).await;
        let open = fields(&[
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", &authority),
            (":path", "/public/trailed"),
            ("te", "trailers"),
            ("trailer", trailer.0),
        ]);
        let mut bytes = frame(HEADERS, END_HEADERS, 1, &open);
        bytes.extend(frame(DATA, 0, 1, b"hello"));
        let end = fields(&[trailer]);
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, &end));
        let _ended_early = wire.send(&bytes).await;
        wire.hear(Duration::from_millis(300)).await;
    }
    let seen = String::from_utf8_lossy(&stage.upstream.bytes()).to_lowercase();
    for trace in ["ann", "evil.test", "path: /admin", "content-length: 0"] {
        assert!(!seen.contains(trace), "{trace}: {seen}");
    }
    assert!(
        stage
            .asked()
            .iter()
            .all(|path| path.starts_with("/public/")),
        "{:?}",
        stage.asked()
    );
    stage.lives().await;
}

#[tokio::test]
async fn sec_adv_32_one_host_goes_on_and_it_is_the_authority() {
    let stage = Stage::start().await;
    let authority = stage.gateway.authority();
    let mut wire = Wire::open(&stage.gateway).await;
    let block = fields(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", &authority),
        (":path", "/public/hosts"),
        ("host", "evil.test"),
        ("x-forwarded-host", "evil.test"),
    ]);
    let head = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
    wire.send(&head).await.expect("sent");
    wire.hear(Duration::from_millis(500)).await;
    let seen = String::from_utf8_lossy(&stage.upstream.bytes()).to_lowercase();
    assert!(!seen.contains("evil.test"), "{seen}");
    assert_eq!(stage.asked(), ["/public/hosts"]);
    assert_eq!(seen.matches("\r\nhost:").count(), 1, "{seen}");
    stage.lives().await;
}

/// Sends a flood in pieces; true if the gateway hung up before its end.
async fn flooded(stage: &Stage, pieces: usize, piece: impl Fn(usize) -> Vec<u8>) -> bool {
    let mut wire = Wire::open(&stage.gateway).await;
    for number in 0..pieces {
        if wire.send(&piece(number)).await.is_err() {
            return true;
        }
    }
    let (frames, ended) = wire.hear(Duration::from_secs(1)).await;
    ended || frames.iter().any(|(kind, ..)| *kind == GOAWAY)
}

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn sec_dep_02_continuations_without_end_end_the_connection() {
    let stage = Stage::start().await;
    let before = stage.gateway.peak_memory();
    let more = fields(&[("x-a", &"a".repeat(100))]).repeat(100);
    let ended = flooded(&stage, 5_000, |number| match number {
        0 => frame(HEADERS, END_STREAM, 1, &fields(GET)),
        _ => frame(CONTINUATION, 0, 1, &more),
    })
    .await;
    assert!(ended);
    let grown = stage.gateway.peak_memory().saturating_sub(before);
    assert!(grown < 64 * MIB, "{grown}");
    stage.lives().await;
}

#[tokio::test]
async fn sec_dep_03_04_resets_in_masses_end_the_connection() {
    let stage = Stage::start().await;
    let before = stage.gateway.peak_memory();
    let authority = stage.gateway.authority();
    let block = fields(&[
        GET[0],
        GET[1],
        (":authority", &authority),
        (":path", "/public/slow"),
    ]);
    let opened = |number: usize| {
        let stream = u32::try_from(2 * number + 1).expect("small");
        let head = frame(HEADERS, END_STREAM | END_HEADERS, stream, &block);
        (stream, head)
    };
    let rapid = flooded(&stage, 20_000, |number| {
        let (stream, mut bytes) = opened(number);
        bytes.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
        bytes
    });
    assert!(rapid.await, "HEADERS and RST_STREAM (CVE-2023-44487)");
    let provoked = flooded(&stage, 5_000, |number| {
        let (stream, mut bytes) = opened(number);
        bytes.extend(frame(WINDOW_UPDATE, 0, stream, &[0; 4]));
        bytes
    });
    assert!(provoked.await, "WINDOW_UPDATE of nothing (CVE-2025-8671)");
    let grown = stage.gateway.peak_memory().saturating_sub(before);
    assert!(grown < 64 * MIB, "{grown}");
    stage.lives().await;
}

#[tokio::test]
async fn sec_dep_01_05_floods_of_small_frames_cost_no_memory() {
    let stage = Stage::start().await;
    let before = stage.gateway.peak_memory();
    let authority = stage.gateway.authority();
    let open = fields(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", &authority),
        (":path", "/public/slow"),
    ]);
    let empty = frame(DATA, 0, 1, &[]).repeat(1000);
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(1000);
    let settings = frame(SETTINGS, 0, 0, &[]).repeat(1000);
    for (what, piece) in [("DATA", empty), ("PING", pings), ("SETTINGS", settings)] {
        // Whether it hangs up or bears it is its own affair.
        flooded(&stage, 300, |number| match number {
            0 => frame(HEADERS, END_HEADERS, 1, &open),
            _ => piece.clone(),
        })
        .await;
        let grown = stage.gateway.peak_memory().saturating_sub(before);
        assert!(grown < 64 * MIB, "{what}: {grown}");
        stage.lives().await;
    }
}
