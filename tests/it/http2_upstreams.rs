//! Applications that speak HTTP/2, in plain text and where TLS agrees on it,
//! and that end their connections without a word.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

use crate::harness::gateway::{Gateway, Plan};
use crate::harness::h2_application::Application;
use crate::harness::h2_client::{Client, Told};
use crate::harness::provider::Provider;
use crate::harness::{tls, until};

struct Stage {
    application: Application,
    gateway: Gateway,
    _provider: Provider,
}

impl Stage {
    /// An open route to `application`.
    async fn of(application: Application, change: impl FnOnce(Plan) -> Plan) -> Self {
        let provider = Provider::start("oidc-plain").await;
        let plan = Plan::bare(&provider.issuer)
            .tls()
            .limits("open_requests_per_minute = 1000000000");
        let route = format!(
            "[route.app]\n{}\nrules = [ {{ path = \"/*\", lane = \"public\" }} ]\n",
            application.lines(plan.folder())
        );
        let gateway = change(plan.route(&route)).start().await;
        Self {
            application,
            gateway,
            _provider: provider,
        }
    }

    /// Both kinds of applications, one after the other.
    async fn both(change: impl Fn(Plan) -> Plan) -> [(&'static str, Self); 2] {
        [
            ("h2c", Self::of(Application::start().await, &change).await),
            (
                "TLS",
                Self::of(Application::over_tls().await, &change).await,
            ),
        ]
    }

    fn connections(&self) -> usize {
        self.application.state.connections.load(Ordering::SeqCst)
    }
}

/// The status of a request without a body, whose answer came whole.
async fn status(client: &Client, path: &str) -> StatusCode {
    let told = client.ask(path, &[], Bytes::new()).await;
    let told = told.expect("a whole answer");
    if told.status == StatusCode::OK {
        assert_eq!(told.trailers["grpc-status"], "0", "{path}: no end");
        let version = &told.json()["version"];
        assert_eq!(version, "HTTP/2.0");
    }
    told.status
}

#[tokio::test]
async fn tls_agrees_on_http2_and_the_first_request_passes() {
    let stage = Stage::of(Application::over_tls().await, |plan| plan).await;
    let client = Client::of(&stage.gateway).await;
    assert_eq!(status(&client, "/first").await, StatusCode::OK);
    assert_eq!(stage.application.state.asked("/first"), 1);
    assert_eq!(stage.connections(), 1, "used, once dialled");
    for _ in 0..20 {
        assert_eq!(status(&client, "/x").await, StatusCode::OK);
    }
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn requests_beside_one_another_share_connections_over_tls() {
    let stage = Stage::of(Application::over_tls().await, |plan| plan).await;
    let client = Client::of(&stage.gateway).await;
    assert_eq!(status(&client, "/first").await, StatusCode::OK);
    let slow = join_all((0..40).map(|_| status(&client, "/slow"))).await;
    assert_eq!(slow, [StatusCode::OK; 40]);
    let most = stage.application.state.most.load(Ordering::SeqCst);
    assert!(most > 10, "{most} beside one another");
    assert_eq!(stage.connections(), 1);
}

/// Nobody knows yet what it speaks, and there may be few connections.
#[tokio::test]
async fn a_burst_at_the_start_fails_nobody() {
    for limit in [2, 1024] {
        let stage = Stage::of(Application::over_tls().await, |plan| {
            plan.server("workers = 4")
                .limits(&format!("upstream_connections = {limit}"))
        })
        .await;
        let clients = join_all((0..8).map(|_| Client::of(&stage.gateway))).await;
        let burst = (0..80).map(|number| status(&clients[number % 8], "/slow"));
        assert_eq!(join_all(burst).await, [StatusCode::OK; 80], "{limit}");
        let before = stage.connections();
        let burst = (0..80).map(|number| status(&clients[number % 8], "/slow"));
        assert_eq!(join_all(burst).await, [StatusCode::OK; 80], "{limit}");
        assert_eq!(stage.connections(), before, "{limit}");
        println!("{limit}: {before} connections");
    }
}

/// As gRPC uses it: trailers both ways, and bodies in pieces.
#[tokio::test]
async fn streams_with_trailers_pass_where_tls_agrees_on_http2() {
    let stage = Stage::of(Application::over_tls().await, |plan| plan).await;
    let stream = tls::connect(&stage.gateway, "h2").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    // The first request of all has a body, the second goes where it went.
    for _ in 0..2 {
        let mut end = HeaderMap::new();
        end.insert("x-checksum", "abc".parse().expect("value"));
        end.insert("remote-user", "admin".parse().expect("value"));
        let frames = [
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from("hello "))),
            Ok(Frame::data(Bytes::from("there"))),
            Ok(Frame::trailers(end)),
        ];
        let origin = stage.gateway.plan().origin();
        let request = Request::post(format!("{origin}/pkg.Service/Call?x=1"))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(StreamBody::new(futures_util::stream::iter(frames)))
            .expect("request");
        let answer = sender.send_request(request).await.expect("an answer");
        let told = Told::read(answer).await.expect("a whole answer");
        assert_eq!(told.status, StatusCode::OK);
        assert_eq!(told.trailers["grpc-status"], "0");
        assert!(!told.trailers.contains_key("remote-user"));
        let seen = told.json();
        assert_eq!(seen["version"], "HTTP/2.0");
        let authority = stage.gateway.authority();
        let target = format!("https://{authority}/pkg.Service/Call?x=1");
        assert_eq!(seen["target"], target);
        assert_eq!(seen["headers"]["te"], "trailers");
        assert_eq!(seen["length"], 11);
        assert_eq!(seen["trailers"]["x-checksum"], "abc");
        assert_eq!(seen["trailers"]["remote-user"], Value::Null);
    }
    assert_eq!(stage.connections(), 1);
}

/// Every one of them had its request read, and none of them an answer.
#[tokio::test]
async fn requests_on_a_connection_that_is_killed_are_asked_once_more() {
    const BESIDE: usize = 20;
    for (kind, stage) in Stage::both(|plan| plan.server("workers = 2")).await {
        let state = &stage.application.state;
        let clients = join_all((0..3).map(|_| Client::of(&stage.gateway))).await;
        for round in 0..20 {
            state.resets.store(round % 4 > 1, Ordering::SeqCst);
            for client in &clients {
                assert_eq!(status(client, "/x").await, StatusCode::OK);
            }
            if round % 2 == 0 {
                // While nobody waits: the next ones may come before it shows.
                assert!(stage.application.kill() > 0);
                let next = clients.iter().map(|client| status(client, "/next"));
                assert_eq!(join_all(next).await, [StatusCode::OK; 3], "{kind} {round}");
                continue;
            }
            let path = |number| format!("/once/{round}/{number}");
            let paths: Vec<_> = (0..BESIDE).map(path).collect();
            let asked = paths.iter().enumerate().map(|(number, path)| {
                let client = &clients[number % clients.len()];
                status(client, path)
            });
            let killing = async {
                let waits = |path: &String| state.asked(path) == 1;
                until::holds("all are waiting", || paths.iter().all(waits)).await;
                assert!(stage.application.kill() > 0);
            };
            let (told, ()) = tokio::join!(join_all(asked), killing);
            assert_eq!(told, [StatusCode::OK; BESIDE], "{kind} {round}");
            let asked = paths.iter().map(|path| state.asked(path));
            assert!(asked.max() == Some(2), "{kind} {round}: asked for ever");
        }
        let connections = stage.connections();
        println!("{kind}: {connections} connections");
        // Two workers, and each kill may cost every one of them a new one.
        assert!(connections <= 20 * 2 * 2 + 2, "{kind}: {connections}");
    }
}

/// A burst that had to find out what the application speaks has several
/// connections, all of which end at once.
#[tokio::test]
async fn a_burst_whose_connections_are_all_killed_is_asked_once_more() {
    const BESIDE: usize = 40;
    for runtime in ["per-core", "shared"] {
        let stage = Stage::of(Application::over_tls().await, |plan| {
            plan.server(&format!("runtime = \"{runtime}\"\nworkers = 2"))
        })
        .await;
        let state = &stage.application.state;
        let clients = join_all((0..4).map(|_| Client::of(&stage.gateway))).await;
        let burst = (0..BESIDE).map(|number| status(&clients[number % 4], "/x"));
        assert_eq!(join_all(burst).await, [StatusCode::OK; BESIDE]);
        assert!(stage.connections() > 2, "nothing is left to chance");
        let mut firsts = 0;
        for round in 0..10 {
            for client in &clients {
                assert_eq!(status(client, "/x").await, StatusCode::OK);
            }
            let path = |number| format!("/once/{round}-{number}");
            let paths: Vec<_> = (0..BESIDE).map(path).collect();
            let asked = (0..BESIDE).map(|number| status(&clients[number % 4], &paths[number]));
            let killing = async {
                let waits = |path: &String| state.asked(path) == 1;
                until::holds("all are waiting", || paths.iter().all(waits)).await;
                stage.application.kill();
            };
            let (told, ()) = tokio::join!(join_all(asked), killing);
            let failed = paths.iter().zip(told).filter(|(path, told)| {
                let times = if *told == StatusCode::OK { 2 } else { 1 };
                assert_eq!(state.asked(path), times, "{runtime} {round}: {told}");
                times == 1
            });
            firsts += failed.count();
        }
        // The first ones on new connections: where threads share the requests
        // one may find itself without any.
        let most = if runtime == "shared" { 10 } else { 0 };
        assert!(firsts <= most, "{runtime}: {firsts}");
    }
}

/// Requests that come all the time, and kills now and then. Their answers are
/// one frame each: half an answer could not be asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_fail_no_request_that_may_be_repeated() {
    const KILLS: usize = 15;
    for (kind, stage) in Stage::both(|plan| plan.server("workers = 2")).await {
        let state = &stage.application.state;
        let clients = join_all((0..4).map(|_| Client::of(&stage.gateway))).await;
        let over = AtomicBool::new(false);
        let asking = (0..16).map(|number| {
            let (client, over) = (&clients[number % 4], &over);
            async move {
                let path = format!("/head/{}", number % 4);
                while !over.load(Ordering::SeqCst) {
                    let told = client.ask(&path, &[], Bytes::new()).await;
                    assert_eq!(told.expect("an answer").status, StatusCode::OK, "{kind}");
                }
            }
        });
        let killing = async {
            for number in 0..KILLS {
                // All of them have left the last one behind.
                let counts = || [0, 1, 2, 3].map(|client| state.asked(&format!("/head/{client}")));
                let before = counts();
                until::holds("they go on", || {
                    let mut all = before.iter().zip(counts());
                    all.all(|(before, now)| now >= before + 40)
                })
                .await;
                state.resets.store(number % 2 == 0, Ordering::SeqCst);
                assert!(stage.application.kill() > 0);
            }
            over.store(true, Ordering::SeqCst);
        };
        tokio::join!(join_all(asking), killing);
    }
}

/// An order is never given twice, and one who kills whatever is new is
/// not asked for ever.
#[tokio::test]
async fn what_may_not_be_repeated_is_not() {
    for (kind, stage) in Stage::both(|plan| plan).await {
        let state = &stage.application.state;
        let client = Client::of(&stage.gateway).await;
        for (method, body) in [("POST", "order"), ("POST", ""), ("PATCH", "")] {
            assert_eq!(status(&client, "/x").await, StatusCode::OK);
            let path = format!("/once/{method}{body}");
            let asked = client.send(method, &path, &[], Bytes::from(body));
            let killing = async {
                until::holds("it waits", || state.asked(&path) == 1).await;
                stage.application.kill();
            };
            let (told, ()) = tokio::join!(asked, killing);
            let status = told.expect("a page").status;
            assert_eq!(status, StatusCode::BAD_GATEWAY, "{kind} {path}");
            assert_eq!(state.asked(&path), 1, "{kind} {path}");
        }

        state.refuses.store(true, Ordering::SeqCst);
        stage.application.kill();
        until::holds("the gateway has noticed", || stage.application.kill() == 0).await;
        let fresh = loop {
            // Until its first try is a connection of its own.
            let path = format!("/fresh/{}", stage.connections());
            assert_eq!(
                status(&client, &path).await,
                StatusCode::BAD_GATEWAY,
                "{kind}"
            );
            if state.asked(&path) == 1 {
                break path;
            }
        };
        assert_eq!(state.asked(&fresh), 1);
        state.refuses.store(false, Ordering::SeqCst);
        assert_eq!(status(&client, "/x").await, StatusCode::OK, "{kind}");
    }
}

/// Whose clients do not read: not the business of others on the connection.
#[tokio::test]
async fn answers_that_nobody_reads_hold_up_no_others() {
    for (kind, stage) in Stage::both(|plan| plan.server("workers = 1")).await {
        let client = Client::of(&stage.gateway).await;
        assert_eq!(status(&client, "/first").await, StatusCode::OK);
        let clients = join_all((0..30).map(|_| Client::of(&stage.gateway))).await;
        let unread = join_all(clients.iter().map(|client| client.begin("/endless"))).await;
        for answer in &unread {
            let answer = answer.as_ref().expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
        }
        let sent = || stage.application.state.sent.load(Ordering::SeqCst);
        let mut before = 0;
        until::holds("nothing goes on", || {
            let now = sent();
            now > 0 && std::mem::replace(&mut before, now) == now
        })
        .await;
        let asked = async {
            for _ in 0..5 {
                assert_eq!(status(&client, "/x").await, StatusCode::OK, "{kind}");
            }
        };
        let asked = tokio::time::timeout(Duration::from_secs(10), asked).await;
        asked.unwrap_or_else(|_| panic!("{kind}: held up"));
        assert_eq!(stage.connections(), 1, "{kind}");
    }
}

/// Answers that have begun and do not end.
async fn begun(clients: &[Client], number: usize) -> Vec<Response<Incoming>> {
    let mut begun = Vec::new();
    for number in 0..number {
        let answer = clients[number % clients.len()].begin("/rests-long").await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        begun.push(answer);
    }
    begun
}

#[tokio::test]
async fn where_no_more_streams_fit_another_connection_is_made() {
    // As many as the upstream allows, or as we do.
    for (allowed, held, connections) in [(8, 8, 2), (8, 20, 3), (0, 64, 2), (0, 63, 1)] {
        for application in [Application::start().await, Application::over_tls().await] {
            let what = format!("{allowed} {held}");
            application.state.streams.store(allowed, Ordering::SeqCst);
            let stage = Stage::of(application, |plan| {
                plan.server("workers = 1").limits("upstream_idle = \"1s\"")
            })
            .await;
            let clients = join_all((0..2).map(|_| Client::of(&stage.gateway))).await;
            let asked = async {
                let begun = begun(&clients, held).await;
                // What is over has left its place to the next one.
                for _ in 0..20 {
                    assert_eq!(status(&clients[0], "/x").await, StatusCode::OK, "{what}");
                }
                begun
            };
            let begun = tokio::time::timeout(until::PATIENCE, asked).await;
            let begun = begun.unwrap_or_else(|_| panic!("{what}: waited in vain"));
            assert_eq!(stage.connections(), connections, "{what}");
            drop(begun);
            let idle = || stage.application.open() == 0;
            until::holds("the idle connections are closed", idle).await;
        }
    }
}

#[tokio::test]
async fn a_silent_stream_keeps_its_connection_in_use() {
    let stage = Stage::of(Application::start().await, |plan| {
        plan.server("workers = 1").limits("upstream_idle = \"1s\"")
    })
    .await;
    let client = Client::of(&stage.gateway).await;
    let begun = begun(std::slice::from_ref(&client), 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(status(&client, "/x").await, StatusCode::OK);
    assert_eq!(stage.connections(), 1);
    drop(begun);
    let idle = || stage.application.open() == 0;
    until::holds("the idle connection is closed", idle).await;
}
