//! Words of other gateways, and what says the same here. Whoever comes from
//! one of them writes what he is used to, and often believes that it works.

const RULE: &str = "write a rule: rules = [{ methods = [\"GET\"], path = \"/u/*\", lane = \"public\" }]; patterns are \"/a\" and \"/below/*\", not regular expressions";
const GROUPS: &str = "write access = [{ groups = [\"staff\"] }] into the route";
const EMAILS: &str = "write access = [{ emails = [\"ann@example.com\"] }] into the route";
const DOMAINS: &str = "write access = [{ email_domains = [\"example.com\"] }] into the route";
const USERS: &str = "write access = [{ usernames = [\"ann\"] }], or subjects or emails";
const NETWORKS: &str = "no address replaces signing in: write access = [{ client_networks = [\"10.0.0.0/8\"] }] to narrow, or a rule with lane = \"public\"";
const WHO: &str = "write access = \"signed-in\", or a list such as [{ groups = [\"staff\"] }]";
const KEYS: &str = "write keys.file; `vestibule keys generate` makes one";
const CALLBACK: &str = "remove it; it is server.public_url + server.prefix + /callback, and `vestibule check` prints it";

/// Name there and what to do here, wherever it stands.
#[rustfmt::skip]
const ANYWHERE: &[(&str, &str)] = &[
    ("skip_auth_routes", RULE),
    ("skip_auth_regex", RULE),
    ("skip_auth_preflight", "write preflight = \"pass\" into the route"),
    ("allowed_groups", GROUPS),
    ("allowed_roles", "write access = [{ groups = [\"staff\"] }] into the route, and name the claim in provider.ID.claims.groups"),
    ("authenticated_emails_file", EMAILS),
    ("api_routes", "write a rule: rules = [{ path = \"/api/*\", lane = \"session\", unauthenticated = \"401\" }]; scripts get 401 anyway"),
    ("trusted_ips", NETWORKS),
    ("whitelist_domains", "write server.return_to_hosts"),
    ("callback_url", CALLBACK),
    ("redirect_url", CALLBACK),
    ("cookie_csrf_expire", "remove it; a sign-in may take an hour and leaves one small cookie"),
    ("cookie_csrf_per_request", "remove it; every sign-in has a cookie of its own"),
    ("cookie_domains", "write session.cookie_domain, with one domain, if hosts share a sign-in"),
    ("cookie_expire", "write session.lifetime, and session.idle_timeout for the end after inactivity"),
    ("cookie_httponly", "remove it; cookies are always HttpOnly"),
    ("cookie_name", "remove it; the name follows from the scope, so that browsers guard the cookie"),
    ("cookie_refresh", "remove it; tokens are renewed before they end, and the cookie never changes"),
    ("cookie_samesite", "write session.same_site"),
    ("cookie_secret", KEYS),
    ("cookie_secure", "remove it; cookies are Secure wherever server.public_url is https"),
    ("encryption_key", KEYS),
    ("http_address", "write server.listen"),
    ("insecure_oidc_allow_unverified_email", "write email_verified = \"trust\" in [provider.ID]"),
    ("insecure_oidc_skip_nonce", "remove it; the nonce is always checked"),
    ("metrics_address", "write admin.listen"),
    ("oidc_groups_claim", "write claims.groups in [provider.ID]"),
    ("oidc_issuer_url", "write issuer in [provider.ID]"),
    ("pass_host_header", "write preserve_host in the route"),
    ("proxy_prefix", "write server.prefix"),
    ("real_client_ip_header", "remove it; X-Forwarded-For counts where server.trusted_proxies names the peer"),
    ("reverse_proxy", "write server.trusted_proxies with the addresses of the proxies in front"),
    ("session_store_type", "write session.store"),
    ("skip_provider_button", "write pages.sign_in = \"auto\""),
    ("ssl_insecure_skip_verify", "write ca_file in [provider.ID] with the authority of the provider; verification cannot be turned off"),
    ("upstreams", "write [route.ID] with upstream = \"http://HOST:PORT\""),
];

/// The same for words that only mean this inside a route: elsewhere a key of
/// ours may be nearer.
#[rustfmt::skip]
const IN_ROUTES: &[(&[&str], &str)] = &[
    (&["skip_auth", "skip_paths", "bypass", "bypass_paths", "public_paths", "exclude", "whitelist", "allow_unauthenticated", "allow_public_unauthenticated_access"], RULE),
    (&["allowed_group", "allow_groups", "group"], GROUPS),
    (&["allowed_emails", "authenticated_emails", "email"], EMAILS),
    (&["email_domain", "allowed_domains", "allowed_email_domains", "allow_domains"], DOMAINS),
    (&["allowed_users", "users", "user", "username", "subject", "allow_users"], USERS),
    (&["trusted_ip", "networks", "network", "allowed_ips", "ip"], NETWORKS),
    (&["allow", "allow_any_authenticated_user", "require", "policy", "policies"], WHO),
    (&["block", "forbid"], "write deny = [{ groups = [\"guests\"] }]"),
    (&["cors_allow_preflight"], "write preflight = \"pass\""),
    (&["api_route"], "write a rule: rules = [{ path = \"/api/*\", lane = \"session\", unauthenticated = \"401\" }]"),
    (&["regex", "path_regex", "prefix_path", "resources", "paths"], "write path, one pattern in each rule: \"/exact\", \"/below/*\", or a whole segment as in \"/a/*/b\""),
    (&["whitelist_domain"], "write server.return_to_hosts"),
    (&["query"], "write path alone: the query never counts"),
    (&["method"], "write methods, a list such as [\"GET\", \"HEAD\"]"),
];

/// The cure for a key that other gateways have. `in_route`: it stands in a
/// route, or in one of its rules.
pub(super) fn key(name: &str, in_route: bool) -> Option<&'static str> {
    let anywhere = ANYWHERE.iter().find(|(known, _)| *known == name);
    let in_routes = || {
        let found = IN_ROUTES.iter().find(|(known, _)| known.contains(&name));
        found.filter(|_| in_route).map(|(_, cure)| *cure)
    };
    anywhere.map(|(_, cure)| *cure).or_else(in_routes)
}

/// The cure for a value that other gateways have, by the name of its key.
pub(super) fn value(name: &str, written: &str) -> Option<&'static str> {
    Some(match (name, written) {
        ("lane", "bypass" | "skip" | "none" | "open" | "anonymous" | "allow" | "unprotected") => {
            "write lane = \"public\", or \"optional\" where the application shall know who is signed in"
        }
        ("lane", "block" | "forbid" | "reject" | "denied" | "drop") => "write lane = \"deny\"",
        ("lane", "token" | "api" | "bearer" | "basic" | "backend_token") => {
            "write lane = \"backend-token\" with methods and header"
        }
        ("lane", "auth" | "protected" | "private" | "one_factor" | "login") => {
            "write lane = \"session\""
        }
        ("access", "public" | "none" | "open" | "anonymous") => {
            "without signing in: end the rules with { path = \"/*\", lane = \"public\" } and remove access; everybody who signs in: \"signed-in\""
        }
        ("access", _) => {
            "write \"signed-in\" for everybody who signs in (\"anyone\" where anybody can register), or a list such as [{ groups = [\"staff\"] }]"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_of_ours_is_called_foreign() {
        let ours = super::super::known_keys();
        let last = |key: &String| key.rsplit('.').next().map(str::to_owned);
        for (name, _) in ANYWHERE {
            let same = |key: &String| last(key).as_deref() == Some(name);
            assert!(!ours.iter().any(same), "{name}");
        }
        let of_routes = |key: &&String| key.starts_with("route.") && !key.contains(".headers");
        for name in IN_ROUTES.iter().flat_map(|(names, _)| *names) {
            let same = |key: &String| last(key).as_deref() == Some(name);
            assert!(!ours.iter().filter(of_routes).any(same), "{name}");
        }
    }

    #[test]
    fn no_word_has_two_cures() {
        let anywhere = ANYWHERE.iter().map(|(name, _)| *name);
        let in_routes = IN_ROUTES
            .iter()
            .flat_map(|(names, _)| names.iter().copied());
        let mut seen = std::collections::BTreeSet::new();
        for name in anywhere.chain(in_routes) {
            assert!(seen.insert(name), "{name}");
        }
    }
}
