use super::super::scripted::{self, Reply, Scripted};
use super::*;

const UNWELL: Why<'_> = Why {
    reason: "network_unreachable",
    detail: None,
};

fn breaker(failures: u32) -> Breaker {
    let limits = Limits {
        provider_failures: failures,
        ..Limits::default()
    };
    Breaker::new(ProviderId("main".into()), &limits, Clock::movable())
}

fn call_at(breaker: &Breaker, verdict: Verdict, now: Instant) {
    let admission = breaker.admit(false).expect("let through");
    breaker.record(&admission, verdict, UNWELL, now);
}

fn call(breaker: &Breaker, verdict: Verdict) {
    call_at(breaker, verdict, Instant::now());
}

fn probe(breaker: &Breaker, verdict: Verdict) {
    let admission = breaker.admit(true).expect("probes pass");
    breaker.record(&admission, verdict, UNWELL, Instant::now());
}

fn stage(breaker: &Breaker) -> Stage {
    *breaker.stages().borrow()
}

#[test]
fn row_0_9_failures_in_a_row_open_and_a_probe_heals() {
    let breaker = breaker(5);
    for _ in 0..4 {
        call(&breaker, Verdict::Unwell);
    }
    call(&breaker, Verdict::Well);
    let began = breaker.0.clock.now();
    let now = Instant::now();
    for _ in 0..5 {
        assert_eq!(stage(&breaker), Stage::Closed);
        call_at(&breaker, Verdict::Unwell, now);
        breaker.0.clock.advance(1000);
    }
    let refusal = breaker.refusal_at(now).unwrap();
    assert!(refusal.since.since(began) < Duration::from_millis(500));
    assert_eq!(refusal.retry_after, Duration::from_secs(5));
    assert!(breaker.admit(false).is_err());
    let later = breaker.refusal_at(now + Duration::from_millis(4500));
    assert_eq!(later.unwrap().retry_after, Duration::from_secs(1));

    probe(&breaker, Verdict::Unwell);
    assert_eq!(stage(&breaker), Stage::Open);
    probe(&breaker, Verdict::Well);
    assert_eq!(stage(&breaker), Stage::HalfOpen);
    // A probe proves nothing about real calls: one failure is enough.
    probe(&breaker, Verdict::Well);
    call(&breaker, Verdict::Unwell);
    assert_eq!(breaker.refusal().unwrap().since, refusal.since);
    probe(&breaker, Verdict::Neither);
    call(&breaker, Verdict::Well);
    assert_eq!((stage(&breaker), breaker.refusal()), (Stage::Closed, None));
    for _ in 0..4 {
        call(&breaker, Verdict::Unwell);
    }
    assert_eq!(stage(&breaker), Stage::Closed, "it counts from zero");
}

#[test]
fn i2_half_of_twenty_calls_in_ten_seconds_open() {
    let failing = breaker(1000);
    let mut now = Instant::now();
    let said = |bad: bool| if bad { Verdict::Unwell } else { Verdict::Well };
    for number in 0..19 {
        call_at(&failing, said(number % 2 == 0), now);
        now += Duration::from_millis(400);
    }
    assert_eq!(stage(&failing), Stage::Closed);
    call_at(&failing, Verdict::Unwell, now);
    assert_eq!(stage(&failing), Stage::Open);

    // The same share of fewer calls, and four of ten of many.
    let slow = breaker(1000);
    let fine = breaker(1000);
    for number in 0..200 {
        call_at(&slow, said(number % 2 == 0), now);
        now += Duration::from_millis(1000);
    }
    for number in 0..200 {
        call_at(&fine, said(matches!(number % 10, 1 | 3 | 5 | 7)), now);
        now += Duration::from_millis(20);
    }
    assert_eq!(stage(&slow), Stage::Closed);
    assert_eq!(stage(&fine), Stage::Closed);

    let never = breaker(0);
    for _ in 0..100 {
        call(&never, Verdict::Unwell);
    }
    assert_eq!(stage(&never), Stage::Closed);
}

#[test]
fn calls_of_another_stage_prove_nothing() {
    let breaker = breaker(1);
    let early = breaker.admit(false).unwrap();
    let late = breaker.admit(false).unwrap();
    call(&breaker, Verdict::Unwell);
    breaker.record(&early, Verdict::Well, UNWELL, Instant::now());
    assert_eq!(stage(&breaker), Stage::Open);
    probe(&breaker, Verdict::Well);
    breaker.record(&late, Verdict::Unwell, UNWELL, Instant::now());
    assert_eq!(stage(&breaker), Stage::HalfOpen);
    breaker.settle();
    assert_eq!(stage(&breaker), Stage::Closed);
    breaker.settle();
    assert_eq!(stage(&breaker), Stage::Closed);
}

fn answer(status: u16, media_type: &str) -> Result<Answer, BoxError> {
    Ok(Answer {
        status: StatusCode::from_u16(status).unwrap(),
        media_type: media_type.to_owned(),
        retry_after: None,
        max_age: None,
        body: bytes::Bytes::new(),
        attempts: 1,
    })
}

#[test]
fn unwell_is_not_unwilling() {
    for (status, media_type, expected) in [
        (200, "application/json", Verdict::Well),
        (200, "text/html", Verdict::Unwell),
        (302, "text/html", Verdict::Neither),
        (400, "application/json", Verdict::Well),
        (400, "text/html", Verdict::Well),
        (401, "application/json", Verdict::Well),
        (404, "text/html", Verdict::Well),
        (429, "text/html", Verdict::Neither),
        (500, "application/json", Verdict::Unwell),
        (503, "text/html", Verdict::Unwell),
    ] {
        assert_eq!(verdict(&answer(status, media_type)), expected, "{status}");
    }
    let mut busy = answer(403, "text/plain").unwrap();
    busy.retry_after = Some(Duration::from_secs(1));
    assert_eq!(verdict(&Ok(busy)), Verdict::Neither);
}

/// Through the real client: what is counted, and that nothing is sent while
/// the breaker is open.
#[tokio::test]
async fn row_0_9_an_open_breaker_sends_nothing_until_the_provider_is_back() {
    let idp = Scripted::start().await;
    let limits = Limits {
        provider_failures: 3,
        provider_pause: Duration::from_millis(100),
        ..scripted::limits()
    };
    let provider = super::super::Provider::new(idp.config(), &limits, idp.clock.clone()).unwrap();
    let well_known = "/.well-known/openid-configuration";
    idp.reply(well_known, Reply::text(503, "text/html", "<h1>soon</h1>"));
    for _ in 0..3 {
        let error = provider.metadata().await.unwrap_err();
        assert_eq!(error.class, Class::ProviderError);
        idp.clock.advance(2_001);
    }
    for _ in 0..10 {
        let error = provider.metadata().await.unwrap_err();
        let unreachable = matches!(error.class, Class::BreakerOpen { .. });
        assert!(unreachable && error.sent == Sent::Not, "{error}");
        assert!(error.retry_after.is_some());
        idp.clock.advance(2_001);
    }
    assert_eq!(idp.seen(well_known).len(), 3);

    let told = Mutex::new(Vec::new());
    let watching = provider.watch(|outage| told.lock().unwrap().push(outage.is_none()));
    let coming_back = async {
        while idp.seen(well_known).len() < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        idp.discovery(serde_json::json!({}));
        while told.lock().unwrap().last() != Some(&true) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(provider.outage(), None);
        assert_eq!(told.lock().unwrap().first(), Some(&false));
        provider.metadata().await.unwrap();
    };
    tokio::select! {
        () = watching => unreachable!("it watches for ever"),
        () = coming_back => {}
    }
}

/// Otherwise everybody would be locked out of a provider that works.
#[tokio::test]
async fn a_provider_whose_discovery_alone_is_broken_answers_for_its_keys() {
    let idp = Scripted::start().await;
    let limits = Limits {
        provider_failures: 1,
        provider_pause: Duration::from_millis(100),
        ..scripted::limits()
    };
    let provider = super::super::Provider::new(idp.config(), &limits, idp.clock.clone()).unwrap();
    provider.metadata().await.unwrap();
    let well_known = "/.well-known/openid-configuration";
    idp.reply(well_known, Reply::text(500, "text/plain", "oops"));
    idp.clock.advance(4_000_000);
    provider.metadata().await.unwrap();
    assert!(provider.outage().is_some());
    tokio::select! {
        () = provider.watch(|_| ()) => unreachable!("it watches for ever"),
        () = async {
            while provider.outage().is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } => {}
    }
    assert_eq!(idp.seen("/keys").len(), 1);
}
