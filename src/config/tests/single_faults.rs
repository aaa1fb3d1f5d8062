//! One fault at a time: its key path, its line, a part of its cure.

use super::*;

#[test]
fn faults_of_single_values_name_key_line_and_cure() {
    let url = "server.public_url = \"https://files.example.com\"";
    let issuer = "issuer = \"https://id.example.com\"";
    let access = "access = \"signed-in\"";
    let upstream = "upstream = \"http://127.0.0.1:3000\"";
    #[rustfmt::skip]
    let rows: &[(&str, &str, &str, Option<usize>, &str)] = &[
        (url, "server.public_url = \"http://files.example.com\"", "server.public_url", Some(1), "\"https://files.example.com\""),
        (url, "server.public_url = \"https://files.example.com/a\"", "server.public_url", Some(1), "\"https://files.example.com\""),
        (url, "server.public_url = \"https://files.example.com?a=b\"", "server.public_url", Some(1), "\"https://files.example.com\""),
        (url, "server.public_url = \"files.example.com\"", "server.public_url", Some(1), "\"https://files.example.com\""),
        (url, "server.public_url = \"https://me:pw@files.example.com\"", "server.public_url", Some(1), "\"https://files.example.com\""),
        (url, "", "server.public_url", None, "public_url = \"https://apps.example.com\""),
        (url, &format!("{url}\nserver.trusted_proxies = [\"10.0.0.0/8\", \"0.0.0.0/0\"]"), "server.trusted_proxies[1]", Some(2), "proxies that stand directly in front"),
        (url, &format!("{url}\nserver.trusted_proxies = [\"::/0\"]"), "server.trusted_proxies[0]", Some(2), "proxies that stand directly in front"),
        (url, &format!("{url}\nserver.trusted_proxies = [\"10.1.2.3/8\"]"), "server.trusted_proxies[0]", Some(2), "10.0.0.0/8"),
        (url, &format!("{url}\nserver.listen = \":4180\""), "server.listen", Some(2), "0.0.0.0:4180"),
        (url, &format!("{url}\nserver.listen = [\"systemd\"]"), "server.listen[0]", Some(2), "unix:"),
        (url, &format!("{url}\nserver.listen = []"), "server.listen", Some(2), "127.0.0.1:4180"),
        (url, &format!("{url}\nserver.prefix = \"/oauth2/\""), "server.prefix", Some(2), "/oauth2"),
        (url, &format!("{url}\nserver.prefix = \"/a/../b\""), "server.prefix", Some(2), "/oauth2"),
        (url, &format!("{url}\nserver.return_to_hosts = [\"*.example.com\"]"), "server.return_to_hosts[0]", Some(2), "\".example.com\""),
        (url, &format!("{url}\nserver.return_to_hosts = [\".co.uk\"]"), "server.return_to_hosts[0]", Some(2), "your own domain"),
        (url, &format!("{url}\nserver.workers = -1"), "server.workers", Some(2), "from 0"),
        (url, &format!("{url}\nserver.runtime = \"percore\""), "server.runtime", Some(2), "did you mean \"per-core\"?"),
        (url, &format!("{url}\nserver.publik_url = \"x\""), "server.publik_url", Some(2), "did you mean public_url?"),
        (url, &format!("{url}\nserver.tls = {{}}"), "server.tls", Some(2), "`vestibule schema`"),
        (url, &format!("{url}\nadmin.listen = \"127.0.0.1:4180\""), "admin.listen", Some(2), "port of its own"),
        (url, &format!("{url}\nsession.lifetime = 3600"), "session.lifetime", Some(2), "\"3600s\""),
        (url, &format!("{url}\nsession.lifetime = \"3600\""), "session.lifetime", Some(2), "ms, s, m, h, d"),
        (url, &format!("{url}\nsession.lifetime = \"401d\""), "session.lifetime", Some(2), "400d"),
        (url, &format!("{url}\nsession.idle_timeout = \"0s\""), "session.idle_timeout", Some(2), "30s"),
        (url, &format!("{url}\nsession.idle_timeout = \"31d\""), "session.idle_timeout", Some(2), "session.lifetime longer"),
        (url, &format!("{url}\nsession.cookie_domain = \"com\""), "session.cookie_domain", Some(2), "yours alone"),
        (url, &format!("{url}\nsession.cookie_domain = \"github.io\""), "session.cookie_domain", Some(2), "yours alone"),
        (url, &format!("{url}\nsession.cookie_domain = \"other.com\""), "session.cookie_domain", Some(2), "\"example.com\""),
        (url, &format!("{url}\nsession.cookie_domain = \"les.example.com\""), "session.cookie_domain", Some(2), "\"example.com\""),
        (url, &format!("{url}\nsession.cookie_domain = \".example.com\""), "session.cookie_domain", Some(2), "\"example.com\""),
        (url, &format!("{url}\nsession.store = \"memory\""), "session.store", Some(2), "\"embedded\" or \"redis\""),
        (url, &format!("{url}\nsession.max_stale = \"30s\""), "session.max_stale", Some(2), "config/reference.md"),
        (url, &format!("{url}\nredis.url = \"redis://127.0.0.1\""), "redis", Some(2), "store = \"redis\""),
        (url, &format!("{url}\nlimits.in_flight = 0"), "limits.in_flight", Some(2), "at least 1"),
        (url, &format!("{url}\nlimits.request_head = 32768"), "limits.request_head", Some(2), "\"32768KiB\""),
        (url, &format!("{url}\nlimits.request_head = \"4KiB\""), "limits.request_head", Some(2), "8KiB"),
        (url, &format!("{url}\npages.accent = \"green\""), "pages.accent", Some(2), "six hexadecimal"),
        (url, &format!("{url}\npages.contact_url = \"javascript:alert(1)\""), "pages.contact_url", Some(2), "mailto:"),
        (url, &format!("{url}\nlog.access = \"yes\""), "log.access", Some(2), "without quotes"),
        (url, &format!("{url}\nkeys.file = \"nowhere\""), "keys.file", Some(2), "correct the path"),
        (url, &format!("{url}\npublic_url = \"x\""), "public_url", Some(2), "did you mean server.public_url?"),
        ("kind = \"oidc\"", "", "provider.main.kind", Some(2), "kind = \"oidc\""),
        ("kind = \"oidc\"", "kind = \"keycloak\"", "provider.main.kind", Some(3), "kind = \"oidc\" and the issuer"),
        ("kind = \"oidc\"", "kind = \"openid\"", "provider.main.kind", Some(3), "\"oidc\""),
        (issuer, "", "provider.main.issuer", Some(2), "issuer ="),
        (issuer, "issuer = \"http://id.example.com\"", "provider.main.issuer", Some(4), "https://"),
        (issuer, "issuer = \"https://id.example.com/.well-known/openid-configuration\"", "provider.main.issuer", Some(4), "\"https://id.example.com\""),
        (issuer, "issuer = \"https://id.example.com?x\"", "provider.main.issuer", Some(4), "discovery document"),
        ("client_id = \"vestibule\"", "client_id = \"\"", "provider.main.client_id", Some(5), "client id"),
        ("client_id = \"vestibule\"", "", "provider.main.client_id", Some(2), "client id"),
        ("client_id = \"vestibule\"", "client_id = \"vestibule\"\nscopes = [\"email\"]", "provider.main.scopes", Some(6), "\"openid\""),
        ("client_id = \"vestibule\"", "client_id = \"vestibule\"\nscopes = \"openid email\"", "provider.main.scopes", Some(6), "brackets"),
        ("client_id = \"vestibule\"", "client_id = \"vestibule\"\nclaims.grups = \"x\"", "provider.main.claims.grups", Some(6), "did you mean groups?"),
        ("client_id = \"vestibule\"", "client_id = \"vestibule\"\ninternal_url = \"http://id:8080/realms\"", "provider.main.internal_url", Some(6), "\"http://id:8080\""),
        ("client_id = \"vestibule\"", "client_id = \"vestibule\"\nrotation_grace = \"0s\"", "provider.main.rotation_grace", Some(6), "remove it"),
        ("[provider.main]", "[provider.Main]", "provider.Main", Some(2), "lower-case"),
        (upstream, "", "route.files.upstream", Some(6), "upstream ="),
        (upstream, "upstream = \"http://127.0.0.1:3000/app\"", "route.files.upstream", Some(7), "\"http://127.0.0.1:3000\""),
        (upstream, "upstream = \"http://me:pw@127.0.0.1:3000\"", "route.files.upstream", Some(7), "\"http://127.0.0.1:3000\""),
        (upstream, "upstream = \"127.0.0.1:3000\"", "route.files.upstream", Some(7), "127.0.0.1:3000\""),
        (upstream, "upstream = \"http://localhost:4180\"", "route.files.upstream", Some(7), "of the application"),
        (upstream, "upstream = \"h2c://127.0.0.1:3000\"", "route.files.upstream", Some(7), "http://"),
        (upstream, &format!("{upstream}\npath = \"files\""), "route.files.path", Some(8), "/below/*"),
        (upstream, &format!("{upstream}\nhost = \"*.example.com\""), "route.files.host", Some(8), "session.cookie_domain = \"example.com\""),
        (upstream, &format!("{upstream}\nhost = \"a*.example.com\""), "route.files.host", Some(8), "\"*.example.com\""),
        (upstream, &format!("{upstream}\nhost = \"*.co.uk\""), "route.files.host", Some(8), "yours alone"),
        (upstream, &format!("{upstream}\nhost = \"*.192.0.2.1\""), "route.files.host", Some(8), "address itself"),
        (upstream, &format!("{upstream}\nhost = \".example.com\""), "route.files.host", Some(8), "\"*.example.com\""),
        (upstream, &format!("{upstream}\nhost = \"https://files.example.com/\""), "route.files.host", Some(8), "\"files.example.com\""),
        (upstream, &format!("{upstream}\nhost = []"), "route.files.host", Some(8), "name a host"),
        (upstream, &format!("{upstream}\nmax_body = \"0B\""), "route.files.max_body", Some(8), "unlimited"),
        (upstream, &format!("{upstream}\nuser_from = \"email\""), "route.files.user_from", Some(8), "remove it"),
        (upstream, &format!("{upstream}\nidentity = \"grafana\""), "route.files.identity", Some(8), "\"default\""),
        (access, "", "route.files.access", Some(6), "access = \"signed-in\""),
        (access, "access = \"everybody\"", "route.files.access", Some(8), "\"signed-in\" or \"anyone\""),
        (access, "access = []", "route.files.access", Some(8), "[{ groups"),
        (access, "access = [{}]", "route.files.access[0]", Some(8), "email_domains"),
        (access, "access = [{ groups = [] }]", "route.files.access[0].groups", Some(8), "add a value"),
        (access, "access = [{ groups = [\"a\", \"\"] }]", "route.files.access[0].groups[1]", Some(8), "as the provider spells it"),
        (access, "access = [{ groups = [\" a\"] }]", "route.files.access[0].groups[0]", Some(8), "as the provider spells it"),
        (access, "access = [{ groups = \"a\" }]", "route.files.access[0].groups", Some(8), "brackets"),
        (access, "access = [{ grops = [\"a\"] }]", "route.files.access[0].grops", Some(8), "did you mean groups?"),
        (access, "access = [{ emails = [\"a@b@c.de\"] }]", "route.files.access[0].emails[0]", Some(8), "ann@example.com"),
        (access, "access = [{ emails = [\"example.com\"] }]", "route.files.access[0].emails[0]", Some(8), "ann@example.com"),
        (access, "access = [{ email_domains = [\"@example.com\"] }]", "route.files.access[0].email_domains[0]", Some(8), "example.com"),
        (access, "access = [{ email_domains = [\"bücher.de\"] }]", "route.files.access[0].email_domains[0]", Some(8), "ASCII"),
        (access, "access = [{ provider = \"mian\" }]", "route.files.access[0].provider", Some(8), "did you mean \"main\"?"),
        (access, "access = [{ acr = [\"a\"] }]", "route.files.access[0].acr", Some(8), "remove it"),
    ];
    for (from, to, key, line, cure) in rows {
        refuses(&changed(from, to), key, *line, cure);
    }
}

#[test]
fn faults_of_rules_and_headers_name_key_line_and_cure() {
    #[rustfmt::skip]
    let rows: &[(&str, &str, &str)] = &[
        ("rules = [{ lane = \"public\" }]", "route.files.rules[0].path", "\"/*\""),
        ("rules = [{ path = \"/a\" }]", "route.files.rules[0].lane", "\"deny\""),
        ("rules = [{ path = \"a\", lane = \"public\" }]", "route.files.rules[0].path", "/below/*"),
        ("rules = [{ path = \"/a\", lane = \"machine-token\" }]", "route.files.rules[0].lane", "\"backend-token\" or \"deny\""),
        ("rules = [{ path = \"/a\", lane = \"pubic\" }]", "route.files.rules[0].lane", "did you mean \"public\"?"),
        ("rules = [{ path = \"/a\", lane = \"public\", methods = [] }]", "route.files.rules[0].methods", "all of them"),
        ("rules = [{ path = \"/a\", lane = \"public\", methods = [\"get\"] }]", "route.files.rules[0].methods[0]", "\"GET\""),
        ("rules = [{ path = \"/a\", lane = \"public\", access = \"signed-in\" }]", "route.files.rules[0].access", "lane = \"session\""),
        ("rules = [{ path = \"/a\", lane = \"deny\", unauthenticated = \"401\" }]", "route.files.rules[0].unauthenticated", "lane = \"session\""),
        ("rules = [{ path = \"/a\", lane = \"session\", upgrade = true }]", "route.files.rules[0].upgrade", "lane = \"public\""),
        ("rules = [{ path = \"/a\", lane = \"session\", unauthenticated = 401 }]", "route.files.rules[0].unauthenticated", "double quotes"),
        ("rules = [{ path = \"/a\", lane = \"session\", access = [] }]", "route.files.rules[0].access", "signed-in"),
        ("rules = [{ path = \"/*\", lane = \"session\" }, { path = \"/a\", lane = \"public\" }]", "route.files.rules[1]", "further up"),
        ("rules = [{ path = \"/a\", lane = \"session\", header = {} }]", "route.files.rules[0].header", "remove it"),
        ("rules = [{ path = \"/*\", lane = \"public\" }]", "route.files.access", "remove that rule"),
        ("headers.Host = \"email\"", "route.files.headers.Host", "another name"),
        ("headers.cookie = \"email\"", "route.files.headers.cookie", "another name"),
        ("headers.Authorization = \"email\"", "route.files.headers.Authorization", "another name"),
        ("headers.Transfer-Encoding = \"email\"", "route.files.headers.Transfer-Encoding", "another name"),
        ("headers.X-Forwarded-For = \"email\"", "route.files.headers.X-Forwarded-For", "another name"),
        ("headers.X-Original-URL = \"email\"", "route.files.headers.X-Original-URL", "another name"),
        ("headers.X-Forwarded-User = \"email\"", "route.files.headers.X-Forwarded-User", "identity = \"none\""),
        ("headers.\"X Team\" = \"email\"", "route.files.headers.X Team", "X-Team"),
        ("headers.X-Team = \"mail\"", "route.files.headers.X-Team", "\"email\""),
        ("headers.X-Team = \"claim:\"", "route.files.headers.X-Team", "claim:"),
    ];
    for (line, key, cure) in rows {
        let at = if *key == "route.files.access" { 8 } else { 9 };
        refuses(&format!("{BASE}{line}\n"), key, Some(at), cure);
    }
}
