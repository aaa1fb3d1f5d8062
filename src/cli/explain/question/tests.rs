use super::*;

fn config(more: &str) -> Config {
    let text = format!(
        "server.public_url = \"https://files.example.com:8443\"\n\
             [provider.main]\nkind = \"oidc\"\nissuer = \"https://id.example.com\"\nclient_id = \"v\"\n{more}\
             [route.files]\nupstream = \"http://127.0.0.1:3000\"\naccess = \"signed-in\"\n"
    );
    let folder = tempfile::tempdir().unwrap();
    crate::config::parse(&text, "t.toml", &[], folder.path())
        .unwrap()
        .config
}

fn ask(method: &str, url: &str) -> ExplainSettings {
    ExplainSettings {
        method: method.to_owned(),
        url: url.to_owned(),
        ..ExplainSettings::default()
    }
}

#[test]
fn an_address_is_taken_byte_for_byte() {
    let config = config("");
    for (url, host, path) in [
        ("/a//b?c", "files.example.com:8443", "/a//b?c"),
        ("https://x.test", "x.test", "/"),
        ("HTTP://X.test:80/%61", "x.test:80", "/%61"),
        ("https://x.test?a=b", "x.test", "/?a=b"),
        ("https://x.test/A;b", "x.test", "/A;b"),
    ] {
        let target = ask("GET", url)
            .target(&config, &http::HeaderMap::new())
            .unwrap()
            .unwrap();
        assert_eq!(target.authority.to_string(), host, "{url}");
        assert_eq!(target.path_and_query.as_str(), path, "{url}");
    }
    for (method, url, refusal) in [
        ("GET", "/a/../b", Refusal::Target(TargetError::DotSegment)),
        ("TRACE", "/", Refusal::Target(TargetError::Trace)),
        (
            "GET",
            "https://me@x.test/",
            Refusal::Target(TargetError::MalformedHost),
        ),
        (
            "GET",
            "https:///x",
            Refusal::Target(TargetError::MalformedHost),
        ),
        ("G T", "/", Refusal::NotHttp),
        ("GET", "/a b", Refusal::NotHttp),
        ("GET", "https://x.test\n/", Refusal::NotHttp),
    ] {
        let refused = ask(method, url)
            .target(&config, &http::HeaderMap::new())
            .unwrap();
        assert_eq!(refused.unwrap_err(), refusal, "{method} {url}");
    }
    for url in ["x.test/a", "", "ftp://x.test/", "ht"] {
        assert!(
            ask("GET", url)
                .target(&config, &http::HeaderMap::new())
                .is_err(),
            "{url}"
        );
    }
}

#[test]
fn a_person_is_what_was_said_of_them() {
    let one = config("");
    assert_eq!(ask("GET", "/").identity(&one), Ok(None));
    let mut asked = ExplainSettings {
        groups: vec!["staff".to_owned()],
        email: Some("ann@example.com".to_owned()),
        claims: vec!["team=a=b".to_owned(), "level=3".to_owned()],
        ..ask("GET", "/")
    };
    let ann = asked.identity(&one).unwrap().unwrap();
    assert_eq!(ann.provider.0, "main");
    assert_eq!(ann.verified_email(), Some("ann@example.com"));
    assert_eq!(ann.claims["team"], "a=b");
    assert_eq!(ann.claims["level"], 3);
    asked.email_unverified = true;
    let unverified = |config| {
        let identity = asked.identity(config).unwrap().unwrap();
        identity.verified_email().is_none()
    };
    assert!(unverified(&one));
    assert!(!unverified(&config("email_verified = \"trust\"\n")));
    let two = config(
        "[provider.two]\nkind = \"oidc\"\nissuer = \"https://two.test\"\nclient_id = \"v\"\n",
    );
    assert_eq!(
        asked.identity(&two),
        Err(QuestionError::WhichProvider("main, two".to_owned()))
    );
    asked.provider = Some("two".to_owned());
    assert_eq!(
        asked.identity(&two).unwrap().unwrap().issuer,
        "https://two.test"
    );
}
