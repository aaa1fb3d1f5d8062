//! Golden files for every page in both languages, and hostile values in
//! every field. `UPDATE_GOLDEN=1 cargo test --lib page::` rewrites the files.

use std::path::PathBuf;
use std::time::Duration;

use http::header;

use super::*;
use crate::base::bounded_body;
use crate::base::clock::Timestamp;
use crate::page::contents::{ActionKind, SignInNotice};

fn plain() -> checked::Pages {
    checked::Pages {
        auto: true,
        name: None,
        logo: None,
        accent: None,
        contact_url: None,
    }
}

fn branded() -> checked::Pages {
    checked::Pages {
        name: Some("Example & Sons".to_owned()),
        accent: Some("#0f766e".to_owned()),
        contact_url: Some("https://help.example.com/".to_owned()),
        ..plain()
    }
}

async fn html(response: Response<Body>) -> String {
    let bytes = bounded_body::read(response.into_body(), 1 << 20)
        .await
        .unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn choice(label: &str, href: &str) -> Choice {
    Choice {
        label: label.to_owned(),
        href: href.to_owned(),
    }
}

fn ann() -> WhoAmI {
    WhoAmI {
        name: Some("Ann Example".to_owned()),
        username: Some("ann".to_owned()),
        email: Some("ann@example.org".to_owned()),
        groups: Some(vec!["admins".to_owned(), "staff".to_owned()]),
        provider: "Example ID".to_owned(),
        signed_in_at: Some(Timestamp::from_secs(1_795_204_500)),
        expires_in: Duration::from_secs(29 * 86_400 + 3600),
        sign_out_action: "/oauth2/sign_out".to_owned(),
        csrf: "c5rf".to_owned(),
        form_targets: vec!["https://id.example.com".to_owned()],
    }
}

fn every_page(pages: &Pages, language: Language) -> Vec<(&'static str, Response<Body>)> {
    let problem = |problem: Problem<'_>| pages.problem(language, &problem);
    let several = SignIn {
        choices: vec![
            choice("Example ID", "/oauth2/start?provider=main&rd=%2F"),
            choice("Gitea", "/oauth2/start?provider=git&rd=%2F"),
        ],
        notice: Some(SignInNotice::SessionEnded),
    };
    vec![
        ("sign_in", pages.sign_in(language, &several)),
        (
            "switch_account",
            pages.switch_account(
                language,
                &SwitchAccount {
                    person: "ann@example.org".to_owned(),
                    continue_href: "/files".to_owned(),
                    switch_action: "/oauth2/sign_in".to_owned(),
                    csrf: "c5rf".to_owned(),
                    form_targets: vec![],
                },
            ),
        ),
        (
            "signed_out",
            pages.signed_out(
                language,
                &SignedOut {
                    sign_in_href: "/oauth2/sign_in".to_owned(),
                    elsewhere: false,
                },
            ),
        ),
        (
            "signed_out_elsewhere",
            pages.signed_out(
                language,
                &SignedOut {
                    sign_in_href: "/oauth2/sign_in".to_owned(),
                    elsewhere: true,
                },
            ),
        ),
        (
            "sign_out_confirm",
            pages.sign_out_confirm(
                language,
                &SignOutConfirm {
                    action: "/oauth2/sign_out".to_owned(),
                    csrf: "c5rf".to_owned(),
                    return_to: Some("/".to_owned()),
                    form_targets: vec![],
                },
            ),
        ),
        ("who_am_i", pages.who_am_i(language, &ann())),
        (
            "login_failed",
            problem(
                Problem {
                    since: Some(Timestamp::from_secs(1_795_200_000)),
                    retry_after: Some(Duration::from_secs(5)),
                    phase: Some("exchange"),
                    ..Problem::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "provider_unreachable",
                        "7h3kq9x2mp",
                    )
                }
                .action(ActionKind::TryAgain, "/oauth2/start?rd=%2F")
                .action(ActionKind::GoHome, "/"),
            ),
        ),
        (
            "login_loop",
            problem(Problem {
                phase: Some("start"),
                because: Some("session_unknown"),
                retry_after: Some(Duration::from_secs(48)),
                ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "login_loop", "7h3kq9x2mp")
                    .action(ActionKind::TryAgain, "/oauth2/start?rd=%2F")
            }),
        ),
        (
            "forbidden",
            problem(Problem {
                signed_in_as: Some("ben@example.org".to_owned()),
                ..Problem::new(StatusCode::FORBIDDEN, "not_admitted", "00193a5b2c4d1")
                    .action(ActionKind::SwitchAccount, "/oauth2/sign_in?rd=%2Fadmin")
            }),
        ),
        (
            "form_lost",
            problem(Problem {
                form_lost: true,
                ..Problem::new(
                    StatusCode::UNAUTHORIZED,
                    "sign_in_required",
                    "00193a5b2c4d2",
                )
                .action(ActionKind::SignIn, "/oauth2/sign_in?rd=%2F")
            }),
        ),
        (
            "store_down",
            problem(Problem {
                retry_after: Some(Duration::from_secs(5)),
                ..Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store_unavailable",
                    "00193a5b2c4d3",
                )
            }),
        ),
        ("redirecting", pages.redirecting(language, "/files?a=1&b=2")),
    ]
}

/// Compares with the file under `tests/golden/pages`, or writes it.
fn compare(name: &str, html: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/pages")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, html).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == html,
        "{name} differs from its golden file; look at it and run with UPDATE_GOLDEN=1\n{html}"
    );
}

#[tokio::test]
async fn golden_pages() {
    for (brand, config) in [("plain", plain()), ("branded", branded())] {
        let pages = Pages::new(&config, "/oauth2");
        for (tag, language) in [("en", Language::English), ("zh", Language::Chinese)] {
            for (name, response) in every_page(&pages, language) {
                // The address of the stylesheet changes with each comma in it.
                let html = html(response)
                    .await
                    .replace(&pages.brand.assets[0].version, "CSS")
                    .replace(&pages.brand.assets[1].version, "MARK");
                compare(&format!("{brand}-{name}.{tag}.html"), &html);
            }
        }
    }
}

/// Writes every page, with working assets, for a look in a browser:
/// `VESTIBULE_PAGES=/tmp/pages cargo test --lib page:: -- --ignored`.
#[tokio::test]
#[ignore = "writes files for looking at"]
async fn write_pages_to_look_at() {
    let folder = PathBuf::from(std::env::var_os("VESTIBULE_PAGES").expect("VESTIBULE_PAGES"));
    for (brand, config) in [("plain", plain()), ("branded", branded())] {
        let folder = folder.join(brand);
        std::fs::create_dir_all(&folder).unwrap();
        let pages = Pages::new(&config, "/oauth2");
        for asset in &pages.brand.assets {
            let name = asset.file.replace("logo", "logo.svg");
            std::fs::write(folder.join(name), &asset.bytes).unwrap();
        }
        for (tag, language) in [("en", Language::English), ("zh", Language::Chinese)] {
            for (name, response) in every_page(&pages, language) {
                let html = html(response)
                    .await
                    .replace(&pages.brand.css_href, "vestibule.css")
                    .replace(&pages.brand.mark_href, "logo.svg");
                std::fs::write(folder.join(format!("{name}.{tag}.html")), html).unwrap();
            }
        }
    }
}

#[test]
fn sec_ses_31_every_page_has_the_headers() {
    let pages = Pages::new(&branded(), "/oauth2");
    for (name, response) in every_page(&pages, Language::Chinese) {
        let of = |header: http::HeaderName| {
            let values: Vec<_> = response.headers().get_all(&header).iter().collect();
            assert_eq!(values.len(), 1, "{name}: {header}");
            values[0].to_str().unwrap().to_owned()
        };
        let policy = of(header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none';"), "{name}");
        assert!(policy.contains("frame-ancestors 'none'"), "{name}");
        assert_eq!(of(header::X_FRAME_OPTIONS), "DENY");
        assert_eq!(of(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(
            of(crate::base::header_names::CROSS_ORIGIN_OPENER_POLICY),
            "same-origin"
        );
        assert_eq!(of(header::CONTENT_LANGUAGE), "zh-Hans");
    }
}

#[test]
fn sec_rp_10_pages_leak_nothing() {
    let pages = Pages::new(&plain(), "/oauth2");
    for (name, response) in every_page(&pages, Language::English) {
        let headers = response.headers();
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer", "{name}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{name}");
    }
}

#[tokio::test]
async fn sec_ses_31_no_script_no_style_no_foreign_content() {
    let pages = Pages::new(&plain(), "/oauth2");
    for (name, response) in every_page(&pages, Language::English) {
        let html = html(response).await.to_lowercase();
        for bad in ["<script", "<style", " style=", " onclick", "src=\"http"] {
            assert!(!html.contains(bad), "{name} has {bad}");
        }
    }
}

/// Every field that a request, a provider or a person can fill.
#[tokio::test]
async fn hostile_values_stay_text() {
    const EVIL: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}";
    let evil = || EVIL.to_owned();
    let config = checked::Pages {
        name: Some(evil()),
        contact_url: Some(evil()),
        accent: Some(evil()),
        ..plain()
    };
    let pages = Pages::new(&config, "/oauth2");
    let href = format!("/{EVIL}");
    for language in [Language::English, Language::Chinese] {
        let answers = [
            pages.sign_in(
                language,
                &SignIn {
                    choices: vec![choice(EVIL, &href)],
                    notice: None,
                },
            ),
            pages.switch_account(
                language,
                &SwitchAccount {
                    person: evil(),
                    continue_href: href.clone(),
                    switch_action: href.clone(),
                    csrf: evil(),
                    form_targets: vec![evil()],
                },
            ),
            pages.signed_out(
                language,
                &SignedOut {
                    sign_in_href: href.clone(),
                    elsewhere: true,
                },
            ),
            pages.sign_out_confirm(
                language,
                &SignOutConfirm {
                    action: href.clone(),
                    csrf: evil(),
                    return_to: Some(evil()),
                    form_targets: vec![evil()],
                },
            ),
            pages.who_am_i(
                language,
                &WhoAmI {
                    name: Some(evil()),
                    username: Some(evil()),
                    email: Some(evil()),
                    groups: Some(vec![evil()]),
                    provider: evil(),
                    sign_out_action: href.clone(),
                    csrf: evil(),
                    form_targets: vec![evil()],
                    ..ann()
                },
            ),
            pages.problem(
                language,
                &Problem {
                    signed_in_as: Some(evil()),
                    form_lost: true,
                    retry_after: Some(Duration::from_secs(1)),
                    ..Problem::new(StatusCode::BAD_REQUEST, EVIL, EVIL)
                        .action(ActionKind::TryAgain, href.clone())
                },
            ),
            pages.redirecting(language, &href),
        ];
        for response in answers {
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap();
            assert!(!policy.contains("alert"));
            let html = html(response).await;
            assert!(html.contains("&#60;script&#62;"), "{html}");
            assert!(!html.contains("<script"), "{html}");
            assert!(!html.contains("<img src=x"), "{html}");
            assert!(!html.contains("\"'>"), "{html}");
            assert!(!html.contains("49"), "{html}");
        }
    }
}

#[tokio::test]
async fn hostile_addresses_lead_home() {
    let pages = Pages::new(&plain(), "/oauth2");
    for evil in [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "evil",
        "",
    ] {
        let html = html(pages.redirecting(Language::English, evil)).await;
        assert!(html.contains("content=\"0; url=/\""), "{evil}: {html}");
        assert!(html.contains("href=\"/\""), "{evil}");
    }
    assert_eq!(safe_href("/a?b=c"), "/a?b=c");
    assert_eq!(safe_href("mailto:a@example.org"), "mailto:a@example.org");
}

#[tokio::test]
async fn assets_carry_their_version() {
    let config = checked::Pages {
        logo: Some((b"\x89PNG".to_vec(), "image/png")),
        accent: Some("#ffd400".to_owned()),
        ..plain()
    };
    let pages = Pages::new(&config, "/in");
    let css = pages.asset(&pages.brand.css_href).unwrap();
    assert_eq!(
        css.headers()[header::CACHE_CONTROL],
        "public, max-age=31536000, immutable"
    );
    let text = html(css).await;
    assert!(
        text.starts_with(":root{--accent:#ffd400;--on-accent:#000000;"),
        "{text}"
    );
    let logo = pages.asset(&pages.brand.mark_href).unwrap();
    assert_eq!(logo.headers()[header::CONTENT_TYPE], "image/png");
    let old = pages
        .asset("/in/static/0000000000000000/vestibule.css")
        .unwrap();
    assert_eq!(old.headers()[header::CACHE_CONTROL], "no-store");
    for missing in [
        "/in/static/vestibule.css",
        "/in/static/a/b/vestibule.css",
        "/in/static/0/other.css",
        "/oauth2/static/0/vestibule.css",
        "/in/static/",
    ] {
        assert!(pages.asset(missing).is_none(), "{missing}");
    }
    let other = Pages::new(&plain(), "/in");
    assert_ne!(other.brand.css_href, pages.brand.css_href);
}

#[tokio::test]
async fn retry_after_is_said_twice() {
    let pages = Pages::new(&plain(), "/oauth2");
    let problem = Problem {
        retry_after: Some(Duration::from_millis(29_500)),
        ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "rate_limited", 7)
    };
    let response = pages.problem(Language::English, &problem);
    assert_eq!(response.headers()[header::RETRY_AFTER], "30");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let html = html(response).await;
    assert!(html.contains("in 30 seconds"), "{html}");
    assert!(html.contains("<code>rate_limited · 7</code>"), "{html}");
}
