//! The gateway dies at every named place, on both stores, and comes back:
//! nothing that anybody was told is lost, no token is spent twice but where
//! the design says so, no lease holds longer than its time, and who signed
//! out stays out.
//!
//! Plain runs take some of the places; `tests/run --long` takes all.

mod outage;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep};

use crate::harness::browser::Browser;
use crate::harness::disk::Disk;
use crate::harness::gateway::Plan;
use crate::harness::part::{self, Part};
use crate::harness::provider::{CLIENT_ID, Endpoint, Fault, Provider, Signing, User};
use crate::harness::redis::Redis;
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::until;
use crate::harness::upstream::Upstream;
use vestibule::base::clock::Clock;
use vestibule::base::random;

/// A lease of 15 s, and a machine that is busy.
const LEASE_ENDS: Duration = Duration::from_secs(25);
/// One second is the aim; tests share their processor.
const BACK: Duration = Duration::from_secs(8);
/// Scenes at a time. Most of their time is waiting for a lease.
const TOGETHER: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Embedded,
    Redis,
}

struct Stage {
    scene: Scene,
    redis: Option<Redis>,
    /// Holds the embedded store while it is "away".
    holder: Option<rusqlite::Connection>,
    /// Signed in before anything dies.
    bystander: Browser,
    bystanders_cookie: String,
}

/// A tenth of a second is the aim.
const OPEN: Duration = Duration::from_secs(2);

/// How often something died, and what the slowest return and the slowest
/// opening of the database took (ms).
static DEATHS: AtomicUsize = AtomicUsize::new(0);
static SLOWEST: AtomicU64 = AtomicU64::new(0);
static SLOWEST_OPEN: AtomicU64 = AtomicU64::new(0);

impl Stage {
    async fn set(kind: Kind) -> Self {
        Self::with(kind, |plan, _| plan).await
    }

    async fn with(kind: Kind, change: impl FnOnce(Plan, &Upstream) -> Plan) -> Self {
        let redis = match kind {
            Kind::Embedded => None,
            Kind::Redis => Some(Redis::start().await),
        };
        let provider = Provider::start("oidc-plain").await;
        let upstream = Upstream::start().await;
        let plan = Plan::new(&provider.issuer, &upstream.url());
        // A machine that is too busy is not what dies here.
        let plan = plan.limits("store_timeout = \"3s\"\n");
        let mut plan = change(plan, &upstream).mortal();
        if let Some(redis) = &redis {
            plan = plan.redis(&redis.lines());
        }
        let gateway = plan.start().await;
        let scene = Scene {
            provider,
            upstream,
            gateway,
        };
        let bystander = scene.signed_in(User::bob()).await;
        Self {
            bystanders_cookie: session_cookie(&bystander),
            bystander,
            scene,
            redis,
            holder: None,
        }
    }

    /// Does `deed`, in which the gateway dies at `point`, and brings it back.
    async fn dies_during<T>(&mut self, point: &str, deed: impl Future<Output = T>) -> T {
        self.scene.gateway.die_at(point);
        let outcome = deed.await;
        self.scene.gateway.dies(point).await;
        let began = Instant::now();
        self.scene.gateway.restart().await;
        self.note_return(point, began);
        outcome
    }

    fn note_return(&self, point: &str, began: Instant) {
        let took = began.elapsed();
        assert!(took < BACK, "{point}: back after {took:?}");
        DEATHS.fetch_add(1, Ordering::Relaxed);
        let millis = |time: Duration| u64::try_from(time.as_millis()).expect("short");
        SLOWEST.fetch_max(millis(took), Ordering::Relaxed);
        if let Some(open) = self.scene.gateway.database_opened_in() {
            assert!(open < OPEN, "{point}: opened in {open:?}");
            SLOWEST_OPEN.fetch_max(millis(open), Ordering::Relaxed);
        }
    }

    async fn status(&self, browser: &Browser) -> u16 {
        let url = self.scene.gateway.url("/x");
        browser.fetch("GET", &url, &[]).await.status.as_u16()
    }

    /// What holds after every death.
    async fn nothing_else_happened(&self, point: &str) {
        assert_eq!(self.status(&self.bystander).await, 200, "{point}");
        assert_eq!(session_cookie(&self.bystander), self.bystanders_cookie);
        for echo in self.scene.upstream.requests() {
            let user = echo.one("x-forwarded-user");
            assert!(user.is_some(), "{point}: {} without a user", echo.target);
        }
        let mut codes: Vec<_> = self
            .scene
            .provider
            .recorded(Endpoint::Code)
            .iter()
            .map(|seen| seen.parameter("code"))
            .collect();
        let sent = codes.len();
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), sent, "{point}: a code was sent twice");
    }
}

/// Nothing comes back from a process that dies.
async fn unanswered(browser: &Browser, url: &str, point: &str) {
    let answer = browser.try_step(url).await;
    assert!(answer.is_err(), "{point}: answered {answer:?}");
}

/// Runs `scenario` for each place on each store: of `all` in long runs, of
/// `some` otherwise.
async fn everywhere<F: Future<Output = ()>>(
    test: &str,
    some: &[&'static str],
    all: &[&'static str],
    scenario: impl Fn(Kind, &'static str) -> F,
) {
    if !part::have(test, &[Part::KillPoints, Part::Redis]) {
        return;
    }
    assert!(some.iter().all(|point| all.contains(point)));
    let points = if part::long() { all } else { some };
    let kinds = |point: &'static str| {
        // Groups are what the embedded store commits; it can always be read,
        // and its gateway shares it with none for long.
        let embedded_only = point.starts_with("group.") || point.starts_with("layout.");
        let redis_only = point == "journal.adopted" || test.ends_with("never_read");
        let kinds: &[Kind] = match (embedded_only, redis_only) {
            (true, _) => &[Kind::Embedded],
            (_, true) => &[Kind::Redis],
            _ => &[Kind::Embedded, Kind::Redis],
        };
        kinds.iter().map(move |kind| (*kind, point))
    };
    let began = Instant::now();
    futures_util::stream::iter(points.iter().copied().flat_map(kinds))
        .for_each_concurrent(TOGETHER, |(kind, point)| scenario(kind, point))
        .await;
    println!(
        "{test}: {} deaths so far, slowest return {} ms, slowest opening of a database {} ms; {} s",
        DEATHS.load(Ordering::Relaxed),
        SLOWEST.load(Ordering::Relaxed),
        SLOWEST_OPEN.load(Ordering::Relaxed),
        began.elapsed().as_secs()
    );
}

#[tokio::test]
async fn g1_dead_in_a_sign_in() {
    everywhere(
        "g1_dead_in_a_sign_in",
        &["once.after", "login.exchanged", "put_ticket.after"],
        &[
            "once.before",
            "once.after",
            "login.exchanged",
            "login.identified",
            "index_add.before",
            "index_add.after",
            "create.before",
            "create.after",
            "put_ticket.before",
            "put_ticket.after",
            "once_finish.before",
            "once_finish.after",
            "login.unanswered",
        ],
        |kind, point| async move {
            let mut stage = Stage::set(kind).await;
            let ann = Browser::new();
            stage.scene.provider.set(|script| script.user = User::ann());
            let callback = stage.scene.callback_of(&ann).await;
            stage
                .dies_during(point, unanswered(&ann, callback.as_str(), point))
                .await;
            let codes = stage.scene.provider.count(Endpoint::Code);
            // She reloads the address on which nothing came.
            let answer = ann.open(callback.as_str()).await;
            assert_eq!(answer.status, 200, "{point}: {}", answer.text());
            assert_eq!(answer.url.path(), "/hello", "{point}");
            let again = stage.scene.provider.count(Endpoint::Code) - codes;
            let all_was_done = matches!(point, "once_finish.after" | "login.unanswered");
            assert!(
                again <= usize::from(!all_was_done),
                "{point}: {again} codes"
            );
            assert_eq!(stage.status(&ann).await, 200, "{point}");
            stage.nothing_else_happened(point).await;
        },
    )
    .await;
}

/// Which way a crash in a refresh may end.
#[derive(Debug, PartialEq, Eq)]
enum Toll {
    /// At once as if nothing had happened.
    Nothing,
    /// Waits for the lease, then the token is sent for the first time.
    Lease,
    /// Waits for the lease; the token was spent and its successor died with
    /// the process: one new sign-in, announced by design.
    SignIn,
}

fn toll(point: &str) -> Toll {
    match point {
        "claim.after" | "refresh.unsent" => Toll::Lease,
        "refresh.answered" | "commit.before" => Toll::SignIn,
        _ => Toll::Nothing,
    }
}

#[tokio::test]
async fn g1_dead_in_a_refresh() {
    everywhere(
        "g1_dead_in_a_refresh",
        &["refresh.unsent", "refresh.answered", "commit.after"],
        &[
            "claim.before",
            "claim.after",
            "refresh.unsent",
            "refresh.answered",
            "commit.before",
            "commit.after",
            "refresh.kept",
        ],
        |kind, point| async move {
            let mut stage = Stage::set(kind).await;
            let ann = ended_token(&stage).await;
            let url = stage.scene.gateway.url("/x");
            let deed = unanswered(&ann, &url, point);
            stage.dies_during(point, deed).await;
            let died = Instant::now();
            let status = settled(&stage, &ann, point).await;
            let reuse = stage.scene.provider.reuse();
            match toll(point) {
                Toll::Nothing => {
                    assert_eq!((status, reuse), (200, 0), "{point}");
                    let took = died.elapsed();
                    assert!(took < Duration::from_secs(5), "{point}: {took:?}");
                }
                Toll::Lease => assert_eq!((status, reuse), (200, 0), "{point}"),
                Toll::SignIn => {
                    assert_eq!((status, reuse), (401, 1), "{point}");
                    let again = stage.scene.sign_in(&ann, User::ann()).await;
                    assert_eq!(again.status, 200, "{point}");
                }
            }
            stage.nothing_else_happened(point).await;
        },
    )
    .await;
}

/// The provider is in trouble, and the gateway dies while it notes that.
#[tokio::test]
async fn g1_dead_in_the_release_of_a_claim() {
    everywhere(
        "g1_dead_in_the_release_of_a_claim",
        &["release.after"],
        &["release.before", "release.after"],
        |kind, point| async move {
            let mut stage = Stage::set(kind).await;
            let ann = ended_token(&stage).await;
            let fault = Fault::Busy {
                status: 503,
                retry_after: 1,
            };
            stage.scene.provider.fail(Endpoint::Refresh, [fault]);
            let url = stage.scene.gateway.url("/x");
            let deed = unanswered(&ann, &url, point);
            stage.dies_during(point, deed).await;
            assert_eq!(settled(&stage, &ann, point).await, 200, "{point}");
            assert_eq!(stage.scene.provider.reuse(), 0, "{point}");
            stage.nothing_else_happened(point).await;
        },
    )
    .await;
}

/// Ann, whose access token has ended; bob's lives on.
async fn ended_token(stage: &Stage) -> Browser {
    let provider = &stage.scene.provider;
    provider.set(|script| script.access_lifetime = 2);
    let ann = stage.scene.signed_in(User::ann()).await;
    provider.set(|script| script.access_lifetime = 3600);
    sleep(Duration::from_millis(2200)).await;
    ann
}

/// The first answer that is neither "wait" nor late.
async fn settled(stage: &Stage, browser: &Browser, point: &str) -> u16 {
    let end = Instant::now() + LEASE_ENDS;
    loop {
        match stage.status(browser).await {
            503 => assert!(Instant::now() < end, "{point}: the lease does not end"),
            status => return status,
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn g1_dead_in_a_sign_out() {
    everywhere(
        "g1_dead_in_a_sign_out",
        &["tombstone.before", "tombstone.after"],
        &[
            "tombstone.before",
            "tombstone.after",
            "index_remove.before",
            "index_remove.after",
            "remove_ticket.before",
            "remove_ticket.after",
            "sign_out.unanswered",
        ],
        |kind, point| async move {
            let mut stage = Stage::set(kind).await;
            let ann = stage.scene.signed_in(User::ann()).await;
            let thief = ann.twin();
            let origin = stage.scene.gateway.url("");
            let sign_out = stage.scene.gateway.own("/sign_out");
            let headers = [
                ("origin", origin.as_str()),
                ("content-type", "application/x-www-form-urlencoded"),
            ];
            let deed = ann.try_fetch("POST", &sign_out, &headers, Bytes::new());
            let answer = stage.dies_during(point, deed).await;
            assert!(answer.is_err(), "{point}: answered {answer:?}");
            if point == "tombstone.before" {
                // Nobody was told that she is out, and she is not; now she goes.
                assert_eq!(stage.status(&ann).await, 200, "{point}");
                let url = stage.scene.gateway.own("/sign_out");
                let answer = ann.try_fetch("POST", &url, &headers, Bytes::new()).await;
                let status = answer.expect("answers").status.as_u16();
                assert!(matches!(status, 200 | 303), "{point}: {status}");
            }
            for _ in 0..2 {
                assert_eq!(stage.status(&thief).await, 401, "{point}");
                stage.scene.gateway.restart().await;
            }
            stage.nothing_else_happened(point).await;
        },
    )
    .await;
}

/// Between the home host and another one.
#[tokio::test]
async fn g1_dead_in_a_hand_off() {
    everywhere(
        "g1_dead_in_a_hand_off",
        &["put_down.after", "take.after"],
        &[
            "put_down.before",
            "put_down.after",
            "take.before",
            "take.after",
            "put_ticket.before",
            "put_ticket.after",
            "hand_off.unanswered",
        ],
        |kind, point| async move {
            let mut stage = Stage::with(kind, |plan, upstream| {
                let port = plan.port();
                plan.route(&format!(
                    "[route.files]\nhost = \"files.localhost:{port}\"\nupstream = \"{}\"\n\
                     access = \"signed-in\"\n",
                    upstream.url()
                ))
            })
            .await;
            let ann = stage.scene.signed_in(User::ann()).await;
            let logins = stage.scene.logins();
            let files = format!(
                "http://files.localhost:{}/x",
                stage.scene.gateway.plan().port()
            );
            // To home with a wish, and back with a code.
            let home = ann.step(&files).await.location().expect("sent home");
            let last = if !point.starts_with("put_down") {
                let granted = ann.step(home.as_str()).await;
                granted.location().expect("granted")
            } else {
                home
            };
            let deed = unanswered(&ann, last.as_str(), point);
            stage.dies_during(point, deed).await;
            let answer = ann.open(&files).await;
            assert_eq!(answer.status, 200, "{point}: {}", answer.text());
            assert_eq!(
                stage.scene.logins(),
                logins,
                "{point}: nobody signed in again"
            );
            stage.nothing_else_happened(point).await;
        },
    )
    .await;
}

/// The provider orders a sign-out and gets no answer, so it orders again.
#[tokio::test]
async fn g1_dead_in_a_sign_out_that_the_provider_orders() {
    everywhere(
        "g1_dead_in_a_sign_out_that_the_provider_orders",
        &["once.after", "tombstone.after"],
        &[
            "once.before",
            "once.after",
            "index_add.before",
            "index_add.after",
            "tombstone.before",
            "tombstone.after",
            "index_remove.after",
            "once_finish.before",
            "once_finish.after",
        ],
        |kind, point| async move {
            let mut stage = Stage::set(kind).await;
            let ann = stage.scene.signed_in(User::ann()).await;
            let form = format!("logout_token={}", logout_token(&stage.scene.provider));
            let url = stage.scene.gateway.own("/backchannel_logout");
            let fields = [("content-type", "application/x-www-form-urlencoded")];
            let provider = Browser::new();
            let order = || provider.try_fetch("POST", &url, &fields, form.clone().into());
            let answer = stage.dies_during(point, order()).await;
            assert!(answer.is_err(), "{point}: answered {answer:?}");
            until::some("the order is carried out", || async {
                let answer = order().await.expect("answers");
                let status = answer.status.as_u16();
                // Carried out and noted: the second one is a replay.
                let noted = point == "once_finish.after" && status == 400;
                let known = matches!(status, 200 | 503) || noted;
                assert!(known, "{point}: {}", answer.text());
                (status != 503).then_some(())
            })
            .await;
            assert_eq!(stage.status(&ann).await, 401, "{point}");
            stage.nothing_else_happened(point).await;
        },
    )
    .await;
}

/// Ends every session of ann.
fn logout_token(provider: &Provider) -> String {
    let now = Clock::system().now().as_secs();
    let claims = serde_json::json!({
        "iss": provider.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 120,
        "jti": random::reference(), "sub": "sub-ann",
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    let claims = claims.as_object().expect("an object");
    let signing = Signing::Proper("ES256".to_owned());
    provider.sign(&signing, claims, "logout+jwt")
}

/// Many sign in at once; the process dies within some commit. Everybody who
/// was told so is signed in afterwards.
#[tokio::test]
async fn g1_dead_in_a_group_commit() {
    everywhere(
        "g1_dead_in_a_group_commit",
        &["group.committed"],
        &["group.written", "group.committed"],
        |kind, point| async move {
            let mut stage = Stage::set(kind).await;
            for _ in 0..if part::long() { 5 } else { 1 } {
                let crowd: Vec<_> = (0..12).map(|_| Browser::new()).collect();
                let url = stage.scene.gateway.url("/hello");
                let storm = futures_util::future::join_all(
                    crowd.iter().map(|browser| arrives(browser, &url)),
                );
                let told = stage.dies_during(point, storm).await;
                for (browser, told) in crowd.iter().zip(told) {
                    if told {
                        assert_eq!(stage.status(browser).await, 200, "{point}");
                    }
                }
                stage.nothing_else_happened(point).await;
            }
        },
    )
    .await;
}

/// Whether the browser got as far as a session cookie.
async fn arrives(browser: &Browser, url: &str) -> bool {
    let mut url = url.to_owned();
    for _ in 0..6 {
        let answer = browser.try_step(&url).await;
        let Some(next) = answer.ok().and_then(|answer| answer.location()) else {
            break;
        };
        url = next.to_string();
    }
    browser
        .cookies()
        .iter()
        .any(|cookie| cookie.name == "vestibule")
}

/// Dies while it makes its database, and makes it again.
#[tokio::test]
async fn g1_dead_in_the_first_start() {
    let test = "g1_dead_in_the_first_start";
    if !part::have(test, &[Part::KillPoints]) {
        return;
    }
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let plan = Plan::new(&provider.issuer, &upstream.url()).mortal();
    std::fs::write(plan.folder().join("kill-order"), "layout.written").expect("an order");
    let (status, log) = plan.ends(&["serve"]).await;
    assert!(
        !status.success() && log.contains("dies at layout.written"),
        "{log}"
    );
    let gateway = plan.start().await;
    let scene = Scene {
        provider,
        upstream,
        gateway,
    };
    scene.signed_in(User::ann()).await;
}

/// Dies between the two steps that make room on a full disk.
#[tokio::test]
async fn g1_dead_after_the_ballast_went() {
    let test = "g1_dead_after_the_ballast_went";
    if !part::have(test, &[Part::KillPoints]) {
        return;
    }
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let (disk, plan) = Disk::under(Plan::new(&provider.issuer, &upstream.url()).mortal());
    let gateway = plan.start().await;
    let mut scene = Scene {
        provider,
        upstream,
        gateway,
    };
    let ann = scene.signed_in(User::ann()).await;
    // The order lies on that disk too.
    scene.gateway.die_at("ballast.thrown");
    disk.is_full();
    // The store's own check writes once a second.
    scene.gateway.dies("ballast.thrown").await;
    scene.gateway.restart_unready().await;
    let url = scene.gateway.url("/x");
    assert_eq!(ann.fetch("GET", &url, &[]).await.status, 200);
    let origin = scene.gateway.url("");
    let headers = [
        ("origin", origin.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let sign_out = scene.gateway.own("/sign_out");
    let status = ann.fetch("POST", &sign_out, &headers).await.status.as_u16();
    assert!(matches!(status, 200 | 303), "{status}");
    assert_eq!(ann.fetch("GET", &url, &[]).await.status, 401);
}
