//! `check --live`: what it says of peers that are well and of those that are
//! not, and that it leaves them as they were.

use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpListener;

use crate::harness::gateway::Plan;
use crate::harness::part::{self, Part};
use crate::harness::provider::{CLIENT_SECRET, Endpoint, Fault, Provider, User};
use crate::harness::redis::Redis;
use crate::harness::scene::Scene;
use crate::harness::until;
use crate::harness::upstream::Upstream;

const LIVE: [&str; 2] = ["check", "--live"];

/// Everything is well, and a gateway serves from the same database meanwhile.
#[tokio::test]
async fn row_0_12_good_peers_are_good_beside_a_running_gateway() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let (_, codes) = scene.logins();
    let (status, text) = scene.gateway.plan().ends(&LIVE).await;
    assert!(status.success(), "{text}");
    for said in [
        "Who gets in:",
        &format!("provider main ({})", scene.provider.issuer),
        "its discovery document is there",
        "signing key",
        "its clock agrees with ours",
        "good   it accepts the client id and secret (client_secret_basic)",
        "session store ",
        "it takes writes and gives them back",
        "the key ring fits the sessions in it",
        "application http://127.0.0.1:",
        "it accepts connections",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    assert!(!text.contains("WRONG"), "{text}");
    assert!(!text.contains(CLIENT_SECRET), "{text}");
    // One made-up code, and the gateway goes on as before.
    assert_eq!(scene.logins().1, codes + 1);
    let sent = scene.provider.recorded(Endpoint::Code);
    let code = sent.last().and_then(|one| one.parameter("code"));
    assert!(code.is_some_and(|code| code.starts_with("vestibule-check-")));
    let answer = ann.open(&scene.gateway.url("/again")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn row_0_12_a_wrong_secret_is_found_before_anybody_signs_in() {
    let scene = Scene::start().await;
    let plan = scene.gateway.plan().replica().client_secret("wrong-s3cret");
    let (status, text) = plan.ends(&LIVE).await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(
        text.contains("WRONG  the provider rejected the client's credentials"),
        "{text}"
    );
    assert!(text.contains("provider.main.client_secret_file"), "{text}");
    assert!(text.contains("1 thing is wrong"), "{text}");
    assert!(!text.contains("wrong-s3cret"), "{text}");
}

#[tokio::test]
async fn every_peer_that_is_away_is_named_with_its_cure() {
    let mut plan = Plan::new("http://127.0.0.1:1", "http://127.0.0.1:2");
    plan = plan.redis("url = \"redis://127.0.0.1:3/0\"");
    let begin = std::time::Instant::now();
    let (status, text) = plan.ends(&LIVE).await;
    assert_eq!(status.code(), Some(1), "{text}");
    for said in [
        "WRONG  the provider cannot be reached",
        "provider.main.internal_url",
        "WRONG  session store is unreachable",
        "redis.url",
        "WRONG  upstream cannot be reached: Connection refused",
        "route.app.upstream",
        "3 things are wrong",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    assert!(begin.elapsed().as_secs() < 30, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn faults_of_the_provider_are_told_in_its_words() {
    let scene = Scene::start().await;
    let plan = scene.gateway.plan();
    scene.provider.fail_always(
        Endpoint::Code,
        Fault::error(400, "redirect_uri_mismatch", "not registered"),
    );
    let (status, text) = plan.ends(&LIVE).await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("redirect_uri_mismatch"), "{text}");
    assert!(text.contains("register the redirect URI"), "{text}");
    scene
        .provider
        .fail_always(Endpoint::Code, Fault::error(400, "what_is_this", ""));
    let (status, text) = plan.ends(&LIVE).await;
    assert!(status.success(), "cannot tell is not wrong: {text}");
    assert!(text.contains("look   whether it accepts"), "{text}");
    assert!(text.contains("1 thing is worth a look"), "{text}");
}

#[tokio::test]
async fn a_faulty_configuration_comes_first() {
    let plan = Plan::new("http://127.0.0.1:1", "http://127.0.0.1:2").session("lifetme = \"1d\"");
    let (status, text) = plan.ends(&LIVE).await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("session.lifetme"), "{text}");
    assert!(text.contains("Nobody was asked"), "{text}");
}

/// A check before the first start leaves nothing behind.
#[tokio::test]
async fn a_database_that_is_not_there_is_not_made() {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let plan = Plan::new(&provider.issuer, &upstream.url());
    let (status, text) = plan.ends(&LIVE).await;
    assert!(status.success(), "{text}");
    assert!(text.contains("there is no database yet"), "{text}");
    assert!(!plan.folder().join("vestibule.db").exists());
}

#[tokio::test]
async fn row_1_8_what_redis_does_not_keep_is_told() {
    if !part::have("row_1_8_what_redis_does_not_keep_is_told", &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    redis.ask("CONFIG SET appendonly no").await;
    redis.ask("CONFIG SET save \"\"").await;
    redis.ask("CONFIG SET maxmemory-policy allkeys-lru").await;
    let scene = Scene::with("oidc-plain", |plan| plan.redis(&redis.lines())).await;
    let (status, text) = scene.gateway.plan().ends(&LIVE).await;
    assert!(status.success(), "{text}");
    for said in [
        "it takes writes and gives them back",
        "it tells of changes",
        "look   it evicts sessions when memory is full (allkeys-lru)",
        "set maxmemory-policy noeviction",
        "look   sessions do not survive its restart",
        "set appendonly yes",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
}

#[tokio::test]
async fn row_1_8_a_user_that_may_not_hear_of_changes_is_told() {
    let name = "row_1_8_a_user_that_may_not_hear_of_changes_is_told";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::with_access_list().await;
    let scene = Scene::with("oidc-plain", |plan| {
        plan.redis(&redis.lines_of_access_list())
    })
    .await;
    let said = ["look   it does not tell of changes", "+client|tracking"];
    let (status, text) = scene.gateway.plan().ends(&LIVE).await;
    assert!(status.success() && !text.contains(said[0]), "{text}");
    redis.allow("-client|tracking").await;
    let (status, text) = scene.gateway.plan().ends(&LIVE).await;
    assert!(status.success(), "{text}");
    assert!(said.iter().all(|said| text.contains(said)), "{text}");
}

/// A provider behind TLS that says nothing; enough to look at its certificate.
async fn tls_server(name: &str) -> u16 {
    let key = rcgen::KeyPair::generate().expect("key");
    let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("name");
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Example Private ID");
    let certificate = parameters.self_signed(&key).expect("certificate");
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("certificate");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that distrusts us breaks off here.
                let _ = acceptor.accept(stream).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn row_0_13_a_private_authority_is_named_with_its_option() {
    let port = tls_server("id.localhost").await;
    let upstream = Upstream::start().await;
    let plan = Plan::new(&format!("https://id.localhost:{port}"), &upstream.url());
    let (status, text) = plan.ends(&LIVE).await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("unknown authority"), "{text}");
    assert!(text.contains("provider.main.ca_file"), "{text}");
    let other = tls_server("other.localhost").await;
    let route = format!(
        "[route.shop]\npath = \"/shop/*\"\nupstream = \"https://127.0.0.1:{other}\"\naccess = \"signed-in\""
    );
    let (_, text) = plan.route(&route).ends(&LIVE).await;
    assert!(text.contains("route.shop.upstream_tls.ca_file"), "{text}");
}

#[tokio::test]
async fn row_0_15_the_way_of_authenticating_is_named() {
    let scene = Scene::start().await;
    scene.provider.set(|script| {
        script.alter_discovery = Some(Arc::new(|document| {
            let only = json!(["private_key_jwt"]);
            document.insert("token_endpoint_auth_methods_supported".into(), only);
        }));
    });
    let (status, text) = scene.gateway.plan().ends(&LIVE).await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(
        text.contains("other than client_secret_basic and client_secret_post"),
        "{text}"
    );
}

const CREDENTIALS: &str = "vestibule_self_test{provider=\"main\",check=\"credentials\"}";
const TESTED: &str = "vestibule_self_test_seconds{provider=\"main\"}";

fn tested(plan: Plan) -> Plan {
    plan.route("[self_test]\nevery = \"6h\"")
}

#[tokio::test]
async fn row_0_12_the_self_test_finds_a_bad_secret_and_tells_once() {
    let scene = Scene::with("oidc-plain", |plan| tested(plan).client_secret("rotated")).await;
    until::some("the self-test ran", || async {
        (scene.gateway.metric(TESTED).await > 1.0).then_some(())
    })
    .await;
    let log = scene.gateway.log();
    let told = |log: &str| log.matches("sign-ins with this provider will fail").count();
    assert_eq!(told(&log), 1, "{log}");
    assert!(log.contains("provider.main.client_secret_file"), "{log}");
    assert_eq!(scene.gateway.metric(CREDENTIALS).await, 0.0);
    let discovery = "vestibule_self_test{provider=\"main\",check=\"discovery\"}";
    assert_eq!(scene.gateway.metric(discovery).await, 1.0);
    assert!(!log.contains("rotated"), "{log}");
}

#[tokio::test]
async fn row_0_12_one_replica_tests_for_all_and_a_restart_is_no_reason() {
    if !part::have(
        "row_0_12_one_replica_tests_for_all_and_a_restart_is_no_reason",
        &[Part::Redis],
    ) {
        return;
    }
    let redis = Redis::start().await;
    let plan = |plan: Plan| tested(plan.redis(&redis.lines()));
    let mut scene = Scene::with("oidc-plain", plan).await;
    until::some("the self-test ran", || async {
        (scene.gateway.metric(CREDENTIALS).await >= 1.0).then_some(())
    })
    .await;
    let replica = scene.gateway.plan().replica().start().await;
    scene.gateway.restart().await;
    // Both would have begun by the time that somebody is signed in.
    scene.signed_in(User::ann()).await;
    let codes = scene.provider.recorded(Endpoint::Code);
    let made_up = codes.iter().filter(|sent| {
        let code = sent.parameter("code");
        code.is_some_and(|code| code.starts_with("vestibule-check-"))
    });
    assert_eq!(made_up.count(), 1);
    assert_eq!(replica.metric(TESTED).await, 0.0);
}
