//! `[route.ID.headers]`: further headers that carry a part of the identity.

use std::collections::BTreeMap;

use http::{HeaderName, header};

use super::checked::{CustomHeader, HeaderSource, IdentityPreset};
use super::problems::Findings;
use crate::base::header_names as names;

/// Each name with the text that was written for it and its key path.
pub(super) type Written<'a> = BTreeMap<String, (&'a str, String)>;

pub(super) fn check(
    written: &Written<'_>,
    preset: IdentityPreset,
    findings: &mut Findings,
) -> Vec<CustomHeader> {
    let mut out: Vec<CustomHeader> = Vec::new();
    for (text, (source, key)) in written {
        let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
            findings.error(
                key,
                format!("\"{text}\" is not the name of a header"),
                "use letters, digits and \"-\", such as \"X-Team\"",
            );
            continue;
        };
        if is_reserved(&name) {
            findings.error(
                key,
                format!("{text} belongs to the connection or to the client and is never replaced"),
                "choose another name, such as \"X-Team\"",
            );
            continue;
        }
        if preset.headers.iter().any(|(sent, _)| *sent == name) {
            findings.error(
                key,
                format!("{text} is already sent by the route's identity preset"),
                "choose another name, or write identity = \"none\" and list every header here",
            );
            continue;
        }
        if out.iter().any(|other| other.name == name) {
            findings.error(
                key,
                "stands here twice in different spellings",
                "remove one of them",
            );
            continue;
        }
        if let Some(value) = read(source, key, findings) {
            out.push(CustomHeader { name, value });
        }
    }
    out
}

fn read(text: &str, key: &str, findings: &mut Findings) -> Option<HeaderSource> {
    let known = match text {
        "user" => Some(HeaderSource::User),
        "subject" => Some(HeaderSource::Subject),
        "username" => Some(HeaderSource::Username),
        "email" => Some(HeaderSource::Email),
        "name" => Some(HeaderSource::Name),
        "groups" => Some(HeaderSource::Groups),
        _ => text
            .strip_prefix("claim:")
            .filter(|claim| !claim.is_empty() && *claim != "/")
            .map(|claim| HeaderSource::Claim(claim.to_owned())),
    };
    if known.is_none() {
        findings.error(
            key,
            format!("\"{text}\" is no part of an identity"),
            "use \"user\", \"subject\", \"username\", \"email\", \"name\", \"groups\", or \"claim:\" and the name of a claim",
        );
    }
    known
}

/// Names whose replacement would change where a request goes, how long it is,
/// or whose it is.
fn is_reserved(name: &HeaderName) -> bool {
    let own = [
        header::HOST,
        header::COOKIE,
        header::SET_COOKIE,
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::PROXY_AUTHENTICATE,
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::EXPECT,
        header::FORWARDED,
        header::VIA,
        header::ORIGIN,
        header::REFERER,
        names::KEEP_ALIVE,
        names::PROXY_CONNECTION,
        names::HTTP2_SETTINGS,
        names::X_FORWARDED_FOR,
        names::X_FORWARDED_PROTO,
        names::X_FORWARDED_HOST,
        names::X_FORWARDED_PORT,
        names::X_REAL_IP,
        names::X_REQUEST_ID,
        names::X_FORWARDED_ACCESS_TOKEN,
    ];
    let text = name.as_str();
    let rerouting = [
        "x-original-",
        "x-rewrite-",
        "x-forwarded-uri",
        "x-forwarded-path",
        "x-forwarded-prefix",
        "x-forwarded-method",
        "x-forwarded-server",
        "x-forwarded-scheme",
        "x-forwarded-ssl",
        "x-http-method",
        "x-method-override",
        "sec-",
        "proxy-",
    ];
    own.contains(name) || rerouting.iter().any(|prefix| text.starts_with(prefix))
}

/// Whether a client's header of this name never reaches an application as it
/// was sent: the name is reserved, or of a family that is removed.
pub(super) fn is_replaced_upstream(name: &HeaderName) -> bool {
    const FAMILIES: [&str; 7] = [
        "x-forwarded-",
        "x-auth-request-",
        "remote-",
        "x-remote-",
        "x-webauth-",
        "x-vestibule-",
        "impersonate-",
    ];
    let text = name.as_str();
    *name != header::AUTHORIZATION
        && (is_reserved(name) || FAMILIES.iter().any(|family| text.starts_with(family)))
}
