//! Names that other gateways give to settings. Whoever brings them along is
//! told what to write here instead.

/// Name there, and what to do here.
const CURES: [(&str, &str); 34] = [
    (
        "allowed_groups",
        "write access = [{ groups = [\"…\"] }] into the route",
    ),
    (
        "allowed_roles",
        "write access = [{ groups = [\"…\"] }] into the route, and name the claim in provider.ID.claims.groups",
    ),
    (
        "api_routes",
        "write a rule with lane = \"session\" and unauthenticated = \"401\"; scripts get 401 anyway",
    ),
    (
        "authenticated_emails_file",
        "write access = [{ emails = [\"…\"] }] into the route",
    ),
    (
        "callback_url",
        "remove it; it is server.public_url + server.prefix + /callback, and `vestibule check` prints it",
    ),
    (
        "cookie_csrf_expire",
        "remove it; a sign-in may take an hour and leaves one small cookie",
    ),
    (
        "cookie_csrf_per_request",
        "remove it; every sign-in has a cookie of its own",
    ),
    (
        "cookie_domains",
        "write session.cookie_domain, with one domain, if hosts share a sign-in",
    ),
    (
        "cookie_expire",
        "write session.lifetime, and session.idle_timeout for the end after inactivity",
    ),
    ("cookie_httponly", "remove it; cookies are always HttpOnly"),
    (
        "cookie_name",
        "remove it; the name follows from the scope, so that browsers guard the cookie",
    ),
    (
        "cookie_refresh",
        "remove it; tokens are renewed before they end, and the cookie never changes",
    ),
    ("cookie_samesite", "write session.same_site"),
    (
        "cookie_secret",
        "write keys.file; `vestibule keys generate` makes one",
    ),
    (
        "cookie_secure",
        "remove it; cookies are Secure wherever server.public_url is https",
    ),
    (
        "encryption_key",
        "write keys.file; `vestibule keys generate` makes one",
    ),
    ("http_address", "write server.listen"),
    (
        "insecure_oidc_allow_unverified_email",
        "write email_verified = \"trust\" in [provider.ID]",
    ),
    (
        "insecure_oidc_skip_nonce",
        "remove it; the nonce is always checked",
    ),
    ("metrics_address", "write admin.listen"),
    ("oidc_groups_claim", "write claims.groups in [provider.ID]"),
    ("oidc_issuer_url", "write issuer in [provider.ID]"),
    ("pass_host_header", "write preserve_host in the route"),
    ("proxy_prefix", "write server.prefix"),
    (
        "real_client_ip_header",
        "remove it; X-Forwarded-For counts where server.trusted_proxies names the peer",
    ),
    (
        "redirect_url",
        "remove it; it is server.public_url + server.prefix + /callback, and `vestibule check` prints it",
    ),
    (
        "reverse_proxy",
        "write server.trusted_proxies with the addresses of the proxies in front",
    ),
    ("session_store_type", "write session.store"),
    (
        "skip_auth_regex",
        "write a rule with lane = \"public\"; patterns are \"/a\" and \"/below/*\", not regular expressions",
    ),
    (
        "skip_auth_routes",
        "write a rule with methods, path and lane = \"public\"; patterns are \"/a\" and \"/below/*\", not regular expressions",
    ),
    ("skip_provider_button", "write pages.sign_in = \"auto\""),
    (
        "ssl_insecure_skip_verify",
        "write ca_file in [provider.ID] with the authority of the provider; verification cannot be turned off",
    ),
    (
        "upstreams",
        "write [route.ID] with upstream = \"http://HOST:PORT\"",
    ),
    ("whitelist_domains", "write server.return_to_hosts"),
];

pub(super) fn cure(name: &str) -> Option<&'static str> {
    CURES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, cure)| *cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_of_ours_is_called_foreign() {
        let ours = super::super::known_keys();
        for (name, _) in CURES {
            let same = |key: &String| key.rsplit('.').next() == Some(name);
            assert!(!ours.iter().any(same), "{name}");
        }
    }
}
