//! The kill run: a real calendar server behind the gateway, people who sign in
//! through the certified provider, and everything killed once.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::harness::browser::Browser;
use crate::harness::chromium::Chromium;
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::node_provider::NodeProvider;
use crate::harness::part::{self, Part};
use crate::harness::port;
use crate::harness::radicale::Radicale;
use crate::harness::redis::Redis;
use crate::harness::until;

const ACCESS_SECONDS: u32 = 15;

struct Run {
    provider: NodeProvider,
    gateway: Gateway,
    _radicale: Radicale,
}

impl Run {
    async fn start(change: impl FnOnce(Plan) -> Plan) -> Self {
        let radicale = Radicale::start().await;
        let port = port::free();
        let plan = Plan::bare(&NodeProvider::issuer_on(port))
            .recipe_route("radicale.toml", &radicale.url());
        // Renewed when it has ended, and not while something is killed.
        let plan = change(plan.provider("refresh_skew_max = \"100ms\""));
        let provider = NodeProvider::start(port, &plan.origin(), ACCESS_SECONDS).await;
        let gateway = plan.start().await;
        Self {
            provider,
            gateway,
            _radicale: radicale,
        }
    }

    /// Ann signs in with Chromium and sees her calendar page.
    async fn sign_in(&self, picture: &str) -> (Chromium, Browser) {
        let chromium = Chromium::start().await;
        chromium.open(&self.gateway.url("/.web/")).await;
        chromium.shows("Test provider").await;
        chromium.write("input[name=login]", "ann").await;
        chromium.press("continue").await;
        until::some("the calendar page", || async {
            chromium
                .url()
                .await
                .starts_with(&self.gateway.url("/.web"))
                .then_some(())
        })
        .await;
        assert!(
            chromium.title().await.contains("Radicale"),
            "{}",
            chromium.text().await
        );
        // The same session for requests that a page's script would make.
        let twin = Browser::new();
        for (name, value) in chromium.cookies().await {
            twin.plant(&self.gateway.url("/"), &name, &value);
        }
        let body = "<mkcalendar xmlns=\"urn:ietf:params:xml:ns:caldav\" xmlns:D=\"DAV:\"><D:set><D:prop><D:displayname>Gardening</D:displayname></D:prop></D:set></mkcalendar>";
        let url = self.gateway.url("/ann/garden/");
        let answer = twin
            .fetch_with("MKCALENDAR", &url, &[], Bytes::from(body))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        // Radicale's page asks for a name, but believes the gateway's header.
        chromium
            .write("#loginscene [data-name=user]", "somebody-else")
            .await;
        chromium
            .write("#loginscene [data-name=password]", "any")
            .await;
        chromium.click("#loginscene button").await;
        chromium.shows("Gardening").await;
        chromium.screenshot(picture).await;
        (chromium, twin)
    }

    /// Who Radicale takes the caller for.
    async fn principal(&self, browser: &Browser) -> Result<String, u16> {
        let body = "<?xml version=\"1.0\"?><propfind xmlns=\"DAV:\"><prop><current-user-principal/></prop></propfind>";
        let headers = [("depth", "0"), ("content-type", "application/xml")];
        let answer = browser
            .try_fetch(
                "PROPFIND",
                &self.gateway.url("/"),
                &headers,
                Bytes::from(body),
            )
            .await
            .map_err(|_| 0_u16)?;
        if answer.status != 207 {
            return Err(answer.status.as_u16());
        }
        Ok(answer.text())
    }

    async fn is_ann(&self, browser: &Browser) {
        let text = self
            .principal(browser)
            .await
            .unwrap_or_else(|status| panic!("{status}"));
        assert!(text.contains("<href>/ann/</href>"), "{text}");
    }

    async fn nobody_signed_in_again(&self) {
        assert_eq!(self.provider.count("logins").await, 1);
        assert_eq!(
            self.provider.count("code").await,
            1,
            "{}",
            self.provider.log()
        );
        assert_eq!(self.provider.count("code_failed").await, 0);
        assert_eq!(self.provider.count("refresh_failed").await, 0);
    }

    /// Past the end of the access token: fifty at once, one token call.
    async fn one_refresh(&self, browser: &Browser) {
        tokio::time::sleep(Duration::from_secs(u64::from(ACCESS_SECONDS) + 1)).await;
        let before = self.provider.count("refresh").await;
        let answers = join_all((0..50).map(|_| self.principal(browser))).await;
        for answer in answers {
            assert!(answer.is_ok_and(|text| text.contains("/ann/")));
        }
        assert_eq!(self.provider.count("refresh").await, before + 1);
        self.nobody_signed_in_again().await;
    }

    async fn sign_out_ends_it(&self, chromium: Chromium, browser: &Browser) {
        chromium.open(&self.gateway.own("/")).await;
        chromium.screenshot("who-am-i").await;
        let page = self.gateway.own("/");
        let answer = browser
            .twin()
            .submit(&page, &self.gateway.own("/sign_out"), &[])
            .await;
        assert!(
            matches!(answer.status.as_u16(), 200 | 303),
            "{}",
            answer.status
        );
        // The browser still holds its cookie; on the server it is over.
        assert_eq!(self.principal(browser).await, Err(401));
        chromium.quit().await;
    }
}

const PARTS: &[Part] = &[Part::Redis, Part::Browser, Part::Node, Part::Radicale];

#[tokio::test]
async fn radicale_behind_gateway_with_redis() {
    if !part::have("radicale_behind_gateway_with_redis", PARTS) {
        return;
    }
    let mut redis = Redis::start().await;
    let mut run = Run::start(|plan| plan.redis(&redis.lines())).await;
    let (chromium, browser) = run.sign_in("radicale-redis").await;
    run.is_ann(&browser).await;
    let forged = [
        ("x_remote_user", "bob"),
        ("x-remote-user", "bob"),
        ("depth", "0"),
    ];
    let answer = browser
        .fetch("PROPFIND", &run.gateway.url("/bob/"), &forged)
        .await;
    assert_ne!(
        answer.status, 207,
        "a forged name opened somebody else's calendars"
    );

    run.gateway.kill();
    run.gateway.restart().await;
    run.is_ann(&browser).await;
    redis.kill();
    // Known here, so she goes on for a moment.
    run.is_ann(&browser).await;
    redis.restart().await;
    until::some("it recovers by itself", || async {
        run.principal(&browser).await.ok()
    })
    .await;
    run.is_ann(&browser).await;
    run.nobody_signed_in_again().await;

    run.one_refresh(&browser).await;
    run.gateway.restart().await;
    run.is_ann(&browser).await;
    run.one_refresh(&browser).await;
    run.sign_out_ends_it(chromium, &browser).await;
}

#[tokio::test]
async fn radicale_behind_gateway_with_its_own_store() {
    if !part::have("radicale_behind_gateway_with_its_own_store", PARTS) {
        return;
    }
    let mut run = Run::start(|plan| plan).await;
    let (chromium, browser) = run.sign_in("radicale-embedded").await;
    run.is_ann(&browser).await;
    run.gateway.kill();
    run.gateway.restart().await;
    run.is_ann(&browser).await;
    run.nobody_signed_in_again().await;
    run.one_refresh(&browser).await;
    run.gateway.kill();
    run.gateway.restart().await;
    run.one_refresh(&browser).await;
    run.sign_out_ends_it(chromium, &browser).await;
}
