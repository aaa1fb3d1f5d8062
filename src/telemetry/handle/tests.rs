use super::*;

#[test]
fn every_metric_has_its_name() {
    let telemetry = Telemetry::new(Some(AccessLog::start(true, std::io::sink()).unwrap()));
    telemetry.request(&RequestLine {
        time: Timestamp(0),
        reference: b"1",
        method: "GET",
        host: "a.test",
        path: "/",
        status: 403,
        bytes: None,
        duration: Duration::from_millis(3),
        client: b"127.0.0.1",
        port: None,
        route: Some("files"),
        rule: None,
        lane: Some("session"),
        decision: Some("deny"),
        reason: Some("not_admitted"),
        session: None,
    });
    telemetry.login("callback", "state_mismatch", "main");
    telemetry.refresh("refreshed", "main");
    telemetry.back_channel_logout("ok");
    telemetry.alert("grants_refused", "main");
    telemetry.store_operation("redis", "load", false, Duration::from_millis(2));
    telemetry.upstream_up("http://127.0.0.1:3000", "files", false);
    telemetry.self_test("main", "keys", false, Timestamp(7_000));
    telemetry.provider_up("main", false);
    telemetry.stale_session();
    telemetry.state("store_degraded", true);
    telemetry.session_cache(|| SessionCacheFigures {
        hits: 11,
        ..SessionCacheFigures::default()
    });
    let text = telemetry.render();
    for line in [
        concat!(
            "vestibule_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1\n"
        ),
        "vestibule_requests_total{route=\"files\",code_class=\"4xx\",lane=\"session\"} 1\n",
        "vestibule_request_seconds_count 1\n",
        "vestibule_decisions_total{decision=\"deny\",reason=\"not_admitted\"} 1\n",
        "vestibule_logins_total{phase=\"callback\",reason=\"state_mismatch\",provider=\"main\"} 1\n",
        "vestibule_refreshes_total{outcome=\"refreshed\",provider=\"main\"} 1\n",
        "vestibule_back_channel_logouts_total{outcome=\"ok\"} 1\n",
        "vestibule_alerts_total{alert=\"grants_refused\",provider=\"main\"} 1\n",
        "vestibule_store_operations_total{store=\"redis\",operation=\"load\",outcome=\"error\"} 1\n",
        "vestibule_store_operation_seconds_bucket{store=\"redis\",operation=\"load\",le=\"0.0025\"} 1\n",
        "vestibule_upstream_up{upstream=\"http://127.0.0.1:3000\",route=\"files\"} 0\n",
        "vestibule_provider_up{provider=\"main\"} 0\n",
        "vestibule_self_test{provider=\"main\",check=\"keys\"} 0\n",
        "vestibule_self_test_seconds{provider=\"main\"} 7\n",
        "vestibule_access_log_dropped_total 0\n",
        "vestibule_stale_sessions_total 1\n",
        "vestibule_session_cache_lookups_total{outcome=\"hit\"} 11\n",
        "vestibule_state{state=\"store_degraded\"} 1\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
