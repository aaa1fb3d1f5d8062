//! The applications' own sessions must not outlive a change of person in a
//! browser: an application that finds one person's session beside another
//! person's sign-in may join the two.
//!
//! Limits: a browser clears a cookie by name, domain and path. Cleared are
//! cookies of the host, with and without a `Domain` of that host, at the root
//! and at the literal beginning of the route's path.

use super::table::RouteTable;
use crate::config::checked;
use crate::model::identity::Identity;
use crate::model::origin::Authority;

impl RouteTable {
    /// Values of Set-Cookie fields for the answer that gives `host` a ticket
    /// of `new`. `old` is whose live session the browser had there; the
    /// ticket continues it only if that is the same person.
    pub fn clearing(
        &self,
        host: &Authority,
        old: Option<&Identity>,
        new: &Identity,
    ) -> Vec<String> {
        let same = |old: &Identity| old.issuer == new.issuer && old.subject == new.subject;
        if old.is_some_and(same) {
            return Vec::new();
        }
        let mut lines = Vec::new();
        for route in self.routes_of_name(&host.host) {
            for name in &route.config.identity.clear_cookies {
                for line in self.lines(name, &route.config, &host.host) {
                    if !lines.contains(&line) {
                        lines.push(line);
                    }
                }
            }
        }
        lines
    }

    fn lines(&self, name: &str, route: &checked::Route, host: &str) -> Vec<String> {
        // RFC 6265bis section 4.1.3: these take no other form.
        let host_only = name.starts_with("__Host-");
        let secure = if self.is_secure() || name.starts_with("__") {
            "; Secure"
        } else {
            ""
        };
        // An address or a single label is no domain.
        let is_name = host.contains('.') && host.parse::<std::net::IpAddr>().is_err();
        let domains: &[Option<&str>] = if is_name && !host_only {
            &[None, Some(host)]
        } else {
            &[None]
        };
        let paths = if host_only {
            vec!["/".to_owned()]
        } else {
            paths(route.path.as_str())
        };
        let mut lines = Vec::new();
        for path in &paths {
            for domain in domains {
                let domain = domain.map_or_else(String::new, |domain| format!("; Domain={domain}"));
                lines.push(format!(
                    "{name}=; Path={path}{domain}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{secure}"
                ));
            }
        }
        lines
    }
}

/// The root, and what stands before the first star, with and without a slash
/// at its end: applications write either.
fn paths(pattern: &str) -> Vec<String> {
    let literal = pattern.split('*').next().unwrap_or_default();
    let literal = literal.trim_end_matches('/');
    let mut paths = vec!["/".to_owned()];
    // A ";" would begin an attribute; other bytes cannot stand in a field.
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    if !literal.is_empty() && literal.bytes().all(plain) {
        paths.push(literal.to_owned());
        paths.push(format!("{literal}/"));
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::model::identity::{Groups, ProviderId};
    use crate::route::fixture::{self, route};

    fn person(issuer: &str, subject: &str) -> Identity {
        Identity {
            provider: ProviderId("main".into()),
            issuer: issuer.into(),
            subject: subject.into(),
            username: None,
            name: None,
            email: None,
            email_verified: false,
            groups: Groups::Unknown,
            claims: Default::default(),
            provider_session: None,
            read_at: Timestamp::default(),
        }
    }

    fn table(public_url: &str) -> RouteTable {
        let with = |mut route: checked::Route, names: &[&str]| {
            route.identity.clear_cookies = names.iter().map(|name| (*name).to_owned()).collect();
            route
        };
        let routes = vec![
            with(route("app", &["a.test"], "/*"), &["app_session"]),
            with(route("git", &["a.test"], "/git/*"), &["__Host-git"]),
            with(route("ported", &["a.test:8443"], "/wiki/*"), &["wiki"]),
            with(route("other", &["b.test"], "/*"), &["other_session"]),
            with(route("local", &["localhost"], "/*"), &["__Secure-l"]),
        ];
        RouteTable::compile(&fixture::config(public_url, routes))
    }

    fn clearing(host: &str, old: Option<&Identity>, new: &Identity) -> Vec<String> {
        let host = Authority::parse(host).unwrap();
        table("https://a.test").clearing(&host, old, new)
    }

    #[test]
    fn only_the_same_persons_live_session_is_continued() {
        let ann = person("https://id.test", "ann");
        assert_eq!(clearing("a.test", Some(&ann), &ann), [""; 0]);
        for old in [
            None,
            Some(person("https://id.test", "ben")),
            Some(person("https://other.test", "ann")),
        ] {
            assert!(
                !clearing("a.test", old.as_ref(), &ann).is_empty(),
                "{old:?}"
            );
        }
    }

    #[test]
    fn the_cookies_of_every_route_of_the_host_and_of_no_other() {
        let ann = person("https://id.test", "ann");
        let mut lines = clearing("a.test", None, &ann);
        lines.sort();
        let tail = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure";
        let mut expected = vec![
            format!("__Host-git=; Path=/; {tail}"),
            format!("app_session=; Path=/; {tail}"),
            format!("app_session=; Path=/; Domain=a.test; {tail}"),
        ];
        // Cookies do not know ports.
        for path in ["/", "/wiki", "/wiki/"] {
            expected.push(format!("wiki=; Path={path}; {tail}"));
            expected.push(format!("wiki=; Path={path}; Domain=a.test; {tail}"));
        }
        expected.sort();
        assert_eq!(lines, expected);
        assert_eq!(clearing("unknown.test", None, &ann), [""; 0]);
        assert_eq!(clearing("localhost", None, &ann).len(), 1);
    }

    #[test]
    fn a_name_below_a_wildcard_loses_the_cookies_of_its_routes() {
        let mut wild = route("wild", &["*.w.test"], "/*");
        wild.identity.clear_cookies = vec!["wild_session".to_owned()];
        let table = RouteTable::compile(&fixture::config("https://a.test", vec![wild]));
        let ann = person("https://id.test", "ann");
        for (host, count) in [("x.w.test", 2), ("y.x.w.test", 2), ("w.test", 0)] {
            let lines = table.clearing(&Authority::parse(host).unwrap(), None, &ann);
            assert_eq!(lines.len(), count, "{host}: {lines:?}");
            let domain = format!("; Domain={host};");
            assert!(lines.is_empty() || lines[1].contains(&domain), "{lines:?}");
        }
    }

    #[test]
    fn without_tls_the_lines_are_not_secure() {
        let host = Authority::parse("a.test").unwrap();
        let ann = person("https://id.test", "ann");
        let lines = table("http://a.test").clearing(&host, None, &ann);
        for line in lines {
            assert_eq!(line.ends_with("Secure"), line.starts_with("__"), "{line}");
        }
    }
}
