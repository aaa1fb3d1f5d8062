//! The environment, secret files, the key ring, and the places of the file.

use super::*;

#[test]
fn the_environment_overrides_the_file() {
    let text =
        format!("{BASE}[provider.my-git]\nkind = \"oidc\"\nissuer = \"https://git.example.com\"\n");
    let config = with_environment(
        &text,
        &[
            ("VESTIBULE__PROVIDER__MY_GIT__CLIENT_ID", "from-environment"),
            ("VESTIBULE__PROVIDER__MY_GIT__CLIENT_SECRET", "secret"),
            ("VESTIBULE__SERVER__PUBLIC_URL", "https://other.example.com"),
            ("VESTIBULE__SERVER__LISTEN", "127.0.0.1:1, 127.0.0.1:2"),
            ("VESTIBULE__SERVER__RETURN_TO_HOSTS", "[\"a.example.com\"]"),
            ("VESTIBULE__SERVER__WORKERS", "3"),
            ("VESTIBULE__LOG__ACCESS", "false"),
            ("VESTIBULE__SESSION__LIFETIME", "8h"),
            ("VESTIBULE_PORT", "tcp://10.0.0.1:4180"),
            ("VESTIBULE_SERVICE_HOST", "10.0.0.1"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(
        config.warnings,
        [],
        "a secret in the environment is no literal in the file"
    );
    let config = config.config;
    let git = config
        .providers
        .values()
        .find(|provider| provider.id.0 == "my-git")
        .unwrap();
    assert_eq!(git.client_id, "from-environment");
    assert_eq!(config.server.public_url.host, "other.example.com");
    assert_eq!(config.server.listen.len(), 2);
    assert_eq!(config.server.return_to_hosts.len(), 1);
    assert_eq!((config.server.workers, config.log.access), (3, false));
    assert_eq!(config.session.idle_timeout, Duration::from_secs(8 * 3600));
}

#[test]
fn variables_that_are_unknown_or_decide_access_are_refused() {
    for (name, value, what, cure) in [
        (
            "VESTIBULE__SERVER__WORKER",
            "1",
            "no known key",
            "VESTIBULE__SERVER__WORKERS?",
        ),
        (
            "VESTIBULE__SERVR__WORKERS",
            "1",
            "no known key",
            "VESTIBULE__SERVER?",
        ),
        ("VESTIBULE__NOTHING", "1", "no known key", "reference.md"),
        (
            "VESTIBULE__ROUTE__FILES__ACCESS",
            "anyone",
            "cannot come from the environment",
            "route.files.access",
        ),
        (
            "VESTIBULE__ROUTE__FILES__RULES",
            "[]",
            "cannot come from the environment",
            "route.files.rules",
        ),
        (
            "VESTIBULE__ROUTE__FILES__DENY",
            "[]",
            "cannot come from the environment",
            "route.files.deny",
        ),
        (
            "VESTIBULE__ROUTE_DEFAULTS__DENY",
            "[]",
            "cannot come from the environment",
            "route_defaults.deny",
        ),
        (
            "VESTIBULE__ROUTE_DEFAULTS__ACCESS",
            "anyone",
            "cannot come from the environment",
            "route_defaults.access",
        ),
        (
            "VESTIBULE__SERVER__TRUSTED_PROXIES",
            "10.0.0.0/8",
            "cannot come from the environment",
            "server.trusted_proxies",
        ),
        (
            "VESTIBULE__SERVER",
            "x",
            "is a table",
            "VESTIBULE__SERVER__KEY",
        ),
        (
            "VESTIBULE__SERVER__WORKERS",
            "many",
            "not an integer",
            "digits",
        ),
        (
            "VESTIBULE__LOG__ACCESS",
            "yes",
            "not true or false",
            "true or false",
        ),
        ("VESTIBULE__SERVER__LISTEN", "[1", "JSON", "one,two"),
    ] {
        let problems = with_environment(BASE, &[(name, value)]).expect_err(name);
        let [problem] = problems.errors.as_slice() else {
            panic!("{name}: {problems}")
        };
        assert_eq!(problem.place, format!("environment {name}"));
        assert!(
            problem.what.contains(what) && problem.cure.contains(cure),
            "{problem}"
        );
    }
    // a value with a fault is told under its key and its variable
    let problems = with_environment(BASE, &[("VESTIBULE__SESSION__LIFETIME", "8")]).unwrap_err();
    assert_eq!(problems.errors[0].key, "session.lifetime");
    assert_eq!(
        problems.errors[0].place,
        "environment VESTIBULE__SESSION__LIFETIME"
    );
}

#[test]
fn secrets_come_from_files_that_nobody_else_may_read() {
    use secrecy::ExposeSecret;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let text = changed(
        "client_id = \"vestibule\"",
        "client_id = \"vestibule\"\nclient_secret_file = \"secret\"",
    );
    let read = |text: &str| parse(text, "vestibule.toml", &[], folder.path());
    let key = "provider.main.client_secret_file";

    let missing = read(&text).unwrap_err();
    assert_eq!(
        (missing.errors[0].key.as_str(), missing.errors[0].line),
        (key, Some(6))
    );

    write(&file, " s3cr3t \n", 0o640);
    let provider = |loaded: Loaded| loaded.config.providers.into_values().next().unwrap();
    let secret = provider(read(&text).unwrap()).client_secret.unwrap();
    assert_eq!(
        secret.current().expose_secret(),
        " s3cr3t ",
        "one newline is trimmed and nothing else"
    );

    for mode in [0o644, 0o604, 0o602] {
        write(&file, "s3cr3t", mode);
        let readable = read(&text).unwrap_err();
        assert!(
            readable.errors[0].cure.contains("chmod o-rwx"),
            "{readable}"
        );
    }
    for bad in ["", "\n", "a\nb\n"] {
        write(&file, bad, 0o600);
        assert_eq!(read(&text).unwrap_err().errors[0].key, key, "{bad:?}");
    }
    write(&file, "s3cr3t", 0o600);
    let both = text.replace(
        "client_secret_file",
        "client_secret = \"other\"\nclient_secret_file",
    );
    let both = read(&both).unwrap_err();
    assert_eq!(both.errors[0].key, "provider.main.client_secret");
    assert!(
        both.errors[0]
            .cure
            .contains("remove provider.main.client_secret"),
        "{both}"
    );
    let literal = read(&text.replace(
        "client_secret_file = \"secret\"",
        "client_secret = \"n0tprinted\"",
    ))
    .unwrap();
    assert_eq!(literal.warnings.len(), 1);
    let printed = format!("{:?}{:?}", literal.warnings, literal.config);
    assert!(!printed.contains("n0tprinted"));
}

#[test]
fn sec_ses_07_the_key_ring_is_made_once_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let variables = [("STATE_DIRECTORY".to_owned(), state.display().to_string())];
    let read = || parse(BASE, "vestibule.toml", &variables, folder.path());
    let first = read().unwrap().config;
    let ring = state.join("keys");
    assert_eq!(
        std::fs::metadata(&ring).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let again = read().unwrap().config;
    assert_eq!(first.keys.ring.writer().id(), again.keys.ring.writer().id());
    assert_eq!(again.keys.origin, ring.display().to_string());

    std::fs::write(state.join("vestibule.db"), "").unwrap();
    std::fs::remove_file(&ring).unwrap();
    let problems = read().unwrap_err();
    assert_eq!(problems.errors[0].key, "keys.file");
    assert!(problems.errors[0].cure.contains("backup"), "{problems}");
    assert!(!ring.exists());

    write(&ring, "hello\n", 0o600);
    let problems = read().unwrap_err();
    assert_eq!(problems.errors[0].key, "keys.file");
    assert!(problems.errors[0].what.contains("line 1"), "{problems}");
}

#[test]
fn a_refused_configuration_and_inspection_leave_no_traces() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vestibule.toml");
    let sources = Sources {
        file: Some(file.clone()),
        environment: Vec::new(),
    };
    std::fs::write(&file, changed("\"signed-in\"", "[]")).unwrap();
    assert!(load(&sources).is_err());
    std::fs::write(&file, BASE).unwrap();
    inspect(&sources).unwrap();
    assert!(!folder.path().join("keys").exists());
    load(&sources).unwrap();
    assert!(folder.path().join("keys").exists());
}

#[test]
fn redis_needs_keys_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        format!("session.store = \"redis\"\nredis.url = \"redis://127.0.0.1:6379/0\"\n{BASE}");
    refuses(&text, "keys.file", None, "vestibule keys generate");
    write(&folder.path().join("keys"), &KeyRing::generate(), 0o600);
    let text = format!("keys.file = \"keys\"\n{text}");
    let read = |text: &str| parse(text, "vestibule.toml", &[], folder.path());
    let Store::Redis(redis) = read(&text).unwrap().config.store else {
        panic!()
    };
    assert_eq!(redis.key_prefix, "vestibule");
    for (url, cure) in [
        ("redis://me:pw@127.0.0.1", "redis.password_file"),
        ("redis-cluster://127.0.0.1/3", "redis-cluster://"),
        ("redis-sentinel://127.0.0.1", "redis-sentinel://"),
        ("http://127.0.0.1", "redis://"),
        ("redis://127.0.0.1/zero", "redis://HOST:PORT/DB"),
        ("127.0.0.1:6379", "redis://"),
        ("redis://127.0.0.1/?pass=pw@", "redis://"),
    ] {
        let problems = read(&text.replace("redis://127.0.0.1:6379/0", url)).expect_err(url);
        assert_eq!(problems.errors.len(), 1, "{problems}");
        assert_eq!(
            (problems.errors[0].key.as_str(), problems.errors[0].line),
            ("redis.url", Some(3))
        );
        assert!(problems.errors[0].cure.contains(cure), "{problems}");
        assert!(!problems.to_string().contains("pw@"));
    }
}

#[test]
fn without_a_file_both_places_are_named() {
    let absent = Sources {
        file: Some("/nowhere/vestibule.toml".into()),
        environment: Vec::new(),
    };
    let problems = load(&absent).unwrap_err().to_string();
    assert!(problems.contains("/nowhere/vestibule.toml"), "{problems}");
    if STANDARD_PLACES
        .iter()
        .all(|place| !Path::new(place).exists())
    {
        let problems = load(&Sources::default()).unwrap_err().to_string();
        for place in STANDARD_PLACES {
            assert!(problems.contains(place), "{problems}");
        }
    }
}
