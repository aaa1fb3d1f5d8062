//! `upstream` of a route: the application behind it.

use std::path::PathBuf;

use super::address::origin;
use super::checked::{ListenAddr, Upstream};
use super::problems::Findings;
use crate::model::origin::Scheme;

pub(super) fn check(
    raw: Option<&str>,
    key: &str,
    own: &[ListenAddr],
    findings: &mut Findings,
) -> Option<Upstream> {
    let Some(text) = raw else {
        findings.missing(
            key,
            "is missing",
            "write the address of the application, such as upstream = \"http://127.0.0.1:3000\"",
        );
        return None;
    };
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') || path == "/" {
            findings.error(
                key,
                "names a socket by a relative path",
                "write the whole path: \"unix:/run/app.sock\"",
            );
            return None;
        }
        return Some(Upstream::Unix(PathBuf::from(path)));
    }
    if let Some(("grpc" | "grpcs" | "h2", rest)) = text.split_once("://") {
        findings.error(
            key,
            format!("\"{text}\" has a scheme that does not fit here"),
            format!("write \"h2c://{rest}\" for HTTP/2 in plain text, or \"https://{rest}\": with TLS both sides agree on HTTP/2 by themselves"),
        );
        return None;
    }
    let plain_http2 = text.strip_prefix("h2c://");
    let as_http = plain_http2.map(|rest| format!("http://{rest}"));
    let text = as_http.as_deref().unwrap_or(text);
    if !text.contains("://") && !text.contains('@') {
        findings.error(
            key,
            format!("\"{text}\" has no scheme"),
            format!("write \"http://{text}\", or https:// if the application speaks TLS"),
        );
        return None;
    }
    let (scheme, authority) = match origin(text) {
        Ok(found) => found,
        Err(complaint) => {
            let cure = match plain_http2 {
                Some(_) => complaint.cure.replace("http://", "h2c://"),
                None => complaint.cure,
            };
            findings.error(key, complaint.what, cure);
            return None;
        }
    };
    let port = authority.port.unwrap_or(scheme.default_port());
    let itself = |listen: &ListenAddr| match listen {
        ListenAddr::Tcp(address) => {
            port == address.port()
                && (authority.host == address.ip().to_string()
                    || (authority.host == "localhost" && address.ip().is_loopback()))
        }
        ListenAddr::Unix(_) => false,
    };
    if own.iter().any(itself) {
        findings.error(
            key,
            "is the gateway itself: requests would go in circles",
            "write the address of the application",
        );
        return None;
    }
    Some(match scheme {
        Scheme::Http if plain_http2.is_some() => Upstream::H2c(authority),
        Scheme::Http => Upstream::Http(authority),
        Scheme::Https => Upstream::Https(authority),
    })
}
