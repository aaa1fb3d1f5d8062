//! Every kind of gRPC call, by the library that people use on both sides.

use serde_json::{Value, json};

use crate::harness::gateway::Plan;
use crate::harness::grpc::{self, Service};
use crate::harness::part::{self, Part};
use crate::harness::provider::Provider;
use crate::harness::until;

/// <https://grpc.io/docs/guides/status-codes/>
const OK: u64 = 0;
const CANCELLED: u64 = 1;
const DEADLINE_EXCEEDED: u64 = 4;
const NOT_FOUND: u64 = 5;
const UNAVAILABLE: u64 = 14;
const UNAUTHENTICATED: u64 = 16;

#[tokio::test]
async fn every_kind_of_call_passes_in_plain_text() {
    every_kind_of_call("every_kind_of_call_passes_in_plain_text", false).await;
}

#[tokio::test]
async fn every_kind_of_call_passes_over_tls() {
    every_kind_of_call("every_kind_of_call_passes_over_tls", true).await;
}

async fn every_kind_of_call(test: &str, with_tls: bool) {
    if !part::have(test, &[Part::Node]) {
        return;
    }
    let service = Service::start(with_tls).await;
    let provider = Provider::start("oidc-plain").await;
    let route = format!(
        "[route.app]\n{}\naccess = \"signed-in\"\n\
         rules = [ {{ path = \"/test.Echo/*\", lane = \"public\" }} ]\n",
        service.lines()
    );
    let gateway = Plan::bare(&provider.issuer)
        .tls()
        .route(&route)
        .start()
        .await;
    let calls = grpc::calls(&gateway).await;

    let one = &calls["one"];
    assert_eq!(one["code"], OK, "{one}");
    assert_eq!(one["answer"], json!({"text": "hello", "length": 5}));
    // Binary metadata passes; nobody speaks for us, in either direction.
    assert_eq!(one["first"]["x-first"], "a");
    assert_eq!(one["last"]["x-last"], "z");
    assert_eq!(one["last"]["x-bytes-bin"], bytes_0_1_254_255());
    assert_eq!(one["first"]["remote-user"], Value::Null, "{one}");
    assert_eq!(one["last"]["remote-user"], Value::Null, "{one}");
    let heard = &service.told("metadata")[0]["metadata"];
    assert_eq!(heard["x-note"], "kept");
    assert_eq!(heard["x-trace-bin"], bytes_0_1_254_255());
    assert_eq!(heard["remote-user"], Value::Null, "{heard}");

    let many = json!({"code": OK, "whole": 20, "count": 20});
    assert_eq!(calls["many"], many, "messages of 100 kB");
    let sum = json!({"code": OK, "answer": {"sum": 500_500, "count": 1000}});
    assert_eq!(calls["sum"], sum);
    let answers: Vec<_> = (1..=10).map(|n| json!({"answer": 2 * n})).collect();
    assert_eq!(calls["talk"], json!({"code": OK, "answers": answers}));
    assert_eq!(calls["beside"], 50, "calls beside one another");

    let fail = &calls["fail"];
    assert_eq!(fail["code"], NOT_FOUND);
    assert_eq!(fail["details"], "nothing at 100 % “there”");
    assert_eq!(fail["last"]["x-last"], "z");

    // Who gives up is missed by the service: it works for nobody.
    assert_eq!(calls["wait"]["code"], DEADLINE_EXCEEDED);
    assert_eq!(calls["tick"]["code"], CANCELLED);
    until::holds("the service knows that nobody waits", || {
        let told = service.told("cancelled");
        ["wait", "tick"].map(|name| json!({ "cancelled": name })) == told[..]
    })
    .await;

    // What clients make of our own answers: 401, and an application that ends
    // in the middle of an answer, and one that is gone.
    assert_eq!(calls["secret"]["code"], UNAUTHENTICATED);
    assert_eq!(calls["die"]["answers"], json!([{"last": "word"}]));
    assert_ne!(calls["die"]["code"], OK);
    assert_eq!(calls["gone"]["code"], UNAVAILABLE, "{:?}", calls["gone"]);
}

/// As the script prints it: the bytes as text.
fn bytes_0_1_254_255() -> String {
    String::from_utf8_lossy(&[0, 1, 254, 255]).into_owned()
}
