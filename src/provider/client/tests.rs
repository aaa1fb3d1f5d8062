use super::*;

fn headers(pairs: &[(http::HeaderName, &'static str)]) -> HeaderMap {
    let pair = |(name, value): &(http::HeaderName, &'static str)| {
        (name.clone(), HeaderValue::from_static(value))
    };
    pairs.iter().map(pair).collect()
}

#[test]
fn row_l_retry_after_is_read_as_seconds_or_date_and_capped() {
    // 1994-11-06T08:49:37Z
    let now = Timestamp::from_secs(784_111_777);
    for (value, secs) in [
        ("120", Some(120)),
        (" 7 ", Some(7)),
        ("100000", Some(300)),
        ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        ("-1", None),
        ("soon", None),
    ] {
        let told = retry_after(&headers(&[(RETRY_AFTER, value)]), now);
        assert_eq!(told, secs.map(Duration::from_secs), "{value}");
    }
}

#[test]
fn cache_control_and_media_types() {
    for (value, secs) in [
        ("public, max-age=600", Some(600)),
        ("Max-Age=\"60\"", Some(60)),
        ("max-age=600, no-store", Some(0)),
        ("public", None),
        ("max-age=x", None),
    ] {
        let told = max_age(&headers(&[(CACHE_CONTROL, value)]));
        assert_eq!(told, secs.map(Duration::from_secs), "{value}");
    }
    let kind = media_type(&headers(&[(CONTENT_TYPE, "Application/JSON ;charset=x")]));
    assert_eq!(kind, "application/json");
}
