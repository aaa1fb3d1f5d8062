//! Every page of a running gateway in Chromium, reached the way people reach
//! it: wide and narrow, light and dark, in both languages. Pictures of all
//! of them go to `target/screenshots`.

use serde_json::Value;

use crate::harness::chromium::{Chromium, Look};
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::part::{self, Part};
use crate::harness::port;
use crate::harness::provider::{Endpoint, Fault, Provider, User};
use crate::harness::redis::Redis;
use crate::harness::upstream::Upstream;

const LOOKS: [Look; 4] = [
    Look::new("wide-light-en", 1100, false, "en-GB"),
    Look::new("narrow-dark-zh", 380, true, "zh-CN"),
    Look::new("narrow-light-en", 380, false, "en-GB"),
    Look::new("wide-dark-zh", 1100, true, "zh-CN"),
];

struct Stage {
    provider: Provider,
    _upstream: Upstream,
    gateway: Gateway,
    chromium: Chromium,
}

impl Stage {
    /// Two providers, one of which is down, and an upstream that is down.
    async fn start(lines_of_redis: Option<&str>) -> Self {
        let provider = Provider::start("oidc-plain").await;
        let upstream = Upstream::start().await;
        let gone = port::free();
        let lines = format!(
            "[provider.down]\nkind = \"oidc\"\nname = \"Downhill ID\"\n\
             issuer = \"http://127.0.0.1:{gone}\"\nclient_id = \"vestibule\"\n\n\
             [route_defaults]\nupstream = \"{}\"\naccess = \"signed-in\"\n\n\
             [route.app]\npath = \"/app/*\"\n\n\
             [route.closed]\npath = \"/closed/*\"\naccess = [ {{ emails = [\"nobody@corp.test\"] }} ]\n\n\
             [route.gone]\npath = \"/gone/*\"\nupstream = \"http://127.0.0.1:{gone}\"\n",
            upstream.url()
        );
        let mut plan = Plan::bare(&provider.issuer).route(&lines);
        if let Some(lines) = lines_of_redis {
            plan = plan.redis(lines).session("max_stale = \"5s\"");
        }
        let gateway = plan.start().await;
        let chromium = Chromium::start().await;
        Self {
            provider,
            _upstream: upstream,
            gateway,
            chromium,
        }
    }

    async fn sign_in(&self) {
        self.provider.set(|script| script.user = User::ann());
        let start = self.gateway.own("/start?rd=/app/x&provider=main");
        self.chromium.open(&start).await;
        self.chromium.shows("sub-ann").await;
    }

    /// Opens `path` in every look; it must say `words` in English.
    async fn see(&self, name: &str, path: &str, words: &str) {
        for look in LOOKS {
            self.chromium.look(look).await;
            self.chromium.open(&self.gateway.url(path)).await;
            self.judge(name, look, words).await;
        }
    }

    /// The same for a page that only a link on another site leads to.
    async fn see_from_afar(&self, name: &str, path: &str, words: &str) {
        for look in LOOKS {
            self.chromium.look(look).await;
            self.chromium.open(&self.provider.issuer).await;
            let go = format!("location.href = '{}'", self.gateway.url(path));
            self.chromium.script(&go).await;
            self.judge(name, look, words).await;
        }
    }

    async fn judge(&self, name: &str, look: Look, words: &str) {
        if look.language.starts_with("en") {
            self.chromium.shows(words).await;
        } else {
            let chinese = "return /[\\u4e00-\\u9fff]{2}/.test(document.body.innerText)";
            crate::harness::until::some("a page in Chinese", || async {
                let found = self.chromium.try_script(chinese).await;
                (found == Some(Value::Bool(true))).then_some(())
            })
            .await;
        }
        let picture = format!("page-{name}-{}", look.name);
        self.chromium.screenshot(&picture).await;
        // Styled, nothing cut off at the side, nothing refused by the policy.
        let rules = "return [...document.styleSheets].reduce((sum, sheet) => sum + sheet.cssRules.length, 0)";
        let rules = self.chromium.script(rules).await;
        assert!(
            rules.as_u64().unwrap_or(0) > 10,
            "{picture}: {rules} rules of style"
        );
        let overflow = "return document.documentElement.scrollWidth - window.innerWidth";
        let overflow = self.chromium.script(overflow).await;
        assert!(
            overflow.as_i64().unwrap_or(1) <= 0,
            "{picture}: {overflow} too wide"
        );
        let broken = "return [...document.images].filter((image) => !image.naturalWidth).length";
        assert_eq!(self.chromium.script(broken).await, 0, "{picture}");
    }
}

#[tokio::test]
async fn browser_pages() {
    if !part::have("browser_pages", &[Part::Browser]) {
        return;
    }
    let stage = Stage::start(None).await;
    let port = stage.gateway.address().port();

    // Nobody is signed in.
    stage.see("sign-in", "/app/x", "Downhill ID").await;
    let down = "/oauth2/start?rd=/app/x&provider=down";
    stage.see("provider-down", down, "Try again").await;
    let unknown = "/oauth2/callback/main?code=x&state=y";
    stage
        .see("login-unknown", unknown, "not started here")
        .await;
    stage.provider.set(|script| {
        script.refuse = Some(("access_denied".into(), "by the person".into()));
    });
    let start = "/oauth2/start?rd=/app/x&provider=main";
    stage.see("login-denied", start, "cancelled").await;
    for (error, name, words) in [
        (
            "temporarily_unavailable",
            "login-unavailable",
            "takes no sign-ins",
        ),
        ("login_required", "login-required", "Please sign in at"),
        ("server_error", "login-error", "reported a problem"),
    ] {
        stage.provider.set(|script| {
            script.refuse = Some((error.into(), String::new()));
        });
        stage.see(name, start, words).await;
    }
    stage.provider.set(|script| script.refuse = None);
    stage
        .provider
        .fail_always(Endpoint::Code, Fault::HangUpAfter);
    stage
        .see("login-interrupted", start, "was interrupted")
        .await;
    stage.provider.heal(Endpoint::Code);
    // So many broken connections in a row may have opened the breaker.
    let up = "vestibule_provider_up{provider=\"main\"}";
    crate::harness::until::some("the provider counts as well again", || async {
        (stage.gateway.metric(up).await > 0.5).then_some(())
    })
    .await;
    stage
        .see("not-found", "/oauth2/nothing", "If you ask for help")
        .await;
    stage
        .see("signed-out", "/oauth2/sign_out", "You are signed out")
        .await;
    for look in LOOKS {
        stage.chromium.look(look).await;
        let stranger = format!("http://stranger.localhost:{port}/");
        stage.chromium.open(&stranger).await;
        stage.judge("unknown-host", look, "not served here").await;
        // A form that was filled in for so long that the session ended.
        stage.chromium.open(&stage.gateway.own("/sign_out")).await;
        let submit = "const form = document.createElement('form'); form.method = 'post'; \
                      form.action = '/app/form'; document.body.append(form); form.submit()";
        stage.chromium.script(submit).await;
        crate::harness::until::some("the answer to the form", || async {
            let url = stage.chromium.url().await;
            url.ends_with("/app/form").then_some(())
        })
        .await;
        stage
            .judge("form-without-session", look, "If you ask for help")
            .await;
    }

    // Ann is.
    stage.sign_in().await;
    stage.see("who-am-i", "/oauth2/", "Ann Example").await;
    stage.see("forbidden", "/closed/x", "Ann Example").await;
    stage.see("upstream-down", "/gone/x", "not answering").await;
    stage
        .see("no-route", "/elsewhere", "If you ask for help")
        .await;
    stage
        .see_from_afar("switch", "/oauth2/sign_in", "Ann Example")
        .await;
    stage
        .see_from_afar("sign-out-confirm", "/oauth2/sign_out", "Sign out?")
        .await;
    // Something sends the person to the sign-in again and again.
    for _ in 0..4 {
        stage.chromium.open(&stage.gateway.url(start)).await;
    }
    stage.see("login-loop", start, "keeps coming back").await;
    stage.chromium.look(LOOKS[0]).await;
    stage.chromium.open(&stage.gateway.own("/")).await;
    stage.chromium.press("sign out").await;
    stage.chromium.shows("You are signed out").await;
    stage.chromium.open(&stage.gateway.url("/app/x")).await;
    stage.chromium.shows("Downhill ID").await;
    stage.chromium.quit().await;
}

/// Sessions that ended elsewhere, and a store that is away.
#[tokio::test]
async fn browser_pages_of_sessions_that_end_and_a_store_that_is_away() {
    let name = "browser_pages_of_sessions_that_end_and_a_store_that_is_away";
    if !part::have(name, &[Part::Browser, Part::Redis]) {
        return;
    }
    let mut redis = Redis::start().await;
    let stage = Stage::start(Some(&redis.lines())).await;
    stage.sign_in().await;
    // Everything of hers ends without this browser, as if by another replica.
    redis.ask("FLUSHALL").await;
    stage
        .see("session-ended", "/app/x", "Your session has ended")
        .await;
    stage.chromium.look(LOOKS[0]).await;
    stage.sign_in().await;
    stage.chromium.open(&stage.gateway.own("/")).await;
    redis.kill();
    stage.chromium.press("sign out").await;
    for look in [LOOKS[0], LOOKS[2]] {
        stage.chromium.look(look).await;
        stage
            .judge("signed-out-store-away", look, "other servers follow")
            .await;
    }
    redis.restart().await;
    crate::harness::until::some("the store is back", || async {
        (stage
            .gateway
            .admin("/readyz")
            .await?
            .text()
            .contains("\"states\":[]"))
        .then_some(())
    })
    .await;
    stage.sign_in().await;
    redis.kill();
    let app = stage.gateway.url("/app/x");
    crate::harness::until::some("session.max_stale is over", || async {
        stage.chromium.open(&app).await;
        let text = stage.chromium.text().await;
        text.contains("not been signed out").then_some(())
    })
    .await;
    stage
        .see("store-away", "/app/x", "You have not been signed out")
        .await;
    stage.chromium.quit().await;
}
