use proptest::prelude::*;

use super::*;
use crate::base::clock::Timestamp;
use crate::base::key_ring::KeyRing;
use crate::session::ticket::TicketKeys;

fn cookie(name: &'static str, domain: Option<&str>) -> SessionCookie {
    SessionCookie {
        name,
        domain: domain.map(Into::into),
        secure: name != "vestibule",
        same_site: SameSite::Lax,
        max_age: Duration::from_secs(3600),
        clock: Clock::movable(),
        finder: memmem::Finder::new(name),
    }
}

fn ticket(cookie: &SessionCookie) -> Ticket {
    let keys = TicketKeys::new(&KeyRing::parse(&KeyRing::generate()).unwrap(), "n");
    Ticket::derive(&keys, b"seed", &scope_of(cookie))
}

fn scope_of(cookie: &SessionCookie) -> Scope {
    Scope(cookie.domain.clone().unwrap_or("app.example.com".into()))
}

#[test]
fn set_and_clear_have_the_same_attributes() {
    for cookie in [
        cookie("__Host-vestibule", None),
        cookie("__Secure-vestibule", Some("example.com")),
        cookie("vestibule", None),
    ] {
        let ticket = ticket(&cookie);
        let set = cookie.set(&ticket);
        let clear = cookie.clear();
        let set = Cookie::parse(set).unwrap();
        let clear = Cookie::parse(clear).unwrap();
        assert_eq!(set.name(), cookie.name);
        assert_eq!(set.value(), ticket.text());
        assert_eq!(clear.value(), "");
        for one in [&set, &clear] {
            assert_eq!(one.name(), cookie.name);
            assert_eq!(one.path(), Some("/"));
            assert_eq!(one.domain(), cookie.domain.as_deref());
            assert_eq!(one.http_only(), Some(true));
            assert_eq!(one.secure().unwrap_or(false), cookie.secure);
            assert_eq!(one.same_site(), Some(cookie::SameSite::Lax));
        }
        let ends = set.expires_datetime().unwrap().unix_timestamp();
        let expected = cookie.clock.now().plus(cookie.max_age).as_secs();
        assert!((expected - 2..=expected).contains(&u64::try_from(ends).unwrap()));
        assert_eq!(set.max_age().unwrap().whole_seconds(), 3600);
        assert!(clear.max_age().unwrap().is_zero());
        assert!(
            clear.expires_datetime().unwrap() < OffsetDateTime::from_unix_timestamp(1).unwrap()
        );
        assert!(cookie.clock.now() > Timestamp(0));
    }
}

#[test]
fn finds_only_whole_names_in_any_field() {
    let cookie = cookie("__Host-vestibule", None);
    let a = "a".repeat(TEXT_LENGTH);
    let b = "b".repeat(TEXT_LENGTH);
    for (fields, expected) in [
        (vec![format!("__Host-vestibule={a}")], vec![&a]),
        (vec![format!("x=1; __Host-vestibule={a}; y=2")], vec![&a]),
        (vec![format!("x=1;__Host-vestibule={a} ;y=2")], vec![&a]),
        (
            vec!["x=1".into(), format!("y=2; __Host-vestibule={b}")],
            vec![&b],
        ),
        (
            vec![format!("__Host-vestibule={a}; __Host-vestibule={b}")],
            vec![&a, &b],
        ),
        (
            vec![format!("__Host-vestibule={a}; __Host-vestibule={a}")],
            vec![&a],
        ),
        (vec![format!("x__Host-vestibule={a}")], vec![]),
        (vec![format!("__Host-vestibule-t-x={a}")], vec![]),
        (vec![format!("__Host-vestibulex={a}")], vec![]),
        (vec![format!("x=__Host-vestibule={a}")], vec![]),
        (vec![format!("__host-vestibule={a}")], vec![]),
        (vec![format!("__Host-vestibule={a}x")], vec![]),
        (vec!["__Host-vestibule=; __Host-vestibule".into()], vec![]),
    ] {
        let found = cookie.find(fields.iter().map(String::as_bytes));
        assert_eq!(found.to_vec(), expected, "{fields:?}");
    }
}

#[test]
fn sec_ses_09_tossed_cookies_do_not_hide_the_valid_one() {
    let cookie = cookie("__Secure-vestibule", Some("example.com"));
    let keys = TicketKeys::new(&KeyRing::parse(&KeyRing::generate()).unwrap(), "n");
    let ticket = Ticket::derive(&keys, b"seed", &scope_of(&cookie));
    let junk = "__Secure-vestibule=junk; ".repeat(200);
    let forged = "f".repeat(TEXT_LENGTH);
    let field = format!(
        "{junk}__Secure-vestibule={forged}; __Secure-vestibule={}",
        ticket.text()
    );
    let found = cookie.find([field.as_bytes()]);
    let valid: Vec<_> = found
        .iter()
        .filter_map(|text| Ticket::parse(text, &keys, &scope_of(&cookie)).ok())
        .collect();
    assert!(valid == [ticket]);
    let many: String = (0..9)
        .map(|n| format!("__Secure-vestibule={};", n.to_string().repeat(TEXT_LENGTH)))
        .collect();
    assert_eq!(cookie.find([many.as_bytes()]).len(), CANDIDATES);
}

#[test]
fn strips_ours_and_keeps_the_others_byte_for_byte() {
    for (field, kept) in [
        ("a=1; __Host-vestibule=x; b=2", Some("a=1; b=2")),
        ("__Host-vestibule=x; b=\"2\";c", Some("b=\"2\";c")),
        ("a=1;  b=2 ;__Secure-vestibule=x", Some("a=1;  b=2 ")),
        ("vestibule=x", None),
        ("vestibule=x; ", None),
        ("__Host-vestibule-t-abc=x; a=\u{e9}", Some("a=\u{e9}")),
        (
            "a=1; vestibule-t-abc=x; __Host-vestibule-h-q=1",
            Some("a=1"),
        ),
        ("a=1; =vestibule=x", Some("a=1")),
        ("a=1; __HOST-vestibule=x", Some("a=1")),
    ] {
        let expected = kept.map_or(Stripped::Nothing, |kept| {
            Stripped::Kept(Bytes::copy_from_slice(kept.as_bytes()))
        });
        assert_eq!(strip_own(field.as_bytes()), expected, "{field}");
    }
    for field in [
        "",
        "a=1; b=2",
        "a=vestibule",
        "xvestibule=1; vestibules=2",
        "vestibule-theme=dark",
        "my__Host-vestibule=1",
    ] {
        assert_eq!(strip_own(field.as_bytes()), Stripped::Unchanged, "{field}");
    }
}

#[test]
fn an_upstream_cannot_plant_our_cookies() {
    for value in [
        "__Host-vestibule=x; Path=/",
        "vestibule=x",
        " vestibule =x",
        "=vestibule=x",
        "= =__Secure-vestibule=x",
        "__host-vestibule-t-1=x",
    ] {
        assert!(own_set_cookie(value.as_bytes()), "{value}");
    }
    for value in [
        "a=vestibule",
        "sid=1; Path=/; vestibule=x",
        "vestibules=x",
        "",
    ] {
        assert!(!own_set_cookie(value.as_bytes()), "{value}");
    }
}

/// The pairs of a field that are somebody's, without the space around
/// them.
fn others(field: &[u8]) -> Vec<&[u8]> {
    let pairs = field.split(|byte| *byte == b';');
    let others = pairs.filter(|pair| !is_own(pair)).map(<[u8]>::trim_ascii);
    others.filter(|pair| !pair.is_empty()).collect()
}

proptest! {
    #[test]
    fn what_is_left_is_every_pair_of_others(
        field in "((__Host-|__Secure-|x)?vestibule(-t-|s)?|[a-c =;]{0,3}|=|;){0,12}",
    ) {
        let field = field.as_bytes();
        let stripped = strip_own(field);
        let has_own = field.split(|byte| *byte == b';').any(is_own);
        prop_assert_eq!(stripped == Stripped::Unchanged, !has_own);
        let left = match &stripped {
            Stripped::Unchanged => field,
            Stripped::Kept(kept) => kept,
            Stripped::Nothing => b"",
        };
        prop_assert!(!left.split(|byte| *byte == b';').any(is_own));
        prop_assert_eq!(others(left), others(field));
    }
}
