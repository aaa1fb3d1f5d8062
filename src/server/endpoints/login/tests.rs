use super::*;

#[test]
fn sec_ses_33_only_a_persons_navigation_ends_a_session_by_get() {
    let own_will = |method: &str, fields: &[(&str, &str)]| {
        let mut request = http::Request::builder().method(method).uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        by_own_will(&request.body(()).unwrap().into_parts().0)
    };
    let site = |value| ("sec-fetch-site", value);
    let (navigate, document) = (
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    );
    for from in ["same-origin", "none"] {
        assert!(own_will("GET", &[site(from), navigate, document]));
        for fields in [
            &[
                site(from),
                ("sec-fetch-mode", "no-cors"),
                ("sec-fetch-dest", "image"),
            ][..],
            &[site(from), navigate, ("sec-fetch-dest", "iframe")],
            &[
                site(from),
                navigate,
                document,
                ("sec-purpose", "prefetch;prerender"),
            ],
            &[site(from), site("cross-site"), navigate, document],
            &[site(from)],
        ] {
            assert!(!own_will("GET", fields), "{fields:?}");
        }
        assert!(!own_will("HEAD", &[site(from), navigate, document]));
    }
    assert!(!own_will("GET", &[navigate, document]));
    assert!(!own_will("GET", &[site("same-site"), navigate, document]));
}
