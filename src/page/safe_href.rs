//! Addresses that may stand in a link.

/// The address itself if it is a path of this host or an http(s) or mailto
/// address, otherwise "/". Callers hand in checked addresses; this is the
/// second line of defence.
pub(super) fn safe_href(href: &str) -> &str {
    let bytes = href.as_bytes();
    let path = bytes.first() == Some(&b'/') && !matches!(bytes.get(1), Some(b'/' | b'\\'));
    let absolute = ["https://", "http://", "mailto:"]
        .iter()
        .any(|scheme| href.starts_with(scheme));
    let clean = !href.chars().any(|letter| letter.is_ascii_control());
    if (path || absolute) && clean {
        href
    } else {
        "/"
    }
}
