//! The usual scene: provider, upstream and gateway, and people who sign in.

use super::browser::Browser;
use super::gateway::{Gateway, Plan};
use super::provider::{Endpoint, Provider, User};
use super::upstream::Upstream;
use super::wire::Answer;

pub struct Scene {
    pub provider: Provider,
    pub upstream: Upstream,
    pub gateway: Gateway,
}

impl Scene {
    /// Provider by the book, embedded store, one route for anybody signed in.
    pub async fn start() -> Self {
        Self::with("oidc-plain", |plan| plan).await
    }

    /// The same with another dialect and a changed plan.
    pub async fn with(dialect: &str, change: impl FnOnce(Plan) -> Plan) -> Self {
        Self::with_provider(Provider::start(dialect).await, change).await
    }

    pub async fn with_provider(provider: Provider, change: impl FnOnce(Plan) -> Plan) -> Self {
        let upstream = Upstream::start().await;
        let plan = change(Plan::new(&provider.issuer, &upstream.url()));
        let gateway = plan.start().await;
        Self {
            provider,
            upstream,
            gateway,
        }
    }

    /// The routes of the case book: `/public/*` open, `/admin/*` for admins,
    /// everything else for anybody signed in.
    pub async fn of_case_book() -> Self {
        let provider = Provider::start("oidc-plain").await;
        let upstream = Upstream::start().await;
        let url = upstream.url();
        let routes = format!(
            "[route.app]\nupstream = \"{url}\"\naccess = \"signed-in\"\n\
             rules = [ {{ path = \"/public/*\", lane = \"public\" }} ]\n\n\
             [route.admin]\npath = \"/admin/*\"\nupstream = \"{url}\"\n\
             access = [ {{ groups = [\"admins\"] }} ]\n"
        );
        let gateway = Plan::bare(&provider.issuer).route(&routes).start().await;
        Self {
            provider,
            upstream,
            gateway,
        }
    }

    /// A new browser in which `user` is signed in.
    pub async fn signed_in(&self, user: User) -> Browser {
        let browser = Browser::new();
        self.sign_in(&browser, user).await;
        browser
    }

    /// Signs `user` in with `browser` and gives the application's first answer.
    pub async fn sign_in(&self, browser: &Browser, user: User) -> Answer {
        self.provider.set(|script| script.user = user);
        let answer = browser.open(&self.gateway.url("/hello")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.url.path(), "/hello");
        answer
    }

    /// Goes to the provider and back, and stops before the callback: its address.
    pub async fn callback_of(&self, browser: &Browser) -> url::Url {
        let to_provider = browser.step(&self.gateway.url("/hello")).await;
        let authorize = to_provider.location().expect("sent to the provider");
        let back = browser.step(authorize.as_str()).await;
        back.location().expect("sent back")
    }

    /// How many codes were redeemed and logins begun: equal numbers before and
    /// after mean that nobody signed in between.
    pub fn logins(&self) -> (usize, usize) {
        (
            self.provider.count(Endpoint::Authorize),
            self.provider.count(Endpoint::Code),
        )
    }
}

/// The session cookie's value; panics unless there is exactly one.
pub fn session_cookie(browser: &Browser) -> String {
    let cookies = browser.cookies();
    let mut found = cookies.iter().filter(|cookie| {
        matches!(
            cookie.name.as_str(),
            "vestibule" | "__Host-vestibule" | "__Secure-vestibule"
        )
    });
    let cookie = found.next().expect("a session cookie");
    assert!(found.next().is_none(), "two session cookies");
    cookie.value.clone()
}
