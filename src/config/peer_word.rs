//! Words of other gateways, and what says the same here. Whoever comes from
//! one of them writes what he is used to, and often believes that it works.

const RULE: &str =
    "write a rule: rules = [{ methods = [\"GET\"], path = \"/u/*\", lane = \"public\" }]";
const GROUPS: &str = "write access = [{ groups = [\"staff\"] }]";
const EMAILS: &str = "write access = [{ emails = [\"ann@example.com\"] }]";
const DOMAINS: &str = "write access = [{ email_domains = [\"example.com\"] }]";
const USERS: &str = "write access = [{ usernames = [\"ann\"] }], or subjects or emails";
const NETWORKS: &str = "no address replaces signing in: write access = [{ client_networks = [\"10.0.0.0/8\"] }] to narrow, or a rule with lane = \"public\"";
const WHO: &str = "write access = \"signed-in\", or a list such as [{ groups = [\"staff\"] }]";

/// The cure for a key that other gateways have.
pub(super) fn key(name: &str) -> Option<&'static str> {
    Some(match name {
        "skip_auth_routes"
        | "skip_auth_regex"
        | "skip_auth"
        | "skip_paths"
        | "bypass"
        | "bypass_paths"
        | "public_paths"
        | "exclude"
        | "whitelist"
        | "allow_unauthenticated"
        | "allow_public_unauthenticated_access" => RULE,
        "allowed_group" | "allowed_groups" | "allow_groups" | "group" => GROUPS,
        "allowed_emails" | "authenticated_emails" | "authenticated_emails_file" | "email" => EMAILS,
        "email_domain" | "allowed_domains" | "allowed_email_domains" | "allow_domains" => DOMAINS,
        "allowed_users" | "users" | "user" | "username" | "subject" | "allow_users" => USERS,
        "trusted_ips" | "trusted_ip" | "networks" | "network" | "allowed_ips" | "ip" => NETWORKS,
        "allow" | "allow_any_authenticated_user" | "require" | "policy" | "policies" => WHO,
        "block" | "forbid" => "write deny = [{ groups = [\"guests\"] }]",
        "skip_auth_preflight" | "cors_allow_preflight" => "write preflight = \"pass\"",
        "api_routes" | "api_route" => {
            "write a rule: rules = [{ path = \"/api/*\", lane = \"session\", unauthenticated = \"401\" }]"
        }
        "regex" | "path_regex" | "prefix_path" | "resources" | "paths" => {
            "write path, one pattern in each rule: \"/exact\", \"/below/*\", or a whole segment as in \"/a/*/b\""
        }
        "whitelist_domain" | "whitelist_domains" => "write server.return_to_hosts",
        "cookie_domains" => "write session.cookie_domain, one domain",
        "query" => "write path alone: the query never counts",
        "method" => "write methods, a list such as [\"GET\", \"HEAD\"]",
        _ => return None,
    })
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
        ("access", "all" | "everyone" | "any" | "*" | "authenticated" | "users" | "staff") => {
            "write \"signed-in\" for everybody who signs in (\"anyone\" where anybody can register), or a list such as [{ groups = [\"staff\"] }]"
        }
        _ => return None,
    })
}
