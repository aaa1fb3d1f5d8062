//! The chaos proxy and the provider's faults checked without any gateway.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::harness::browser::Browser;
use crate::harness::chaos::{Chaos, End, Path, Weather};
use crate::harness::provider::{CLIENT_ID, CLIENT_SECRET, Endpoint, Fault, Keys, Provider};
use crate::harness::wire;

/// Sends everything back, and FIN for FIN.
async fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("listens");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                drop(tokio::io::copy(&mut from, &mut to).await);
                drop(to.shutdown().await);
            });
        }
    });
    address
}

/// Sends `bytes` and FIN; what came back, how it ended and how long it took.
async fn talk(chaos: &Chaos, bytes: &[u8]) -> (Vec<u8>, Result<(), String>, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(chaos.address).await.expect("connects");
    let (mut from, mut to) = stream.split();
    let mut back = Vec::new();
    let (_, end) = tokio::join!(
        async {
            drop(to.write_all(bytes).await);
            drop(to.shutdown().await);
        },
        from.read_to_end(&mut back)
    );
    let end = end.map(drop).map_err(|error| error.kind().to_string());
    (back, end, began.elapsed())
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test]
async fn chaos_slows_and_slices() {
    let chaos = Chaos::before(echo().await).await;
    let text = vec![7; 100_000];
    let (back, end, _) = talk(&chaos, &text).await;
    assert_eq!((back == text, end), (true, Ok(())), "calm");
    assert_eq!(chaos.carried(), (100_000, 100_000));

    chaos.set(Weather::both(|path| path.latency = ms(150)));
    let (back, _, took) = talk(&chaos, &text).await;
    assert_eq!(back, text);
    assert!(took >= ms(300), "there and back: {took:?}");
    assert!(took < ms(3000), "chunks travel at the same time: {took:?}");

    chaos.set(Weather::to_client(|path| path.rate = Some(200_000)));
    let (back, _, took) = talk(&chaos, &text).await;
    assert_eq!(back, text);
    assert!(took >= ms(400), "{took:?}");

    // All but certain to meet some of ten segments.
    let wild = Path {
        jitter: ms(20),
        loss: 90,
        slice: Some(1000),
        ..Path::default()
    };
    chaos.set(Weather {
        to_server: wild,
        ..Weather::default()
    });
    let (back, end, took) = talk(&chaos, &text).await;
    assert_eq!((back == text, end), (true, Ok(())));
    assert!(took >= ms(200), "{took:?}");

    chaos.set(Weather::to_client(|path| path.corrupt = Some(70_000)));
    let (back, ..) = talk(&chaos, &text).await;
    let wrong: Vec<_> = (0..text.len())
        .filter(|at| back[*at] != text[*at])
        .collect();
    assert_eq!(wrong, [70_000]);
}

#[tokio::test]
async fn chaos_ends_connections_in_every_way() {
    let chaos = Chaos::before(echo().await).await;
    let text = vec![7; 5000];
    chaos.set(Weather::to_client(|path| {
        path.end = Some((1234, End::Close))
    }));
    let (back, end, _) = talk(&chaos, &text).await;
    assert_eq!((back.len(), end), (1234, Ok(())), "truncated");

    chaos.set(Weather::to_client(|path| {
        path.end = Some((1234, End::Reset))
    }));
    let (_, end, _) = talk(&chaos, &text).await;
    assert_eq!(end, Err("connection reset".to_owned()));

    // The server hears the end of what it reads; its answer still comes whole.
    chaos.set(Weather::to_server(|path| {
        path.end = Some((1234, End::HalfClose))
    }));
    let mut stream = TcpStream::connect(chaos.address).await.expect("connects");
    stream.write_all(&text).await.expect("writes");
    let mut back = Vec::new();
    let read = timeout(ms(5000), stream.read_to_end(&mut back)).await;
    assert_eq!(read.expect("in time").expect("reads"), 1234);

    // Only the next connection; the one after it is common.
    chaos.calm();
    chaos.next(Weather::refused());
    assert!(talk(&chaos, &text).await.1.is_err());
    assert_eq!(talk(&chaos, &text).await.0, text);

    let mut open = TcpStream::connect(chaos.address).await.expect("connects");
    open.write_all(b"x").await.expect("writes");
    open.read_exact(&mut [0]).await.expect("echoes");
    chaos.down().await;
    let error = open.read_exact(&mut [0]).await.expect_err("cut");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(chaos.address).await.expect_err("down");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    chaos.up().await;
    assert_eq!(talk(&chaos, &text).await.0, text);
}

#[tokio::test]
async fn chaos_stalls_until_the_weather_changes() {
    let chaos = Chaos::before(echo().await).await;
    chaos.set(Weather::stalled());
    let done = AtomicBool::new(false);
    let (answer, ()) = tokio::join!(
        async {
            let answer = talk(&chaos, b"hello").await;
            assert!(done.load(Ordering::Relaxed), "answered while stalled");
            answer
        },
        async {
            tokio::time::sleep(ms(300)).await;
            done.store(true, Ordering::Relaxed);
            chaos.calm();
        }
    );
    assert_eq!(answer.0, b"hello");

    chaos.set(Weather::to_client(|path| path.stall = Some(3)));
    let mut stream = TcpStream::connect(chaos.address).await.expect("connects");
    stream.write_all(b"hello").await.expect("writes");
    let mut back = [0; 5];
    stream.read_exact(&mut back[..3]).await.expect("three");
    let fourth = timeout(ms(200), stream.read_exact(&mut back[3..])).await;
    assert!(fourth.is_err(), "stopped in the middle");
}

async fn refresh(provider: &Provider, token: &str) -> Result<wire::Answer, String> {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", token)
        .append_pair("client_id", CLIENT_ID)
        .append_pair("client_secret", CLIENT_SECRET)
        .finish();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let url = format!("{}/token", provider.issuer);
    Browser::new()
        .try_fetch("POST", &url, &headers, form.into())
        .await
}

async fn discovery(provider: &Provider) -> Result<wire::Answer, String> {
    let url = format!("{}/.well-known/openid-configuration", provider.issuer);
    Browser::new()
        .try_fetch("GET", &url, &[], Bytes::new())
        .await
}

#[tokio::test]
async fn provider_sends_late_cut_short_in_drops_and_without_end() {
    let (provider, chaos) = Provider::behind_chaos("oidc-plain").await;
    let whole = discovery(&provider).await.expect("answers");
    assert_eq!(whole.json()["issuer"], provider.issuer);
    assert!(chaos.taken() > 0);
    provider.fail(
        Endpoint::Discovery,
        [
            Fault::Truncate(40),
            Fault::Drip(100, ms(20)),
            Fault::Delay(ms(200)),
            Fault::DelayAnswer(ms(200)),
            Fault::Flood(100_000),
            Fault::page(502),
        ],
    );
    assert!(discovery(&provider).await.is_err(), "cut short");
    for fault in ["drip", "delay", "delay of the answer"] {
        let began = Instant::now();
        let answer = discovery(&provider).await.expect("answers");
        assert_eq!(answer.body, whole.body, "{fault}");
        assert!(began.elapsed() >= ms(100), "{fault}");
    }
    let flood = discovery(&provider).await.expect("answers");
    assert_eq!(flood.body.len(), 100_001);
    assert_eq!(discovery(&provider).await.expect("answers").status, 502);
}

#[tokio::test]
async fn provider_changes_any_answer_its_keys_and_its_clock() {
    let provider = Provider::start("gitea-like").await;
    provider.set(|script| {
        script.answer_of(Endpoint::Discovery, |document| {
            document.insert("issuer".to_owned(), "http://elsewhere.test".into());
        });
        script.answer_of(Endpoint::Jwks, |set| drop(set.remove("keys")));
        script.answer_of(Endpoint::EndSession, |parameters| {
            parameters.insert("state".to_owned(), "another".into());
        });
        script.skew = -600;
    });
    let document = discovery(&provider).await.expect("answers");
    assert_eq!(document.json()["issuer"], "http://elsewhere.test");
    let date = httpdate::parse_http_date(document.header("date")).expect("a date");
    let behind = date.elapsed().expect("in the past").as_secs();
    assert!((595..620).contains(&behind), "{behind}");
    let jwks = format!("{}/jwks", provider.issuer);
    assert_eq!(wire::get(&jwks).await.text(), "{}");
    let out = format!(
        "{}/end_session?state=s&post_logout_redirect_uri=http://app.localhost:1/",
        provider.issuer
    );
    let back = Browser::new().step(&out).await.location().expect("back");
    assert_eq!(back.query(), Some("state=another"));

    provider.set(|script| script.alter.clear());
    let ids = |set: Value| -> Vec<String> {
        let keys = set["keys"].as_array().expect("keys").iter();
        keys.map(|key| key["kid"].as_str().expect("kid").to_owned())
            .collect()
    };
    assert_eq!(ids(wire::get(&jwks).await.json()), ["es-1", "rs-1"]);
    provider.rotate_keys();
    assert_eq!(ids(wire::get(&jwks).await.json()), ["es-2", "rs-2"]);
    provider.set(|script| {
        script.keys = Keys {
            signing: 3,
            published: vec![2, 3],
        };
    });
    let both = ["es-2", "rs-2", "es-3", "rs-3"];
    assert_eq!(ids(wire::get(&jwks).await.json()), both);

    provider.lose_refresh_tokens();
    let refused = refresh(&provider, "refresh-whatever")
        .await
        .expect("answers");
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("unable to parse refresh token"));
}
