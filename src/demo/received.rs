//! What reached the application, made fit to be shown.

use http::header::COOKIE;
use http::{HeaderMap, HeaderName};

use crate::base::header_names::{
    X_FORWARDED_ACCESS_TOKEN, X_FORWARDED_EMAIL, X_FORWARDED_FOR, X_FORWARDED_GROUPS,
    X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PREFERRED_USERNAME, X_FORWARDED_PROTO,
    X_FORWARDED_USER, X_REQUEST_ID,
};

/// What the page lists, identity first.
const SHOWN: [HeaderName; 10] = [
    X_FORWARDED_USER,
    X_FORWARDED_PREFERRED_USERNAME,
    X_FORWARDED_EMAIL,
    X_FORWARDED_GROUPS,
    X_FORWARDED_ACCESS_TOKEN,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_REQUEST_ID,
];

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
    headers
        .get(name)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .unwrap_or_default()
}

pub(super) fn person(headers: &HeaderMap) -> &str {
    [
        &X_FORWARDED_PREFERRED_USERNAME,
        &X_FORWARDED_EMAIL,
        &X_FORWARDED_USER,
    ]
    .into_iter()
    .map(|name| text(headers, name))
    .find(|text| !text.is_empty())
    .unwrap_or("nobody")
}

pub(super) fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for name in SHOWN {
        for value in headers.get_all(&name) {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let value = if name == X_FORWARDED_ACCESS_TOKEN {
                hidden(&value)
            } else {
                value
            };
            rows.push((in_title_case(name.as_str()), value));
        }
    }
    rows
}

/// Enough to see that a token changed, too little to use it.
pub(super) fn hidden(token: &str) -> String {
    let tail: String = token.chars().rev().take(6).collect();
    let tail: String = tail.chars().rev().collect();
    format!("…{tail} ({} characters)", token.chars().count())
}

fn in_title_case(name: &str) -> String {
    let words: Vec<String> = name
        .split('-')
        .map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            format!("{}{rest}", first.to_ascii_uppercase())
        })
        .collect();
    words.join("-")
}

/// Names only: to show that the gateway keeps its own cookie to itself.
pub(super) fn cookie_names(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(cookie::Cookie::split_parse)
        .filter_map(|cookie| cookie.ok().map(|cookie| cookie.name().to_owned()))
        .collect()
}
