//! One cookie for every host below a domain (`session.cookie_domain`).

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::provider::{Endpoint, Provider, User};
use crate::harness::upstream::Upstream;

struct Two {
    provider: Provider,
    _upstream: Upstream,
    gateway: Gateway,
}

impl Two {
    async fn start() -> Self {
        let provider = Provider::start("oidc-plain").await;
        let upstream = Upstream::start().await;
        let plan = Plan::bare(&provider.issuer);
        let port = plan.port();
        let routes = format!(
            "[route_defaults]\nupstream = \"{}\"\naccess = \"signed-in\"\n\n\
             [route.home]\n\n\
             [route.wiki]\nhost = \"wiki.apps.localhost:{port}\"\n",
            upstream.url()
        );
        let gateway = plan
            .environment(
                "VESTIBULE__SERVER__PUBLIC_URL",
                &format!("http://home.apps.localhost:{port}"),
            )
            .session("cookie_domain = \"apps.localhost\"")
            .route(&routes)
            .start()
            .await;
        Self {
            provider,
            _upstream: upstream,
            gateway,
        }
    }

    fn at(&self, host: &str, path: &str) -> String {
        let port = self.gateway.address().port();
        format!("http://{host}.apps.localhost:{port}{path}")
    }
}

#[tokio::test]
async fn signed_in_on_one_host_is_signed_in_on_the_other() {
    let two = Two::start().await;
    two.provider.set(|script| script.user = User::ann());
    let ann = Browser::new();
    // Begins where no sign-in can finish, and comes back there.
    let answer = ann.open(&two.at("wiki", "/page?a=1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.url.as_str(), two.at("wiki", "/page?a=1"));
    let echo = Echo::of(&answer);
    assert_eq!(echo.one("x-forwarded-user"), Some("sub-ann"));
    let cookies = ann.cookies();
    let session = cookies
        .iter()
        .find(|cookie| cookie.name == "vestibule")
        .expect("session cookie");
    assert_eq!(
        (session.domain.as_str(), session.host_only),
        ("apps.localhost", false)
    );
    assert!(session.http_only);

    let home = ann.step(&two.at("home", "/x")).await;
    assert_eq!(home.status, 200, "no second sign-in");
    assert_eq!(two.provider.count(Endpoint::Authorize), 1);

    // Signing out on one host is signing out on both.
    let page = two.at("home", "/oauth2/");
    ann.submit(&page, &two.at("home", "/oauth2/sign_out"), &[])
        .await;
    for host in ["home", "wiki"] {
        let answer = ann.fetch("GET", &two.at(host, "/x"), &[]).await;
        assert_eq!(answer.status, 401, "{host}");
    }
    assert!(
        ann.cookies()
            .iter()
            .all(|cookie| cookie.name != "vestibule")
    );
}

#[tokio::test]
async fn the_sign_in_page_of_another_host_begins_at_home() {
    let two = Two::start().await;
    two.provider.set(|script| script.user = User::ann());
    let ann = Browser::new();
    let answer = ann
        .open(&two.at("wiki", "/oauth2/sign_in?rd=%2Fpage"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.url.as_str(), two.at("wiki", "/page"));
}

#[tokio::test]
async fn a_host_that_no_route_names_is_unknown_even_below_the_domain() {
    let two = Two::start().await;
    let answer = Browser::new().step(&two.at("other", "/x")).await;
    assert_eq!(answer.status, 421);
    // Its page is styled like every other one.
    let text = answer.text();
    let style = text
        .split(['"', '\''])
        .find(|part| part.ends_with(".css"))
        .expect("style sheet");
    let sheet = Browser::new().step(&two.at("other", style)).await;
    assert_eq!(sheet.status, 200, "{style}");
}
