//! The recipes in `deploy/recipes`: each is good as it stands, says who gets
//! in, and does what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::provider::{Provider, User};
use crate::harness::upstream::Upstream;

const RECIPES: [&str; 8] = [
    "gitea",
    "grafana",
    "home-assistant",
    "open-webui",
    "paperless-ngx",
    "radicale",
    "uptime-kuma",
    "zipline",
];

fn below_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text_of(recipe: &str) -> String {
    fs::read_to_string(below_root(&format!("deploy/recipes/{recipe}.toml"))).expect("the recipe")
}

/// `vestibule check` of a recipe whose secrets and data are in a folder of ours.
fn check(text: &str) -> Output {
    let folder = tempfile::tempdir().expect("folder");
    let text = text
        .replace("/run/secrets/", "")
        .replace("\"/var/lib/vestibule\"", "\".\"");
    let secret = folder.path().join("client_secret");
    fs::write(&secret, "s3cr3t\n").expect("file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("mode");
    let config = folder.path().join("vestibule.toml");
    fs::write(&config, text).expect("file");
    Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["check", "--config"])
        .arg(&config)
        .output()
        .expect("runs")
}

#[test]
fn every_recipe_is_listed() {
    let mut found: Vec<String> = fs::read_dir(below_root("deploy/recipes"))
        .expect("folder")
        .filter_map(|entry| {
            let name = entry.expect("entry").file_name();
            Some(name.to_str()?.strip_suffix(".toml")?.to_owned())
        })
        .collect();
    found.sort();
    assert_eq!(found, RECIPES);
    let readme = fs::read_to_string(below_root("deploy/recipes/README.md")).expect("README");
    for recipe in RECIPES {
        assert!(
            readme.contains(&format!("| [{recipe}.toml]({recipe}.toml) |")),
            "{recipe}"
        );
    }
}

/// Who gets in where, word for word: a change of a recipe, or of how lanes
/// are told, must be looked at. `UPDATE_GOLDEN=1` rewrites the files.
#[test]
fn check_passes_and_says_who_gets_in() {
    for recipe in RECIPES {
        let output = check(&text_of(recipe));
        let said = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{recipe}\n{said}");
        assert!(!said.contains("warning"), "{recipe}\n{said}");
        let (_, who) = said.split_once("Who gets in:\n").expect("sentences");
        let path = below_root(&format!("tests/golden/recipes/{recipe}.txt"));
        if updating() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            fs::write(&path, who).expect("file");
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            who, golden,
            "{recipe}: look at it and run with UPDATE_GOLDEN=1"
        );
    }
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Gitea as the provider of its own gateway: nobody has a session while
/// signing in.
#[test]
fn an_issuer_behind_its_own_session_lane_is_refused_with_its_cure() {
    let recipe = text_of("gitea");
    let own = recipe.replace("https://id.example.com", "https://git.example.com");
    let output = check(&own);
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(!output.status.success(), "{said}");
    for part in [
        "provider.main.issuer",
        "/login/oauth/",
        "route.gitea",
        "\"/login/*\"",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    // The lines that the recipe offers for this case, and nothing else.
    let offered: Vec<&str> = recipe
        .lines()
        .filter_map(|line| line.strip_prefix("#   {"))
        .collect();
    assert_eq!(offered.len(), 4);
    let offered: String = offered.iter().map(|line| format!("  {{{line}\n")).collect();
    let cured = own
        .replace("rules = [\n", &format!("rules = [\n{offered}"))
        .replace("  { path = \"/user/login\", lane = \"session\" },\n", "");
    let output = check(&cured);
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{said}");
}

struct Place {
    provider: Provider,
    upstream: Upstream,
    gateway: Gateway,
}

impl Place {
    async fn of(recipe: &str) -> Self {
        let provider = Provider::start("oidc-plain").await;
        let upstream = Upstream::start().await;
        let name = format!("{recipe}.toml");
        let plan = Plan::recipe(&name, &provider.issuer, &upstream.url())
            .edited(|text| text.replace("operators", "staff"));
        Self {
            gateway: plan.start().await,
            provider,
            upstream,
        }
    }

    async fn bob(&self) -> Browser {
        self.provider.set(|script| script.user = User::bob());
        let browser = Browser::new();
        let answer = browser.open(&self.gateway.url("/user/login")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        browser
    }

    /// What the application gets to see of a request; `None` if it stays outside.
    async fn passes(
        &self,
        browser: &Browser,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Option<Echo> {
        let before = self.upstream.requests().len();
        let answer = browser
            .fetch(method, &self.gateway.url(path), headers)
            .await;
        let seen = self.upstream.requests();
        if seen.len() == before {
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
            return None;
        }
        seen.last().cloned()
    }
}

/// Every header by which an application could be told a person.
const TELLING: [&str; 9] = [
    "x-webauth-user",
    "x-webauth-email",
    "remote-user",
    "x-remote-user",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "cookie",
];

/// What a recipe promises, request by request.
struct Promise {
    recipe: &'static str,
    /// The headers that name bob, and nothing else of [`TELLING`].
    told: &'static [(&'static str, &'static str)],
    /// Passes for everybody.
    open: &'static [(&'static str, &'static str)],
    /// Passes for nobody without a session.
    closed: &'static [(&'static str, &'static str)],
    /// Path and value of Authorization that pass without a session.
    tokens: &'static [(&'static str, &'static str)],
    /// Path and value of Authorization that do not.
    no_tokens: &'static [(&'static str, &'static str)],
}

const PROMISES: [Promise; 8] = [
    Promise {
        recipe: "gitea",
        told: &[
            ("x-webauth-user", "bob"),
            ("x-webauth-email", "bob@corp.test"),
        ],
        open: &[
            ("GET", "/"),
            ("GET", "/org/repo"),
            ("HEAD", "/org/repo/raw/README.md"),
            ("GET", "/org/repo.git/info/refs?service=git-upload-pack"),
            ("POST", "/org/repo.git/git-upload-pack"),
            ("GET", "/.well-known/openid-configuration"),
            ("POST", "/login/oauth/access_token"),
        ],
        closed: &[
            ("POST", "/org/repo/issues/new"),
            ("DELETE", "/org/repo"),
            ("POST", "/org/repo.git/git-receive-pack"),
            ("GET", "/user/login"),
            ("GET", "/user/settings"),
            ("GET", "/-/admin/users"),
            ("GET", "/login/oauth/authorize"),
            ("POST", "/api/v1/user/repos"),
        ],
        tokens: &[
            (
                "/api/v1/user/repos",
                "token 0123456789abcdef0123456789abcdef01234567",
            ),
            (
                "/org/repo.git/git-receive-pack",
                "Basic Ym9iOmhpcyB0b2tlbg==",
            ),
            (
                "/org/repo.git/git-upload-pack",
                "basic Ym9iOmhpcyB0b2tlbg==",
            ),
            (
                "/org/repo.git/info/lfs/objects/batch",
                "Basic Ym9iOmhpcyB0b2tlbg==",
            ),
            (
                "/v2/org/image/blobs/uploads/",
                "Bearer eyJhbGciOiJSUzI1NiJ9.e30.x",
            ),
        ],
        no_tokens: &[
            (
                "/user/settings",
                "token 0123456789abcdef0123456789abcdef01234567",
            ),
            ("/org/repo/issues/new", "Basic Ym9iOmhpcyB0b2tlbg=="),
            ("/api/v1/user/repos", "token "),
            (
                "/api/v1/user/repos",
                "Negotiate YIIJvwYGKwYBBQUCoIIJszCCCa+g",
            ),
        ],
    },
    Promise {
        recipe: "grafana",
        told: &[
            ("x-webauth-user", "bob"),
            ("x-webauth-email", "bob@corp.test"),
        ],
        open: &[
            ("GET", "/api/health"),
            ("GET", "/public-dashboards/abc"),
            ("GET", "/public/build/app.js"),
        ],
        closed: &[
            ("GET", "/"),
            ("GET", "/api/org"),
            ("POST", "/api/health"),
            ("GET", "/api/live/ws"),
        ],
        tokens: &[(
            "/api/dashboards/db",
            "Bearer glsa_0123456789abcdefABCDEF0123456789_0a1b2c3d",
        )],
        no_tokens: &[
            ("/api/dashboards/db", "Bearer x"),
            (
                "/login",
                "Bearer glsa_0123456789abcdefABCDEF0123456789_0a1b2c3d",
            ),
        ],
    },
    Promise {
        recipe: "home-assistant",
        told: &[("x-forwarded-preferred-username", "bob")],
        open: &[
            ("POST", "/auth/token"),
            ("POST", "/api/webhook/abc"),
            ("GET", "/local/plan.png"),
        ],
        closed: &[
            ("GET", "/"),
            ("GET", "/lovelace"),
            ("POST", "/auth/login_flow"),
            ("GET", "/api/states"),
        ],
        tokens: &[(
            "/api/services/light/turn_on",
            "Bearer eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln",
        )],
        no_tokens: &[
            ("/api/services/light/turn_on", "Bearer abc"),
            ("/auth/login_flow", "Bearer a.b.c"),
        ],
    },
    Promise {
        recipe: "open-webui",
        told: &[
            ("x-forwarded-email", "bob@corp.test"),
            ("x-forwarded-groups", "staff"),
        ],
        open: &[("GET", "/health"), ("GET", "/static/logo.png")],
        closed: &[
            ("GET", "/"),
            ("GET", "/api/v1/chats"),
            ("GET", "/ws/socket.io/"),
            ("POST", "/api/v1/auths/signin"),
        ],
        tokens: &[(
            "/api/chat/completions",
            "Bearer sk-0123456789abcdef0123456789abcdef",
        )],
        // The token of its own page is no key.
        no_tokens: &[(
            "/api/chat/completions",
            "Bearer eyJhbGciOiJIUzI1NiJ9.eyJpZCI6IjEifQ.c2ln",
        )],
    },
    Promise {
        recipe: "paperless-ngx",
        told: &[("remote-user", "bob")],
        open: &[("GET", "/share/abc"), ("GET", "/static/app.js")],
        closed: &[
            ("GET", "/"),
            ("GET", "/api/documents/"),
            ("POST", "/api/token/"),
            ("GET", "/ws/status/"),
        ],
        tokens: &[(
            "/api/documents/post_document/",
            "Token 0123456789abcdef0123456789abcdef01234567",
        )],
        no_tokens: &[
            ("/api/documents/post_document/", "Token abc"),
            ("/admin/", "Token 0123456789abcdef0123456789abcdef01234567"),
        ],
    },
    Promise {
        recipe: "radicale",
        told: &[("x-remote-user", "bob")],
        open: &[],
        closed: &[
            ("GET", "/"),
            ("PROPFIND", "/bob/"),
            ("GET", "/.well-known/caldav"),
        ],
        tokens: &[],
        no_tokens: &[("/bob/", "Basic Ym9iOmhpcyB0b2tlbg==")],
    },
    Promise {
        recipe: "uptime-kuma",
        told: &[],
        open: &[
            ("GET", "/status/all"),
            ("GET", "/api/status-page/all"),
            ("GET", "/api/push/abc?status=up"),
            ("GET", "/api/badge/1/status"),
        ],
        closed: &[
            ("GET", "/"),
            ("GET", "/dashboard"),
            ("GET", "/metrics"),
            ("GET", "/socket.io/"),
            ("GET", "/setup"),
        ],
        tokens: &[],
        no_tokens: &[("/metrics", "Basic OnVrMV9rZXk=")],
    },
    Promise {
        recipe: "zipline",
        told: &[],
        open: &[
            ("GET", "/u/a.png"),
            ("GET", "/go/x"),
            ("POST", "/api/user/files/1/password"),
            ("GET", "/api/server/public"),
        ],
        closed: &[
            ("GET", "/"),
            ("GET", "/setup"),
            ("GET", "/api/user"),
            ("POST", "/u/a.png"),
            ("GET", "/api/healthcheck"),
        ],
        tokens: &[(
            "/api/upload",
            "MTcyOTcwMjE0MTAwMA==.OGE0ZTk5YzFiZjYxMmQ3ZTBjM2FmMWE1ZDkyYjY0Nzg6",
        )],
        no_tokens: &[(
            "/api/setup",
            "MTcyOTcwMjE0MTAwMA==.OGE0ZTk5YzFiZjYxMmQ3ZTBjM2FmMWE1ZDkyYjY0Nzg6",
        )],
    },
];

#[track_caller]
fn tells(echo: &Echo, told: &[(&str, &str)], what: &str) {
    for name in TELLING {
        let expected = told.iter().find(|(known, _)| *known == name);
        let value = echo.one(name).unwrap_or_default();
        assert_eq!(
            value,
            expected.map_or("", |(_, value)| value),
            "{what}: {name}"
        );
    }
}

#[tokio::test]
async fn every_recipe_does_what_it_says() {
    for promise in &PROMISES {
        let place = Place::of(promise.recipe).await;
        let nobody = Browser::new();
        let forged = TELLING.map(|name| (name, "admin"));
        for (method, path) in promise.open {
            let what = format!("{}: {method} {path}", promise.recipe);
            let echo = place.passes(&nobody, method, path, &forged[..8]).await;
            tells(&echo.expect(&what), &[], &what);
        }
        for (method, path) in promise.closed {
            let what = format!("{}: {method} {path}", promise.recipe);
            let echo = place.passes(&nobody, method, path, &forged[..8]).await;
            assert!(echo.is_none(), "{what} reached the application");
        }
        for (path, token) in promise.tokens {
            let what = format!("{}: {path} with {token}", promise.recipe);
            let headers = [("authorization", *token), ("cookie", "session=abc")];
            let echo = place.passes(&nobody, "POST", path, &headers).await;
            let echo = echo.expect(&what);
            tells(&echo, &[], &what);
            assert_eq!(echo.one("authorization"), Some(*token), "{what}");
        }
        for (path, token) in promise.no_tokens {
            let what = format!("{}: {path} with {token}", promise.recipe);
            let headers = [("authorization", *token)];
            let echo = place.passes(&nobody, "POST", path, &headers).await;
            assert!(echo.is_none(), "{what} reached the application");
        }
        let bob = place.bob().await;
        for (method, path) in promise.closed {
            let what = format!("{}: bob {method} {path}", promise.recipe);
            let echo = place.passes(&bob, method, path, &forged[..8]).await;
            tells(&echo.expect(&what), promise.told, &what);
        }
    }
}

/// `optional`: the same page for a visitor and for somebody known.
#[tokio::test]
async fn gitea_knows_who_reads_a_public_repository() {
    let place = Place::of("gitea").await;
    let bob = place.bob().await;
    let told = PROMISES[0].told;
    for path in ["/", "/org/repo", "/org/repo/issues"] {
        let echo = place.passes(&Browser::new(), "GET", path, &[]).await;
        tells(&echo.expect(path), &[], path);
        let echo = place
            .passes(&bob, "GET", path, &[("x-webauth-user", "admin")])
            .await;
        tells(&echo.expect(path), told, path);
    }
    // Git in a terminal is nobody, also where a browser is signed in.
    let git = "/org/repo.git/info/refs?service=git-receive-pack";
    for headers in [&[][..], &[("authorization", "Basic Ym9iOmhpcyB0b2tlbg==")]] {
        let echo = place
            .passes(&bob, "GET", git, headers)
            .await
            .expect("passes");
        tells(&echo, &[], git);
    }
}
