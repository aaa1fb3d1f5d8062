//! `explain` says what the gateway does: asked for the same requests, both
//! give the same answers. And what else tells about decisions: the header for
//! admins, the shadow policy.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::gateway::Plan;
use crate::harness::provider::{Provider, User};
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::upstream::Upstream;
use crate::harness::{until, wire};

const QUIET: Duration = Duration::from_secs(5);

/// A bit of everything: lanes, methods, access and deny, networks, preflights,
/// a route of its own.
fn routes(upstream: &str) -> String {
    format!(
        r#"[route.app]
upstream = "{upstream}"
access = [ {{ groups = ["staff"] }} ]
rules = [
  {{ path = "/internal/*", lane = "deny" }},
  {{ methods = ["GET"], path = "/public/*", lane = "public" }},
  {{ path = "/admin/*", lane = "session", access = [{{ groups = ["admins"] }}] }},
  {{ methods = ["POST"], path = "/api/*", lane = "backend-token", header = {{ name = "authorization", matches = "^Bearer [a-z]{{20,}}$" }} }},
  {{ path = "/api/*", lane = "session", unauthenticated = "401" }},
  {{ methods = ["GET"], path = "/news/*", lane = "optional" }},
  {{ path = "/quiet/*", lane = "session", deny = [{{ usernames = ["bob"] }}] }},
  {{ path = "/near/*", lane = "session", access = [{{ client_networks = ["loopback"] }}] }},
  {{ path = "/far/*", lane = "session", access = [{{ client_networks = ["198.51.100.0/24"] }}] }},
  {{ path = "/x/*/log", lane = "session" }},
  {{ path = "/x/a/*", lane = "deny" }},
]

[route.guarded]
upstream = "{upstream}"
path = "/guarded/*"
preflight = "pass"
access = "signed-in"
deny = [ {{ groups = ["admins"] }} ]
rules = [ {{ methods = ["GET"], path = "/guarded/news/*", lane = "optional" }} ]

[route.mail]
upstream = "{upstream}"
path = "/mail/*"
identity = "remote-user"
access = [ {{ emails = ["ann@corp.test"] }} ]

[route.tool]
upstream = "{upstream}"
path = "/tool/*"
strip_prefix = "/tool"
add_prefix = "/inner"
access = "signed-in"
rules = [
  {{ path = "/inner/secret/*", lane = "deny" }},
  {{ methods = ["GET"], path = "/inner/open/*", lane = "public" }},
]
"#
    )
}

async fn scene(more: &str) -> Scene {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let gateway = Plan::bare(&provider.issuer)
        .environment("VESTIBULE__LOG__DECISIONS", "true")
        .route(&routes(&upstream.url()))
        .route(more)
        .start()
        .await;
    Scene {
        provider,
        upstream,
        gateway,
    }
}

/// Exit code and JSON of `vestibule explain`.
fn explain(config: &Path, words: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .arg("explain")
        .args(words)
        .args(["--json", "--config"])
        .arg(config)
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let answer = serde_json::from_str(&text).unwrap_or_else(|error| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        panic!("{words:?}: {error}: {text}{complaint}")
    });
    (output.status.code().expect("exit code"), answer)
}

struct Person {
    words: &'static [&'static str],
    cookie: Option<String>,
}

/// Each path with the methods that are tried on it.
const ASKED: &[(&str, &[&str])] = &[
    ("/", &["GET", "POST", "get"]),
    ("/x?a=/public/b", &["GET"]),
    ("/public/a", &["GET", "HEAD", "POST"]),
    ("/Public/a", &["GET"]),
    ("/public//a", &["GET"]),
    ("/public/%61", &["GET"]),
    ("/public/a?_method=PUT", &["GET"]),
    ("/internal/a", &["GET"]),
    ("/INTERNAL/a", &["GET"]),
    ("/admin/a", &["GET"]),
    ("/%61dmin/a", &["GET"]),
    ("/api/a", &["GET", "DELETE", "POST", "OPTIONS"]),
    ("/news/a", &["GET", "POST"]),
    ("/news//a", &["GET"]),
    ("/quiet/a", &["GET"]),
    ("/near/a", &["GET"]),
    ("/far/a", &["GET"]),
    ("/x/a/log", &["GET"]),
    ("/x/a%252fb/log", &["GET"]),
    ("/guarded/a", &["GET", "OPTIONS"]),
    ("/guarded/news/a", &["GET"]),
    ("/mail/a", &["GET"]),
    ("/Mail/a", &["GET"]),
    ("/tool/a?b", &["GET"]),
    ("/tool/open/a", &["GET", "POST"]),
    ("/tool/Secret/a", &["GET"]),
    ("/tool//secret/a", &["GET"]),
    ("/tool/inner/open/a", &["GET"]),
    ("/a/../public/b", &["GET"]),
    ("/a%2fb", &["GET"]),
    ("/a%zz", &["GET"]),
    ("/a", &["TRACE"]),
    ("/oauth2/nothing", &["GET"]),
    ("/oauth2/userinfo", &["POST"]),
];

/// What a request may carry besides.
const CARRIED: &[&[&str]] = &[
    &[],
    &["Authorization: Bearer abcdefghijklmnopqrstuvwxyz"],
    &["Authorization: Bearer short"],
    &[
        "Origin: https://other.test",
        "Access-Control-Request-Method: PUT",
    ],
];

/// Route, rule, lane and decision of a request, and how often it came.
type Tally = BTreeMap<String, usize>;

fn tally_key(method: &str, path: &str, entry: &Value, rule: &str) -> String {
    let word = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
    let path = path.split('?').next().expect("path");
    format!(
        "{method} {path} {} {} {rule} {}",
        word("route"),
        word("lane"),
        word("decision")
    )
}

#[tokio::test]
async fn explain_and_the_gateway_agree() {
    let scene = scene("").await;
    let ann = scene.signed_in(User::ann()).await;
    let bob = scene.signed_in(User::bob()).await;
    let people = [
        Person {
            words: &["--anonymous"],
            cookie: None,
        },
        Person {
            words: &[
                "--as",
                "sub-ann",
                "--groups",
                "staff,admins",
                "--email",
                "ann@corp.test",
                "--username",
                "ann",
                "--name",
                "Ann Example",
            ],
            cookie: Some(session_cookie(&ann)),
        },
        Person {
            words: &[
                "--as",
                "sub-bob",
                "--groups",
                "staff",
                "--email",
                "bob@corp.test",
                "--username",
                "bob",
            ],
            cookie: Some(session_cookie(&bob)),
        },
    ];
    let config = scene.gateway.plan().written();
    let mut expected = Tally::new();
    let mut cases = 0;
    for (path, methods) in ASKED {
        for method in *methods {
            for (person, carried) in people.iter().flat_map(|person| {
                let carried = CARRIED.iter().filter(|lines| {
                    lines.is_empty() || path.contains("/api") || path.contains("/guarded")
                });
                carried.map(move |lines| (person, *lines))
            }) {
                let mut words = [&[*method, *path, "--from", "127.0.0.1"], person.words].concat();
                words.extend(carried.iter().flat_map(|line| ["--header", line]));
                let (code, answer) = explain(&config, &words);
                let asked = Asked {
                    method,
                    path,
                    person,
                    carried,
                };
                compare(&scene, &asked, code, &answer).await;
                if answer["decision"] != "malformed" {
                    let rule = match (&answer["rule"], &answer["route"]) {
                        (Value::Number(index), _) => index.to_string(),
                        (_, Value::String(_)) => "none".to_owned(),
                        _ => "-".to_owned(),
                    };
                    *expected
                        .entry(tally_key(method, path, &answer, &rule))
                        .or_default() += 2;
                }
                cases += 1;
            }
        }
    }
    assert!(cases >= 60, "{cases} cases");
    // The access log names the same route, rule, lane and decision.
    let mut logged = Tally::new();
    let complete = |logged: &Tally| {
        let enough = |(key, count): (&String, &usize)| logged.get(key) >= Some(count);
        expected.iter().all(enough)
    };
    until::holds("the access log has the same decisions", || {
        logged = Tally::new();
        for line in scene.gateway.log().lines() {
            let Ok(entry) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let (Some(method), Some(path)) = (entry["method"].as_str(), entry["path"].as_str())
            else {
                continue;
            };
            let rule = entry["rule"].as_str().unwrap_or("-");
            *logged
                .entry(tally_key(method, path, &entry, rule))
                .or_default() += 1;
        }
        complete(&logged)
    })
    .await;
}

struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    person: &'a Person,
    carried: &'a [&'a str],
}

/// The same request as a script and as a browser.
async fn compare(scene: &Scene, asked: &Asked<'_>, code: i32, answer: &Value) {
    let Asked {
        method,
        path,
        person,
        carried,
    } = asked;
    let words = person.words;
    let what = format!("{method} {path} {words:?} {carried:?}: {answer:#}");
    let carried: String = carried.iter().map(|line| format!("{line}\r\n")).collect();
    let permitted = answer["permitted"].as_bool().expect("yes or no");
    assert_eq!(code, i32::from(!permitted), "{what}");
    let cookie = person.cookie.as_ref();
    let cookie = cookie.map_or_else(String::new, |value| {
        format!("Cookie: vestibule={value}\r\n")
    });
    let navigation =
        "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
    for (manner, lines) in [("api", ""), ("browser", navigation)] {
        let before = scene.upstream.requests().len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n{cookie}{carried}{lines}\r\n",
            scene.gateway.authority()
        );
        let bytes = wire::raw(scene.gateway.address(), text.as_bytes(), QUIET).await;
        let got = String::from_utf8_lossy(&bytes);
        let seen = scene.upstream.requests();
        assert_eq!(seen.len() - before, usize::from(permitted), "{what}\n{got}");
        if let Some(status) = answer[manner]["status"].as_u64() {
            assert_eq!(u64::from(wire::status_of(&bytes)), status, "{what}\n{got}");
        }
        if let Some(location) = answer[manner]["location"].as_str() {
            assert!(
                got.contains(&format!("\r\nlocation: {location}")),
                "{what}\n{got}"
            );
        }
        if let Some(reason) = answer["reason"].as_str()
            && manner == "api"
            && *method != "TRACE"
        {
            assert!(got.contains(&format!("\"{reason}\"")), "{what}\n{got}");
        }
        if permitted {
            let echo = seen.last().expect("one");
            same_request(scene, echo, &answer["upstream"], &what);
        }
    }
}

fn same_request(scene: &Scene, echo: &Echo, received: &Value, what: &str) {
    let url = format!("{}{}", scene.upstream.url(), echo.target);
    assert_eq!(received["url"], url.as_str(), "{what}");
    assert_eq!(received["host"].as_str(), echo.one("host"), "{what}");
    let told = received["headers"].as_array().expect("list");
    for header in told {
        let name = header[0].as_str().expect("name");
        assert_eq!(echo.one(name), header[1].as_str(), "{name} {what}");
    }
    let identity = ["x-forwarded-user", "remote-user"];
    let sent = identity.iter().any(|name| echo.one(name).is_some());
    let of_person = |header: &&Value| header[0] != "x-forwarded-for";
    assert_eq!(sent, told.iter().any(|one| of_person(&one)), "{what}");
    if received["without_cookies"] == true {
        assert_eq!(echo.one("cookie"), None, "{what}");
    }
}

#[tokio::test]
async fn explain_tells_usage_from_refusal() {
    let scene = scene("").await;
    let config = scene.gateway.plan().written();
    let run = |words: &[&str], config: &Path| {
        let status = Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .arg("explain")
            .args(words)
            .arg("--config")
            .arg(config)
            .output()
            .expect("runs");
        status.status.code()
    };
    for (words, code) in [
        (&["GET", "/public/a"][..], Some(0)),
        (&["GET", "/x"], Some(1)),
        (&["GET", "https://elsewhere.test/"], Some(1)),
        (&["GET", "elsewhere.test/"], Some(2)),
        (&["GET"], Some(2)),
        (&["GET", "/x", "--provider", "mian"], Some(2)),
        (&["GET", "/x", "--claim", "team"], Some(2)),
        (&["GET", "/x", "--header", "authorization"], Some(2)),
        (&["GET", "/x", "--header", "a b: c"], Some(2)),
        (&["GET", "/x", "--from", "somewhere"], Some(2)),
        (&["POST", "/api/a"], Some(1)),
        (
            &[
                "POST",
                "/api/a",
                "--header",
                "authorization:Bearer abcdefghijklmnopqrst",
            ],
            Some(0),
        ),
        (&["GET", "/x", "--as", "ann", "--anonymous"], Some(2)),
    ] {
        assert_eq!(run(words, &config), code, "{words:?}");
    }
    // A faulty configuration refuses nobody.
    let faulty = scene.gateway.plan().folder().join("faulty.toml");
    std::fs::write(&faulty, "route = 1\n").expect("written");
    assert_eq!(run(&["GET", "/x"], &faulty), Some(2));
}

#[tokio::test]
async fn explain_says_which_condition_decided() {
    let scene = scene("").await;
    let config = scene.gateway.plan().written();
    let bob = ["--as", "sub-bob", "--groups", "staff", "--username", "bob"];
    for (words, parts) in [
        (
            &["GET", "/far/a"][..],
            &[
                "192.0.2.1 is not in 198.51.100.0/24",
                "add --from",
                "rules[8].access[0]",
            ][..],
        ),
        (
            &["GET", "/far/a", "--from", "198.51.100.7"],
            &["rules[8].access[0] admits"],
        ),
        (
            &["GET", "/quiet/a"],
            &["rules[6].deny[0] names this person"],
        ),
        (
            &["GET", "/x/a%252fb/log"],
            &["rules[10]", "another reading", "nobody passes"],
        ),
        (
            &["GET", "/guarded/news/a", "--groups", "admins"],
            &["the optional lane", "the route's deny[0] names this person"],
        ),
        (
            &["POST", "/api/a"],
            &["the request does not carry the header"],
        ),
        (
            &["POST", "/api/a", "--header", "authorization: Bearer x"],
            &["the header's value does not have that shape"],
        ),
        (&["GET", "/a%2fb"], &["encoded slash"]),
    ] {
        let (_, answer) = explain(&config, &[words, &bob].concat());
        let steps = answer["steps"].to_string();
        for part in parts {
            assert!(steps.contains(part), "{words:?} {part}: {answer:#}");
        }
    }
    let (_, near) = explain(&config, &["GET", "/near/a", "--from", "::ffff:127.0.0.1"]);
    assert_eq!(near["decision"], "sign_in", "nobody is signed in");
    let loopback = ["GET", "/near/a", "--from", "::ffff:127.0.0.1"];
    let (code, near) = explain(&config, &[&loopback[..], &bob].concat());
    assert_eq!(code, 0, "{near:#}");
    let steps = near["steps"].to_string();
    assert!(!steps.contains("--from"), "{steps}");
}

#[tokio::test]
async fn only_admins_see_how_it_was_decided() {
    let scene = scene("[trace]\nadmins = [ { groups = [\"admins\"] } ]\n").await;
    let ann = scene.signed_in(User::ann()).await;
    let bob = scene.signed_in(User::bob()).await;
    let nobody = Browser::new();
    let header = "x-vestibule-decision";
    for (path, told) in [
        ("/x", "route=app; rule=none; lane=session; decision=permit"),
        (
            "/admin/x",
            "route=app; rule=2; lane=session; decision=permit",
        ),
        ("/public/x", ""),
        ("/internal/x", ""),
    ] {
        let url = scene.gateway.url(path);
        let answer = ann.fetch("GET", &url, &[]).await;
        assert_eq!(answer.header(header), told, "{path}");
        for other in [&bob, &nobody] {
            let answer = other.fetch("GET", &url, &[(header, "forged")]).await;
            assert_eq!(answer.header(header), "", "{path}");
        }
    }
    // Refused by something else than the policy, which permitted.
    let foreign = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("origin", "https://evil.test"),
    ];
    let url = scene.gateway.url("/x");
    let refused = ann.fetch("GET", &url, &foreign).await;
    assert_eq!((refused.status.as_u16(), refused.header(header)), (403, ""));
    scene
        .provider
        .set(|script| script.user = User::ann().with("email", "ann@else.test".into()));
    let other_ann = Browser::new();
    other_ann.open(&scene.gateway.url("/x")).await;
    let refused = other_ann
        .fetch("GET", &scene.gateway.url("/mail/x"), &[])
        .await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.header(header),
        "route=mail; rule=none; lane=session; decision=deny; reason=not_admitted"
    );
}

#[tokio::test]
async fn the_shadow_policy_only_logs() {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let plan = Plan::bare(&provider.issuer).route(&routes(&upstream.url()));
    // The shadow is a complete configuration with other rules.
    let next = std::fs::read_to_string(plan.written())
        .expect("written")
        .replace(
            "\"/public/*\", lane = \"public\"",
            "\"/public/*\", lane = \"deny\"",
        )
        .replace("groups = [\"staff\"]", "groups = [\"admins\"]");
    std::fs::write(plan.folder().join("next.toml"), next).expect("written");
    let gateway = plan.route("[shadow]\nfile = \"next.toml\"\n").start().await;
    let scene = Scene {
        provider,
        upstream,
        gateway,
    };
    let bob = scene.signed_in(User::bob()).await;
    for _ in 0..5 {
        let public = Browser::new()
            .fetch("GET", &scene.gateway.url("/public/a"), &[])
            .await;
        assert_eq!(public.status, 200);
        let inner = bob.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        assert_eq!(inner.status, 200, "the real policy decides");
    }
    let ann = scene.signed_in(User::ann()).await;
    ann.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    let differing = |from: &str, to: &str| {
        format!("vestibule_shadow_differences_total{{route=\"app\",from=\"{from}\",to=\"{to}\"}}")
    };
    let metric = async |from, to| scene.gateway.metric(&differing(from, to)).await;
    assert!((metric("permit_public", "deny").await - 5.0).abs() < 0.1);
    // Bob's first page after the sign-in, and five more.
    assert!((metric("permit_session", "deny").await - 6.0).abs() < 0.1);
    assert!(metric("sign_in", "deny").await.abs() < 0.1);
    let said = "the shadow policy would decide otherwise";
    until::holds("both kinds are logged", || {
        scene.gateway.log().matches(said).count() >= 2
    })
    .await;
    let log = scene.gateway.log();
    assert_eq!(log.matches(said).count(), 2, "one line of a kind a minute");
    let line = log
        .lines()
        .find(|line| line.contains(said))
        .expect("a line");
    for part in ["permit_session", "deny", "not_admitted", "next.toml"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test]
async fn faults_of_the_shadow_stop_the_start_and_name_its_file() {
    let provider = Provider::start("oidc-plain").await;
    let plan =
        Plan::new(&provider.issuer, "http://127.0.0.1:9").route("[shadow]\nfile = \"next.toml\"\n");
    let (status, log) = plan.ends(&["serve"]).await;
    assert!(!status.success());
    assert!(
        log.contains("shadow.file") && log.contains("next.toml"),
        "{log}"
    );
    std::fs::write(
        plan.folder().join("next.toml"),
        "[route.app]\nacces = \"signed-in\"\n",
    )
    .expect("written");
    let (status, log) = plan.ends(&["check"]).await;
    assert!(!status.success());
    assert!(log.contains("next.toml:2  route.app.acces"), "{log}");
}
