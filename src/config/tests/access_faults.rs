//! What people who come from other gateways write about access, and mistakes
//! that would let in the wrong ones: each a fault of its own with its cure.

use super::*;

/// One more line in the route of the base.
fn with(line: &str) -> String {
    let text = if line.starts_with("access") {
        changed("access = \"signed-in\"", line)
    } else {
        format!("{BASE}{line}\n")
    };
    text.trim_end().to_owned() + "\n"
}

#[test]
fn mistakes_about_access_are_named_with_their_cure() {
    const TOKEN: &str = "header = { name = \"authorization\", matches = \"^[a-z0-9]{40}$\" }";
    let token = |rest: &str| format!("rules = [{{ {rest}, lane = \"backend-token\" }}]");
    #[rustfmt::skip]
    let rows: Vec<(String, &str, &str)> = [
        // words of others
        ("skip_auth_routes = [\"GET=^/u/\"]", "skip_auth_routes", "lane = \"public\""),
        ("skip_auth_regex = [\"^/u/\"]", "skip_auth_regex", "lane = \"public\""),
        ("skip_auth_preflight = true", "skip_auth_preflight", "preflight = \"pass\""),
        ("allowed_groups = [\"staff\"]", "allowed_groups", "groups = "),
        ("email_domain = \"example.com\"", "email_domain", "email_domains = "),
        ("email_domains = [\"example.com\"]", "email_domains", "access"),
        ("authenticated_emails_file = \"/x\"", "authenticated_emails_file", "emails = "),
        ("trusted_ips = [\"10.0.0.0/8\"]", "trusted_ips", "no address replaces signing in"),
        ("whitelist_domains = [\".example.com\"]", "whitelist_domains", "server.return_to_hosts"),
        ("api_routes = [\"^/api\"]", "api_routes", "unauthenticated = \"401\""),
        ("policy = \"one_factor\"", "policy", "access = \"signed-in\""),
        ("rules = [{ path = \"/a\", lane = \"bypass\" }]", "rules[0].lane", "lane = \"public\""),
        ("rules = [{ path = \"/a\", lane = \"one_factor\" }]", "rules[0].lane", "lane = \"session\""),
        ("rules = [{ path = \"/a\", lane = \"bearer\" }]", "rules[0].lane", "\"backend-token\""),
        ("rules = [{ path = \"/a\", lane = \"block\" }]", "rules[0].lane", "lane = \"deny\""),
        ("rules = [{ path = \"/a\", method = \"GET\", lane = \"public\" }]", "rules[0].method", "methods"),
        ("rules = [{ path = \"/a\", query = \"x\", lane = \"public\" }]", "rules[0].query", "never counts"),
        // everybody, by accident
        ("access = \"all\"", "access", "\"signed-in\""),
        ("access = \"*\"", "access", "\"signed-in\""),
        ("access = \"public\"", "access", "lane = \"public\""),
        ("access = []", "access", "\"signed-in\""),
        ("access = [{}]", "access[0]", "groups"),
        ("access = [{ groups = [] }]", "access[0].groups", "add a value"),
        ("access = [{ groups = [\"\"] }]", "access[0].groups[0]", "spells it"),
        ("access = [{ groups = [\"*\"] }]", "access[0].groups[0]", "signed-in"),
        ("access = [{ usernames = [\"*\"] }]", "access[0].usernames[0]", "signed-in"),
        ("access = [{ email_domains = [\"*\"] }]", "access[0].email_domains[0]", "signed-in"),
        ("access = [{ email_domains = [\"@example.com\"] }]", "access[0].email_domains[0]", "without \"@\""),
        ("access = [{ email_domains = [\"*.example.com\"] }]", "access[0].email_domains[0]", "without \"@\""),
        ("access = [{ emails = [\"ann\"] }]", "access[0].emails[0]", "whole address"),
        ("access = [{ emails = [\"@example.com\"] }]", "access[0].emails[0]", "whole address"),
        ("access = [{ groups = \"staff\" }]", "access[0].groups", "brackets"),
        ("access = [{ group = [\"staff\"] }]", "access[0].group", "groups = "),
        ("access = [{ claims = {} }]", "access[0].claims", "department"),
        ("access = [{ claims = { a = [] } }]", "access[0].claims.a", "add a value"),
        ("access = [{ claims = { a = \"b\" } }]", "access[0].claims.a", "brackets"),
        ("access = [{ client_networks = [\"0.0.0.0/0\"] }]", "access[0].client_networks[0]", "that are meant"),
        ("access = [{ client_networks = [\"10.0.0.1/8\"] }]", "access[0].client_networks[0]", "10.0.0.0/8"),
        ("access = [{ client_networks = [\"office\"] }]", "access[0].client_networks[0]", "CIDR"),
        ("access = [{ client_networks = [] }]", "access[0].client_networks", "add a value"),
        ("access = [{ provider = \"other\", groups = [\"a\"] }]", "access[0].provider", "the providers are"),
        ("deny = []", "deny", "guests"),
        ("deny = [{}]", "deny[0]", "groups"),
        ("deny = [{ emails = [\"eve\"] }]", "deny[0].emails[0]", "whole address"),
        // paths that mean something else than they seem to
        ("rules = [{ path = \"^/u/\", lane = \"public\" }]", "rules[0].path", "/below/*"),
        ("rules = [{ path = \"/u/**\", lane = \"public\" }]", "rules[0].path", "/below/*"),
        ("rules = [{ path = \"/u*\", lane = \"public\" }]", "rules[0].path", "/below/*"),
        ("rules = [{ path = \"/u/*.png\", lane = \"public\" }]", "rules[0].path", "/below/*"),
        ("rules = [{ path = \"/u?x=1\", lane = \"public\" }]", "rules[0].path", "/below/*"),
        ("rules = [{ path = \"/u/../x\", lane = \"public\" }]", "rules[0].path", "/below/*"),
        ("rules = [{ path = \"https://x/u\", lane = \"public\" }]", "rules[0].path", "/below/*"),
        // rules that never count
        ("rules = [{ path = \"/u/*\", lane = \"public\" }, { path = \"/u/private\", lane = \"deny\" }]", "rules[1]", "before rule 0"),
        ("rules = [{ path = \"/u/*\", lane = \"public\" }, { path = \"/u/a/*\", lane = \"session\" }]", "rules[1]", "before rule 0"),
        ("rules = [{ path = \"/*/a\", lane = \"public\" }, { path = \"/x/a\", lane = \"deny\", methods = [\"GET\"] }]", "rules[1]", "before rule 0"),
        ("rules = [{ path = \"/a\", lane = \"optional\", access = \"signed-in\" }]", "rules[0].access", "lane = \"session\""),
        ("rules = [{ path = \"/a\", lane = \"public\", deny = [{ groups = [\"g\"] }] }]", "rules[0].deny", "lane = \"session\""),
        ("rules = [{ path = \"/*\", lane = \"public\" }]\nencoded_slash = true", "encoded_slash", "remove encoded_slash"),
        // tokens of applications
        ("rules = [{ methods = [\"POST\"], path = \"/a\", lane = \"backend-token\" }]", "rules[0].header", "[A-Za-z0-9._=-]{40,}"),
        ("rules = [{ methods = [\"POST\"], path = \"/a\", lane = \"backend-token\", header = {} }]", "rules[0].header.name", "authorization"),
    ]
    .map(|(line, key, cure)| (line.to_owned(), key, cure))
    .into_iter()
    .chain([
        (token(&format!("path = \"/a\", {TOKEN}")), "rules[0].methods", "[\"POST\"]"),
        (format!("rules = [{{ path = \"/a\", {TOKEN}, lane = \"public\" }}]"), "rules[0].header", "lane = \"backend-token\""),
        (token("methods = [\"POST\"], path = \"/a\", header = { name = \"authorization\" }"), "rules[0].header.matches", "whole value"),
        (token("methods = [\"POST\"], path = \"/a\", header = { name = \"authorization\", matches = \".*\" }"), "rules[0].header.matches", "how long"),
        (token("methods = [\"POST\"], path = \"/a\", header = { name = \"authorization\", matches = \"(\" }"), "rules[0].header.matches", "regular expression"),
        (token("methods = [\"POST\"], path = \"/a\", header = { name = \"cookie\", matches = \".{40,}\" }"), "rules[0].header.name", "expects its token"),
        (token("methods = [\"POST\"], path = \"/a\", header = { name = \"X-Forwarded-User\", matches = \".{40,}\" }"), "rules[0].header.name", "expects its token"),
    ])
    .collect();
    let mut wrong = Vec::new();
    for (line, key, cure) in &rows {
        let text = if *key == "encoded_slash" {
            with(line).replace("access = \"signed-in\"\n", "")
        } else {
            with(line)
        };
        let Err(problems) = read(&text) else {
            wrong.push(format!("{line}: passes"));
            continue;
        };
        let key = format!("route.files.{key}");
        let named = problems
            .errors
            .iter()
            .any(|problem| problem.key == key && problem.cure.contains(cure));
        if !named || problems.errors.len() > 2 {
            wrong.push(format!("{line}: {key} {cure}\n{problems}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows.len() >= 60, "{}", rows.len());
}

#[test]
fn a_weak_token_shape_and_an_open_network_are_warned_of() {
    for (line, key) in [
        (
            "rules = [{ methods = [\"POST\"], path = \"/a\", lane = \"backend-token\", header = { name = \"authorization\", matches = \".+\" } }]",
            "route.files.rules[0].header.matches",
        ),
        (
            "rules = [{ methods = [\"GET\"], path = \"/a\", lane = \"backend-token\", header = { name = \"authorization\", matches = \"Basic .*\" } }]",
            "route.files.rules[0].header.matches",
        ),
    ] {
        let loaded = read(&with(line)).unwrap();
        assert_eq!(loaded.warnings.len(), 1, "{line}");
        assert_eq!(loaded.warnings[0].key, key);
    }
    let google = with("access = [{ client_networks = [\"10.0.0.0/8\"] }]")
        .replace("https://id.example.com", "https://accounts.google.com");
    let loaded = read(&google).unwrap();
    assert_eq!(loaded.warnings[0].key, "route.files.access[0]");
}

#[test]
fn with_several_providers_every_key_of_one_names_it() {
    let second = "[provider.other]\nkind = \"oidc\"\nissuer = \"https://other.example.com\"\nclient_id = \"v\"\n";
    for key in [
        "groups = [\"a\"]",
        "subjects = [\"a\"]",
        "usernames = [\"a\"]",
        "claims = { a = [\"b\"] }",
    ] {
        let text = with(&format!("access = [{{ {key} }}]")) + second;
        refuses(
            &text,
            "route.files.access[0]",
            Some(8),
            "provider = \"main\"",
        );
        let denied = with(&format!("deny = [{{ {key} }}]")) + second;
        refuses(
            &denied,
            "route.files.deny[0]",
            Some(9),
            "provider = \"main\"",
        );
        let named = text.replace(key, &format!("{key}, provider = \"main\""));
        let config = read(&named).unwrap().config;
        let extra = |id: &str| {
            let id = crate::model::identity::ProviderId(id.to_owned());
            config.providers[&id].claims.extra.len()
        };
        assert_eq!(extra("main"), usize::from(key.starts_with("claims")));
        assert_eq!(extra("other"), 0);
    }
    let mails =
        with("access = [{ emails = [\"ann@example.com\"], client_networks = [\"private\"] }]");
    assert!(read(&(mails + second)).is_ok());
}

#[test]
fn paths_of_two_routes_that_nothing_tells_apart_are_refused() {
    let route = |path: &str| {
        format!(
            "[route.more]\npath = \"{path}\"\nupstream = \"http://127.0.0.1:3001\"\naccess = \"signed-in\"\n"
        )
    };
    for (one, other, fine) in [
        ("/a/*/c", "/*/b/c", false),
        ("/a/*", "/A/*", false),
        ("/a/*", "/%61/*", true),
        ("/a/*/c", "/*/b/d", true),
        ("/a/*", "/a/b/*", true),
        ("/a/b", "/a/*", true),
        ("/a/*/x", "/a/b/*", true),
    ] {
        let text = changed("access =", &format!("path = \"{one}\"\naccess =")) + &route(other);
        let loaded = read(&text);
        // A needless escape is a fault of its own.
        let conflict =
            |problems: &Problems| problems.errors.iter().any(|one| one.key == "route.more");
        assert_eq!(
            !loaded.is_err_and(|problems| conflict(&problems)),
            fine,
            "{one} {other}"
        );
    }
}

#[test]
fn every_lane_has_its_sentence() {
    let text = with(
        "deny = [{ groups = [\"guests\"] }]\npreflight = \"pass\"\nencoded_slash = true\nrules = [\
         { path = \"/explore/*\", lane = \"optional\" },\
         { methods = [\"POST\"], path = \"/up\", lane = \"backend-token\", header = { name = \"x-token\", matches = \"[a-z]{40}\" } },\
         { path = \"/adm/*\", lane = \"session\", access = [{ subjects = [\"0001\"], usernames = [\"ann\"], claims = { dept = [\"it\", \"ops\"] }, client_networks = [\"10.0.0.0/8\"] }], deny = [{ usernames = [\"eve\"] }] }]",
    );
    let config = read(&text).unwrap().config;
    let out = "; but never whoever is in guests, nor anybody of whom that cannot be told";
    assert_eq!(
        sentence::admissions(&config),
        [
            "files.example.com/*: CORS preflights of everybody, without identity and cookies".to_owned(),
            format!("files.example.com/explore/*: everybody, without signing in; told to the application: whoever signs in with id.example.com{out}"),
            "files.example.com/up (POST): everybody with a header x-token of the form [a-z]{40}, without signing in; only the application judges the token".to_owned(),
            "files.example.com/adm/*: whoever has the subject 0001, has the user name ann, has it or ops in the claim dept and comes from 10.0.0.0/8; but never whoever is in guests, nor whoever has the user name eve, nor anybody of whom that cannot be told".to_owned(),
            format!("files.example.com/* (everything else): whoever signs in with id.example.com{out}"),
        ]
    );
    assert_eq!(sentence::notes(&config).len(), 1);
}
