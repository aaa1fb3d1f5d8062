//! How the server is reached: user, settings, TLS.

use super::*;

#[tokio::test]
async fn signs_in_as_a_user_and_says_when_it_may_not() {
    let Some(server) = server(&[
        "--user",
        "default",
        "off",
        "--user",
        "gate",
        "on",
        ">secret-word",
        "~vestibule:*",
        "+@all",
        "-@dangerous",
        "--user",
        "operator",
        "on",
        ">operator-word",
        "+@all",
    ]) else {
        return;
    };
    let mut settings = server.settings();
    settings.username = Some("gate".into());
    let file = server.folder.path().join("password");
    write_private(&file, "secret-word");
    settings.password = Some(LiveSecret::in_file(file.clone()).unwrap());
    let store = RedisStore::new(&settings, TIMEOUT).unwrap();
    back(&store).await;
    store.create(fresh_id(), records(10)).await.unwrap();
    // A rotation: the next connection is made with the new password.
    let operator = format!("{}?user=operator&pass=operator-word", server.url());
    let operator = ::redis::Client::open(operator).unwrap();
    let mut operator = operator.get_multiplexed_async_connection().await.unwrap();
    let mut change = ::redis::cmd("ACL");
    change.arg(&["SETUSER", "gate", "resetpass", ">third-word"]);
    change.exec_async(&mut operator).await.unwrap();
    write_private(&file, "third-word");
    let mut kill = ::redis::cmd("CLIENT");
    kill.arg(&["KILL", "USER", "gate"]);
    kill.exec_async(&mut operator).await.unwrap();
    until_error(&store).await;
    back(&store).await;
    store.create(fresh_id(), records(10)).await.unwrap();
    settings.password = Some(SecretString::from("another-word".to_owned()).into());
    let store = RedisStore::new(&settings, TIMEOUT).unwrap();
    let error = store.probe().await.unwrap_err();
    assert!(matches!(error, StoreError::Credentials(_)), "{error:?}");
    assert!(!error.to_string().contains("another-word"));
}

fn write_private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    let settings = checked::Redis {
        url: "rediss://localhost".parse().unwrap(),
        username: None,
        password: None,
        sentinel_username: None,
        sentinel_password: None,
        ca_file: Some("/absent/ca.pem".into()),
        key_prefix: "v".into(),
    };
    assert!(RedisStore::new(&settings, TIMEOUT).is_err());
}

fn openssl(folder: &std::path::Path, arguments: &str) -> bool {
    let status = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn speaks_tls_with_the_authority_it_was_given_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1").unwrap();
    let authority = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    let made = openssl(
        at,
        &format!("{authority} -subj /CN=ca -keyout ca.key -out ca.pem"),
    ) && openssl(
        at,
        &format!("{authority} -subj /CN=other -keyout o.key -out o.pem"),
    ) && openssl(
        at,
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x \
             -keyout s.key -out s.csr"
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .as_str(),
    ) && openssl(
        at,
        "x509 -req -in s.csr -CA ca.pem -CAkey ca.key -days 2 -extfile ext -out s.pem",
    );
    if !made {
        println!("skipped: openssl is not installed");
        return;
    }
    // The server cannot take a socket of ours, nor tell which port it chose.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let text = |name: &str| at.join(name).display().to_string().leak() as &'static str;
    let Some(server) = server(&[
        "--tls-port",
        port.to_string().leak(),
        "--bind",
        "127.0.0.1",
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        text("s.pem"),
        "--tls-key-file",
        text("s.key"),
        "--tls-ca-cert-file",
        text("ca.pem"),
    ]) else {
        return;
    };
    let mut settings = server.settings();
    settings.url = format!("rediss://localhost:{port}/0").parse().unwrap();
    settings.ca_file = Some(at.join("ca.pem"));
    let store = RedisStore::new(&settings, TIMEOUT).unwrap();
    back(&store).await;
    settings.ca_file = Some(at.join("o.pem"));
    let other = RedisStore::new(&settings, TIMEOUT).unwrap();
    assert!(matches!(
        other.probe().await,
        Err(StoreError::Unavailable(_))
    ));
    settings.ca_file = None;
    let system = RedisStore::new(&settings, TIMEOUT).unwrap();
    assert!(system.probe().await.is_err());
}
