use super::*;

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap()
}

#[test]
fn sec_path_11_anchoring() {
    for (text, yes, no) in [
        ("/", &["/"][..], &["/a", "//"][..]),
        ("/a", &["/a"], &["/a/", "/A", "/ab", "/a/b", "/", "/x/a"]),
        ("/a/", &["/a/"], &["/a", "/a/b", "/a//"]),
        (
            "/u/*",
            &["/u/", "/u/x", "/u/x/y", "/u//"],
            &["/u", "/ux", "/U/x", "/", "/x/u/a"],
        ),
        ("/*", &["/", "/a", "/a/b", "//"], &["", "a"]),
        (
            "/a/*/c",
            &["/a/b/c", "/a/*/c"],
            &["/a//c", "/a/c", "/a/b/c/", "/a/b/b/c", "/a/b/cc"],
        ),
        ("/*/c", &["/b/c"], &["/c", "//c", "/a/b/c"]),
        (
            "/a/*/*",
            &["/a/b/", "/a/b/c", "/a/b/c/d"],
            &["/a/b", "/a//c", "/a/"],
        ),
        ("/public", &["/public"], &["/publicx", "/public/", "/publi"]),
        ("/a.b", &["/a.b"], &["/axb"]),
    ] {
        for path in yes {
            assert!(pattern(text).matches(path), "{text} {path}");
        }
        for path in no {
            assert!(!pattern(text).matches(path), "{text} {path}");
        }
    }
}

#[test]
fn sec_path_14_lenient_matching_ignores_case_escapes_and_the_last_slash() {
    assert!(pattern("/Admin").matches_lenient("/admin"));
    assert!(pattern("/admin").matches_lenient("/admin/"));
    assert!(pattern("/admin/").matches_lenient("/admin"));
    assert!(pattern("/a%20B").matches_lenient("/a b"));
    assert!(pattern("/u/*").matches_lenient("/u/"));
    assert!(pattern("/").matches_lenient("/"));
    assert!(pattern("/a/*/c").matches_lenient("/a/b/c/"));
    assert!(!pattern("/u/*").matches_lenient("/u"));
    assert!(!pattern("/admin").matches_lenient("/admin/x"));
    assert!(!pattern("/a/*").matches_lenient("/ab/"));
}

#[test]
fn what_is_no_pattern_is_an_error() {
    for (text, error) in [
        ("", PatternError::NotRooted),
        ("a", PatternError::NotRooted),
        ("*", PatternError::NotRooted),
        ("/a*", PatternError::PartialStar),
        ("/*a", PatternError::PartialStar),
        ("/**", PatternError::PartialStar),
        ("/a/**", PatternError::PartialStar),
        ("//", PatternError::EmptySegment),
        ("//*", PatternError::EmptySegment),
        ("/a//b", PatternError::EmptySegment),
        ("/a//*", PatternError::EmptySegment),
        ("/a/../b", PatternError::DotSegment),
        ("/.", PatternError::DotSegment),
        ("/%2e%2e/b", PatternError::DotSegment),
        ("/a?b", PatternError::NotPath('?')),
        ("/a#b", PatternError::NotPath('#')),
        ("/{id}", PatternError::NotCanonical('{')),
        ("/a;b", PatternError::NotCanonical(';')),
        ("/a b", PatternError::NotCanonical(' ')),
        ("/ü", PatternError::NotCanonical('ü')),
        ("/a\\b", PatternError::NotCanonical('\\')),
        ("/%61", PatternError::Escape),
        ("/%2f", PatternError::Escape),
        ("/%zz", PatternError::Escape),
        ("/a%", PatternError::Escape),
    ] {
        assert_eq!(PathPattern::parse(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn the_more_specific_pattern_comes_first() {
    let mut patterns: Vec<_> = [
        "/*", "/a/*", "/a", "/", "/a/*/c", "/a/b/c", "/a/b/*", "/*/b",
    ]
    .iter()
    .map(|text| pattern(text))
    .collect();
    patterns.sort_by(PathPattern::by_specificity);
    let sorted: Vec<_> = patterns.iter().map(PathPattern::as_str).collect();
    assert_eq!(
        sorted,
        [
            "/a/b/c", "/a/*/c", "/*/b", "/a/b/*", "/a", "/", "/a/*", "/*"
        ]
    );
    assert!(pattern("/*").is_everything());
    assert!(!pattern("/a/*").is_everything());
    assert!(!pattern("/*/*").is_everything());
}

#[test]
fn without_wildcards_equal_is_colliding() {
    let texts = [
        "/", "/*", "/a", "/A", "/a/", "/a/*", "/A/*", "/a/b", "/a/B/*", "/a/b/*", "/*/b", "/a/*/b",
        "/a/*/*", "/a%20b", "/A%20B", "/ab",
    ];
    for one in texts.map(pattern) {
        for other in texts.map(pattern) {
            let equal = one.without_wildcards() == other.without_wildcards();
            let named = one.without_wildcards().is_some();
            if named || other.without_wildcards().is_some() {
                assert_eq!(equal, one.collides_with(&other), "{one} {other}");
            }
            assert_eq!(named, !one.written[..one.written.len() - 1].contains('*'));
        }
    }
}

#[test]
fn sec_path_12_a_long_path_costs_little() {
    let path = format!("/a{}", "/b".repeat(30_000));
    let rules: Vec<_> = (0..100)
        .map(|n| pattern(&format!("/a/*/*/b/{n}")))
        .collect();
    let started = std::time::Instant::now();
    assert!(!rules.iter().any(|rule| rule.matches(&path)));
    assert!(started.elapsed() < std::time::Duration::from_millis(100));
}
