//! Several hosts, one sign-in: the hand-off with all that may go wrong on the
//! way, and the domain scope, which needs none.

use url::Url;

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::provider::{Endpoint, Provider, User};
use crate::harness::upstream::Upstream;
use crate::harness::wire::Answer;

/// `app.localhost` is home and has no route; `files` and `notes` are the
/// applications.
struct Hosts {
    provider: Provider,
    upstream: Upstream,
    base: Plan,
    gateway: Gateway,
}

fn port(plan: &Plan) -> u16 {
    Url::parse(&plan.origin()).unwrap().port().unwrap()
}

fn route(plan: &Plan, upstream: &Upstream, name: &str, host: &str) -> String {
    format!(
        "[route.{name}]\nhost = \"{host}:{}\"\nupstream = \"{}\"\naccess = \"signed-in\"\n",
        port(plan),
        upstream.url()
    )
}

impl Hosts {
    async fn start() -> Self {
        Self::with(|plan| plan).await
    }

    async fn with(change: impl FnOnce(Plan) -> Plan) -> Self {
        let provider = Provider::start("oidc-plain").await;
        let upstream = Upstream::start().await;
        let base = change(Plan::bare(&provider.issuer));
        let plan = base
            .clone()
            .route(&route(&base, &upstream, "files", "files.localhost"))
            .route(&route(&base, &upstream, "notes", "notes.localhost"));
        let gateway = plan.start().await;
        Self {
            provider,
            upstream,
            base,
            gateway,
        }
    }

    /// One route for the names below `wildcard`; home is `app.localhost`.
    async fn below(wildcard: &str, session: &str) -> Self {
        let provider = Provider::start("oidc-plain").await;
        let upstream = Upstream::start().await;
        let base = Plan::bare(&provider.issuer).session(session);
        let plan = base
            .clone()
            .route(&route(&base, &upstream, "wide", wildcard));
        let gateway = plan.start().await;
        Self {
            provider,
            upstream,
            base,
            gateway,
        }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}.localhost:{}{path}", port(&self.base))
    }

    async fn signed_in(&self, user: User) -> Browser {
        self.provider.set(|script| script.user = user);
        let browser = Browser::new();
        let answer = browser.open(&self.url("files", "/hello")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        browser
    }

    /// A browser that is signed in at home and nowhere else.
    async fn at_home(&self, user: User) -> Browser {
        self.provider.set(|script| script.user = user);
        let browser = Browser::new();
        let answer = browser.open(&self.gateway.own("/")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        browser
    }

    async fn status(&self, browser: &Browser, host: &str) -> u16 {
        let url = self.url(host, "/x");
        browser.fetch("GET", &url, &[]).await.status.as_u16()
    }

    fn logins(&self) -> (usize, usize) {
        (
            self.provider.count(Endpoint::Authorize),
            self.provider.count(Endpoint::Code),
        )
    }

    /// From `host` to home, which grants: the address with the code.
    async fn code_for(&self, browser: &Browser, host: &str) -> Url {
        let home = browser.step(&self.url(host, "/x")).await;
        let granted = browser.step(location(&home).as_str()).await;
        assert_eq!(granted.status, 303, "{}", granted.text());
        assert_eq!(granted.header("referrer-policy"), "no-referrer");
        assert_eq!(granted.header("cache-control"), "no-store");
        location(&granted)
    }
}

fn location(answer: &Answer) -> Url {
    answer.location().unwrap_or_else(|| {
        panic!(
            "{} {} is no redirect: {}",
            answer.url,
            answer.status,
            answer.text()
        )
    })
}

fn session_cookies(browser: &Browser) -> Vec<(String, String)> {
    let cookies = browser.cookies().into_iter();
    let ours = cookies.filter(|cookie| cookie.name == "vestibule");
    let mut found: Vec<_> = ours.map(|cookie| (cookie.domain, cookie.value)).collect();
    found.sort();
    found
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 400, "{}: {}", answer.url, answer.text());
    assert!(answer.set_cookies().is_empty(), "{:?}", answer.headers);
    assert!(
        answer.text().contains("did not arrive"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn one_sign_in_serves_every_host() {
    let hosts = Hosts::start().await;
    let browser = Browser::new();
    for (host, path) in [
        ("files", "/a?b=c%26d"),
        ("notes", "/n"),
        ("files", "/again"),
    ] {
        let answer = browser.open(&hosts.url(host, path)).await;
        assert_eq!(answer.url.as_str(), hosts.url(host, path));
        let echo = Echo::of(&answer);
        assert_eq!(echo.target, path);
        assert_eq!(echo.one("x-forwarded-user"), Some("sub-ann"));
        assert_eq!(echo.one("cookie"), None, "ours stay with us");
    }
    assert_eq!(hosts.logins(), (1, 1));
    let cookies = session_cookies(&browser);
    let domains: Vec<&str> = cookies.iter().map(|(domain, _)| domain.as_str()).collect();
    assert_eq!(
        domains,
        ["app.localhost", "files.localhost", "notes.localhost"]
    );
    assert!(cookies[0].1 != cookies[1].1 && cookies[1].1 != cookies[2].1);
    let left = browser.cookies_named("vestibule-h-");
    assert!(
        left.iter().all(|cookie| cookie.domain == "app.localhost"),
        "the secret is dropped: {left:?}"
    );
    // Neither wish nor code is written down.
    let log = hosts.gateway.log();
    for url in browser.history() {
        for (name, value) in url.query_pairs() {
            if name == "h" || name == "code" {
                assert!(!log.contains(&*value), "{name} is in the log");
            }
        }
    }
}

#[tokio::test]
async fn names_below_a_wildcard_have_sessions_of_their_own() {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let base = Plan::bare(&provider.issuer);
    let plan = base
        .clone()
        .route(&route(&base, &upstream, "wild", "*.wild.localhost"));
    let gateway = plan.start().await;
    let hosts = Hosts {
        provider,
        upstream,
        base,
        gateway,
    };
    let browser = Browser::new();
    for host in ["one.wild", "two.wild", "one.wild"] {
        let answer = browser.open(&hosts.url(host, "/x")).await;
        assert_eq!(answer.url.as_str(), hosts.url(host, "/x"));
        assert_eq!(Echo::of(&answer).one("x-forwarded-user"), Some("sub-ann"));
    }
    assert_eq!(hosts.logins(), (1, 1));
    let cookies = session_cookies(&browser);
    let domains: Vec<&str> = cookies.iter().map(|(domain, _)| domain.as_str()).collect();
    assert_eq!(
        domains,
        ["app.localhost", "one.wild.localhost", "two.wild.localhost"]
    );
}

#[tokio::test]
async fn the_secret_stays_on_the_host_that_asks() {
    let hosts = Hosts::start().await;
    let browser = Browser::new();
    for _ in 0..20 {
        let answer = browser.step(&hosts.url("files", "/x")).await;
        assert_eq!(answer.status, 302);
        let home = location(&answer);
        assert!(home.as_str().starts_with(&hosts.gateway.own("/start?h=")));
    }
    let kept = browser.cookies_named("vestibule-h-");
    assert_eq!(kept.len(), 16);
    for cookie in &kept {
        assert_eq!(cookie.domain, "files.localhost");
        assert!(cookie.host_only && cookie.http_only);
        assert_eq!(cookie.same_site, "lax");
        assert_eq!(cookie.max_age, Some(600));
    }
    assert_eq!(hosts.logins(), (0, 0), "nobody went to the provider");
}

#[tokio::test]
async fn sec_ses_another_browsers_wish_gives_it_nothing() {
    let hosts = Hosts::start().await;
    let ann = hosts.at_home(User::ann()).await;
    let mallory = Browser::new();
    let wish = location(&mallory.step(&hosts.url("files", "/x")).await);
    // Ann is lured: her session is granted to a secret that she does not have.
    let granted = ann.link("http://evil.localhost/", wish.as_str()).await;
    let code = location(&granted);
    assert_refused(&ann.step(code.as_str()).await);
    // Nor does the code help Mallory: Ann spent it.
    assert_refused(&mallory.step(code.as_str()).await);
    assert_eq!(hosts.status(&mallory, "files").await, 401);
    assert_eq!(hosts.status(&ann, "files").await, 401);
}

#[tokio::test]
async fn sec_ses_another_browsers_code_signs_nobody_in() {
    let hosts = Hosts::start().await;
    let mallory = hosts.at_home(User::bob()).await;
    let code = hosts.code_for(&mallory, "files").await;
    let ann = Browser::new();
    ann.step(&hosts.url("files", "/x")).await;
    assert_refused(&ann.link("http://evil.localhost/", code.as_str()).await);
    assert_eq!(hosts.status(&ann, "files").await, 401);
    assert!(session_cookies(&ann).is_empty());
    // It is spent for its owner too, who simply asks again.
    assert_refused(&mallory.step(code.as_str()).await);
    let answer = mallory.open(&hosts.url("files", "/x")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn sec_ses_codes_and_wishes_work_once() {
    let hosts = Hosts::start().await;
    let ann = hosts.at_home(User::ann()).await;
    let wish = location(&ann.step(&hosts.url("files", "/x")).await);
    let code = location(&ann.step(wish.as_str()).await);
    let thief = ann.twin();
    let landed = ann.step(code.as_str()).await;
    assert_eq!(landed.status, 303);
    assert_eq!(location(&landed).as_str(), hosts.url("files", "/x"));
    // Even with a copy of every cookie of that moment.
    assert_refused(&thief.step(code.as_str()).await);
    assert_refused(&ann.step(code.as_str()).await);
    // The wish again: its secret is gone.
    let again = location(&ann.step(wish.as_str()).await);
    assert_refused(&ann.step(again.as_str()).await);
    assert_eq!(hosts.status(&ann, "files").await, 200, "still signed in");
    for junk in ["", "x", &"A".repeat(43), "%00"] {
        let url = hosts.url("files", &format!("/oauth2/handoff?code={junk}"));
        assert_refused(&ann.step(&url).await);
    }
    for query in ["", "?code=a&code=b"] {
        let url = hosts.url("files", &format!("/oauth2/handoff{query}"));
        assert_eq!(ann.step(&url).await.status, 400);
    }
}

#[tokio::test]
async fn sec_ses_a_code_of_one_host_is_nothing_at_another() {
    let hosts = Hosts::start().await;
    let ann = hosts.at_home(User::ann()).await;
    ann.step(&hosts.url("notes", "/x")).await;
    let code = hosts.code_for(&ann, "files").await;
    let query = code.query().unwrap();
    let elsewhere = hosts.url("notes", &format!("/oauth2/handoff?{query}"));
    assert_refused(&ann.step(&elsewhere).await);
    assert_eq!(hosts.status(&ann, "notes").await, 401);
    // Home has no such endpoint, and unknown names are not ours at all.
    let code = hosts.code_for(&ann, "files").await;
    let path = format!("/oauth2/handoff?{}", code.query().unwrap());
    assert_eq!(ann.step(&hosts.url("app", &path)).await.status, 404);
    assert_eq!(ann.step(&hosts.url("evil", &path)).await.status, 421);
    let start = ann.step(&hosts.url("evil", "/oauth2/start?rd=/")).await;
    assert_eq!(start.status, 421);
    assert!(start.set_cookies().is_empty());
    // Neither spent it, and no script can.
    assert_eq!(
        ann.fetch("GET", code.as_str(), &[]).await.status,
        400,
        "navigations only"
    );
    assert_eq!(ann.step(code.as_str()).await.status, 303);
}

#[tokio::test]
async fn sec_ses_an_edited_wish_is_refused() {
    let hosts = Hosts::start().await;
    let ann = hosts.at_home(User::ann()).await;
    let start = location(&ann.step(&hosts.url("files", "/x")).await);
    let (_, wish) = start.query_pairs().next().unwrap();
    let mut edited: Vec<String> = [0, 1, 2, 5, 30, wish.len() / 2, wish.len() - 2]
        .into_iter()
        .map(|at| {
            let mut bytes = wish.clone().into_owned().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        })
        .collect();
    edited.extend([
        String::new(),
        "x".to_owned(),
        wish[..wish.len() - 1].to_owned(),
        format!("{wish}A"),
        "{\"o\":\"http://evil.localhost\"}".to_owned(),
    ]);
    for edited in edited {
        let encoded: String = url::form_urlencoded::byte_serialize(edited.as_bytes()).collect();
        let url = hosts.gateway.own(&format!("/start?h={encoded}"));
        let answer = ann.step(&url).await;
        assert_refused(&answer);
        assert!(answer.location().is_none());
    }
    let twice = format!("{start}&h={wish}");
    assert_eq!(ann.step(&twice).await.status, 400);
}

#[tokio::test]
async fn sec_ses_an_origin_that_a_new_configuration_dropped_gets_nothing() {
    let hosts = Hosts::start().await;
    let ann = hosts.at_home(User::ann()).await;
    let wish = location(&ann.step(&hosts.url("notes", "/x")).await);
    let code = hosts.code_for(&ann, "notes").await;
    let files = route(&hosts.base, &hosts.upstream, "files", "files.localhost");
    let second = hosts.base.replica().route(&files).start().await;
    for host in ["app", "notes", "files"] {
        let authority = format!("{host}.localhost:{}", port(&hosts.base));
        ann.detour(&authority, second.address());
    }
    assert_refused(&ann.step(wish.as_str()).await);
    assert_eq!(ann.step(code.as_str()).await.status, 421);
    // What is left works as before, with the same session.
    assert_eq!(ann.open(&hosts.url("files", "/x")).await.status, 200);
    assert_eq!(hosts.logins(), (1, 1));
}

#[tokio::test]
async fn parallel_tabs_on_two_hosts_all_arrive() {
    let hosts = Hosts::start().await;
    for _ in 0..5 {
        let browser = Browser::new();
        let urls = [
            hosts.url("files", "/1"),
            hosts.url("notes", "/2"),
            hosts.url("files", "/3"),
            hosts.url("notes", "/4"),
        ];
        let tabs = futures_util::future::join_all(urls.iter().map(|url| browser.open(url))).await;
        for (tab, url) in tabs.iter().zip(&urls) {
            assert_eq!(tab.status, 200, "{url}: {}", tab.text());
            assert_eq!(tab.url.as_str(), url);
        }
        for host in ["files", "notes"] {
            let answer = browser.open(&hosts.url(host, "/later")).await;
            assert_eq!(answer.status, 200);
        }
    }
}

#[tokio::test]
async fn sec_ses_18_signing_out_on_one_host_ends_all() {
    let hosts = Hosts::start().await;
    let ann = hosts.signed_in(User::ann()).await;
    ann.open(&hosts.url("notes", "/n")).await;
    let thief = ann.twin();
    let elsewhere = hosts.signed_in(User::ann()).await;
    let at_home = hosts.gateway.own("/userinfo");
    // By the person's own navigation, then once more by the button.
    let answer = ann.step(&hosts.url("files", "/oauth2/sign_out")).await;
    assert_eq!(answer.status, 303);
    let home = location(&answer);
    assert!(
        home.as_str()
            .starts_with(&hosts.gateway.own("/sign_out?next="))
    );
    assert!(!home.as_str().contains("id_token"), "only a code travels");
    for host in ["files", "notes"] {
        assert_eq!(hosts.status(&thief, host).await, 401, "{host}");
    }
    assert_eq!(thief.fetch("GET", &at_home, &[]).await.status, 401);
    let last = ann.open(home.as_str()).await;
    assert_eq!(hosts.provider.count(Endpoint::EndSession), 1);
    assert_eq!(last.status, 200, "{}", last.text());
    let left = session_cookies(&ann);
    assert!(
        left.iter().all(|(domain, _)| domain == "notes.localhost"),
        "{left:?}"
    );
    let hint = hosts.provider.recorded(Endpoint::EndSession).pop().unwrap();
    assert!(hint.parameter("id_token_hint").is_some());
    // The address at the provider is given away once.
    let again = thief.step(home.as_str()).await;
    assert!(!again.header("location").contains("id_token_hint"));
    // Another session of hers goes on; it ends by the form of a page there.
    assert_eq!(hosts.status(&elsewhere, "files").await, 200);
    let page = hosts.url("files", "/oauth2/");
    let form = hosts.url("files", "/oauth2/sign_out");
    let answer = elsewhere.submit(&page, &form, &[]).await;
    assert_eq!(answer.status, 200, "a page that moves on");
    assert!(
        answer.text().contains("/sign_out?next="),
        "{}",
        answer.text()
    );
    assert_eq!(elsewhere.fetch("GET", &at_home, &[]).await.status, 401);
}

#[tokio::test]
async fn sec_rp_59_a_passed_on_sign_out_ends_nobody_elses_session() {
    let hosts = Hosts::start().await;
    let mallory = hosts.signed_in(User::bob()).await;
    let ann = hosts.signed_in(User::ann()).await;
    let answer = mallory.step(&hosts.url("files", "/oauth2/sign_out")).await;
    let passed_on = location(&answer);
    let page = ann.link("http://evil.localhost/", passed_on.as_str()).await;
    assert_eq!(page.status, 200, "a page with a button");
    assert!(page.set_cookies().is_empty());
    assert_eq!(hosts.status(&ann, "files").await, 200);
}

#[tokio::test]
async fn sec_ses_a_ticket_of_one_host_fails_on_another() {
    let hosts = Hosts::start().await;
    let ann = hosts.signed_in(User::ann()).await;
    for (domain, value) in session_cookies(&ann) {
        for host in ["files", "notes", "app"] {
            let thief = Browser::new();
            thief.plant(&hosts.url(host, "/"), "vestibule", &value);
            let fits = domain == format!("{host}.localhost");
            let path = if host == "app" {
                "/oauth2/userinfo"
            } else {
                "/x"
            };
            let answer = thief.fetch("GET", &hosts.url(host, path), &[]).await;
            let expected = if fits { 200 } else { 401 };
            assert_eq!(answer.status, expected, "{domain} at {host}");
        }
    }
}

#[tokio::test]
async fn a_host_whose_cookie_does_not_stick_is_stopped_at_home() {
    let hosts = Hosts::start().await;
    let ann = hosts.at_home(User::ann()).await;
    let start = hosts.url("files", "/oauth2/start?rd=/x");
    for round in 0..3 {
        assert_eq!(ann.open(&start).await.status, 200, "{round}");
    }
    let stopped = ann.open(&start).await;
    assert_eq!(stopped.status, 429);
    assert_eq!(stopped.url.host_str(), Some("app.localhost"));
    assert!(stopped.text().contains("keeps coming back"));
    // Another host is another matter.
    assert_eq!(ann.open(&hosts.url("notes", "/x")).await.status, 200);
}

#[tokio::test]
async fn sec_red_places_after_a_hand_off_stay_on_its_host() {
    let hosts = Hosts::start().await;
    for (rd, path) in [
        ("/deep?a=1", "/deep?a=1"),
        ("//evil.test/", "/"),
        ("/%5cevil.test", "/"),
        ("/oauth2/sign_out", "/"),
        ("@evil.test/", "/"),
        ("https://evil.test/", "/"),
    ] {
        let ann = hosts.at_home(User::ann()).await;
        let encoded: String = url::form_urlencoded::byte_serialize(rd.as_bytes()).collect();
        let start = hosts.url("files", &format!("/oauth2/start?rd={encoded}"));
        let answer = ann.open(&start).await;
        assert!(
            answer.url.host_str().unwrap().ends_with(".localhost"),
            "{rd}"
        );
        if rd.starts_with('/') {
            assert_eq!(answer.url.as_str(), hosts.url("files", path), "{rd}");
        }
    }
    // Its own address in full is a place there too.
    let ann = hosts.at_home(User::ann()).await;
    let own = hosts.url("files", "/own");
    let encoded: String = url::form_urlencoded::byte_serialize(own.as_bytes()).collect();
    let start = hosts.url("files", &format!("/oauth2/start?rd={encoded}"));
    assert_eq!(ann.open(&start).await.url.as_str(), own);
}

#[tokio::test]
async fn scripts_are_told_where_their_person_can_sign_in() {
    let hosts = Hosts::start().await;
    let browser = Browser::new();
    let answer = browser.fetch("GET", &hosts.url("files", "/api"), &[]).await;
    assert_eq!(answer.status, 401);
    assert!(answer.set_cookies().is_empty(), "no new state");
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let login_url = body["login_url"].as_str().unwrap();
    assert_eq!(login_url, hosts.url("files", "/oauth2/start?rd=%2F"));
    let landed = browser.open(login_url).await;
    assert_eq!(landed.status, 200);
    assert_eq!(landed.url.as_str(), hosts.url("files", "/"));
}

#[tokio::test]
async fn a_shared_domain_needs_no_hand_off_and_the_others_still_do() {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let base = Plan::bare(&provider.issuer).session("cookie_domain = \"app.localhost\"");
    let plan = base
        .clone()
        .route(&route(&base, &upstream, "sub", "sub.app.localhost"))
        .route(&route(&base, &upstream, "files", "files.localhost"));
    let gateway = plan.start().await;
    let hosts = Hosts {
        provider,
        upstream,
        base,
        gateway,
    };
    let browser = Browser::new();
    let answer = browser.open(&hosts.url("sub.app", "/x")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let cookies = session_cookies(&browser);
    assert_eq!(cookies.len(), 1);
    assert_eq!(cookies[0].0, "app.localhost");
    assert!(browser.cookies_named("vestibule-h-").is_empty());
    let answer = browser.open(&hosts.url("files", "/x")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(session_cookies(&browser).len(), 2);
    assert_eq!(hosts.logins(), (1, 1));
    // Signing out anywhere ends both.
    let answer = browser.open(&hosts.url("files", "/oauth2/sign_out")).await;
    assert_eq!(answer.status, 200);
    assert!(session_cookies(&browser).is_empty());
    assert_eq!(hosts.status(&browser, "sub.app").await, 401);
}

/// Below a wildcard each name has a ticket of its own, handed over like that
/// of any host; a ticket of one name is nothing at another.
#[tokio::test]
async fn names_below_a_wildcard_have_sign_ins_handed_over_one_by_one() {
    let hosts = Hosts::below("*.apps.localhost", "").await;
    let browser = Browser::new();
    for host in ["one.apps", "two.apps", "deep.one.apps", "one.apps"] {
        let answer = browser.open(&hosts.url(host, "/x?y=1")).await;
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
        assert_eq!(answer.url.as_str(), hosts.url(host, "/x?y=1"));
        assert_eq!(
            Echo::of(&answer).one("x-forwarded-user"),
            Some("sub-ann"),
            "{host}"
        );
    }
    assert_eq!(hosts.logins(), (1, 1));
    let mut tickets = session_cookies(&browser);
    assert_eq!(tickets.len(), 4, "home and three names: {tickets:?}");
    tickets.dedup_by(|one, other| one.1 == other.1);
    assert_eq!(tickets.len(), 4, "no name shares another's ticket");
    let (_, of_one) = tickets
        .iter()
        .find(|(domain, _)| domain == "one.apps.localhost")
        .unwrap();
    let stolen = format!("vestibule={of_one}");
    let stolen = [("cookie", stolen.as_str())];
    for (host, status) in [("one.apps", 200), ("three.apps", 401), ("app", 401)] {
        let url = hosts.url(host, "/x");
        let answer = Browser::new().fetch("GET", &url, &stolen).await;
        let expected = if host == "app" { 404 } else { status };
        assert_eq!(answer.status.as_u16(), expected, "{host}");
    }
    // Signing out on one ends all.
    let answer = browser
        .open(&hosts.url("two.apps", "/oauth2/sign_out"))
        .await;
    assert_eq!(answer.status, 200);
    for host in ["one.apps", "two.apps", "deep.one.apps"] {
        assert_eq!(hosts.status(&browser, host).await, 401, "{host}");
    }
}

/// The cookie domain and the wildcard may be the same name.
#[tokio::test]
async fn names_below_a_wildcard_within_the_cookie_domain_share_its_ticket() {
    for domain in ["*.app.localhost", "*.x.app.localhost"] {
        let hosts = Hosts::below(domain, "cookie_domain = \"app.localhost\"").await;
        let name = domain
            .trim_start_matches("*.")
            .trim_end_matches(".localhost");
        let browser = Browser::new();
        for host in [format!("one.{name}"), format!("two.{name}")] {
            let answer = browser.open(&hosts.url(&host, "/x")).await;
            assert_eq!(answer.status, 200, "{host}: {}", answer.text());
            assert_eq!(answer.url.as_str(), hosts.url(&host, "/x"));
        }
        assert_eq!(hosts.logins(), (1, 1), "{domain}");
        assert_eq!(session_cookies(&browser).len(), 1, "{domain}");
    }
}
