//! Who may pass.

use super::*;

#[test]
fn sec_adv_15_an_empty_string_in_access_is_refused() {
    let text = changed("\"signed-in\"", "[{ groups = [\"\", \"admins\"] }]");
    refuses(&text, "route.files.access[0].groups[0]", Some(8), "group");
}

#[test]
fn signed_in_is_refused_where_anybody_can_register() {
    for issuer in [
        "https://accounts.google.com",
        "https://github.com",
        "https://gitlab.com",
        "https://discord.com",
        "https://appleid.apple.com",
        "https://slack.com",
        "https://www.linkedin.com/oauth",
        "https://bitbucket.org",
        "https://login.microsoftonline.com/common/v2.0",
    ] {
        let text = changed("https://id.example.com", issuer);
        refuses(&text, "route.files.access", Some(8), "\"anyone\"");
        let meant = text.replace("\"signed-in\"", "\"anyone\"");
        assert!(read(&meant).is_ok(), "{issuer}");
        let limited = text.replace("\"signed-in\"", "[{ email_domains = [\"Example.com\"] }]");
        assert!(read(&limited).is_ok(), "{issuer}");
    }
    let tenant = "https://login.microsoftonline.com/0f1e2d3c-0000-4000-8000-000000000000/v2.0";
    assert!(read(&changed("https://id.example.com", tenant)).is_ok());
}

#[test]
fn with_several_providers_a_rule_on_groups_names_its_provider() {
    let second = "[provider.second]\nkind = \"oidc\"\nissuer = \"https://two.example.com\"\nclient_id = \"v\"\n";
    let text = changed("\"signed-in\"", "[{ groups = [\"staff\"] }]") + second;
    refuses(
        &text,
        "route.files.access[0]",
        Some(8),
        "provider = \"main\"",
    );
    let text = text.replace("groups =", "provider = \"second\", groups =");
    let config = read(&text).unwrap().config;
    assert_eq!(
        sentence::admissions(&config),
        ["files.example.com/*: whoever is in staff and signs in with two.example.com"]
    );
    let uris: Vec<String> = sentence::redirect_uris(&config)
        .into_iter()
        .map(|(_, uri)| uri)
        .collect();
    assert_eq!(
        uris,
        [
            "https://files.example.com/oauth2/callback/main",
            "https://files.example.com/oauth2/callback/second"
        ]
    );
}

#[test]
fn a_route_without_access_ends_in_a_rule_for_everything() {
    let open = |rules: &str| changed("access = \"signed-in\"", &format!("rules = [{rules}]"));
    let config = read(&open("{ path = \"/*\", lane = \"public\" }"))
        .unwrap()
        .config;
    assert_eq!(config.routes[0].access, None);
    assert_eq!(config.routes[0].rules[0].lane, Lane::Public);
    for rules in [
        "{ path = \"/a/*\", lane = \"public\" }",
        "{ path = \"/*\", lane = \"public\", methods = [\"GET\"] }",
        "{ path = \"/a\", lane = \"session\" }, { path = \"/*\", lane = \"deny\" }",
    ] {
        refuses(
            &open(rules),
            "route.files.access",
            Some(6),
            "lane = \"public\"",
        );
    }
}

#[test]
fn a_rule_of_a_session_lane_narrows_the_route() {
    let rules = "rules = [{ path = \"/admin/*\", lane = \"session\", access = [{ groups = [\"admins\"] }] }]\n";
    let config = read(&format!("{BASE}{rules}")).unwrap().config;
    assert_eq!(
        sentence::admissions(&config),
        [
            "files.example.com/admin/*: whoever is in admins",
            "files.example.com/* (everything else): whoever signs in with id.example.com"
        ]
    );
    let narrower = changed("\"signed-in\"", "[{ groups = [\"staff\"] }]") + rules;
    let config = read(&narrower).unwrap().config;
    assert_eq!(
        sentence::admissions(&config)[0],
        "files.example.com/admin/*: whoever is in admins, out of these: whoever is in staff"
    );
}

#[test]
fn trusting_addresses_of_an_open_provider_warns() {
    let text = changed(
        "https://id.example.com",
        "https://login.microsoftonline.com/common/v2.0",
    )
    .replace("client_id", "email_verified = \"trust\"\nclient_id")
    .replace(
        "\"signed-in\"",
        "[{ email_domains = [\"example.com\"] }, { provider = \"main\" }]",
    );
    let warnings = read(&text).unwrap().warnings;
    let keys: Vec<&str> = warnings
        .iter()
        .map(|warning| warning.key.as_str())
        .collect();
    assert_eq!(
        keys,
        ["provider.main.email_verified", "route.files.access[1]"]
    );
}

#[test]
fn a_route_for_one_providers_people_knows_that() {
    let second = "[provider.two]\nkind = \"oidc\"\nissuer = \"https://two.example.com\"\nclient_id = \"vestibule\"\n";
    for (access, only) in [
        ("\"signed-in\"", None),
        ("[{ provider = \"two\" }]", Some("two")),
        (
            "[{ provider = \"two\", groups = [\"a\"] }, { provider = \"two\" }]",
            Some("two"),
        ),
        ("[{ provider = \"two\" }, { provider = \"main\" }]", None),
        (
            "[{ provider = \"two\" }, { emails = [\"a@example.com\"] }]",
            None,
        ),
    ] {
        let text = changed("\"signed-in\"", access)
            .replace("[route.files]", &format!("{second}[route.files]"));
        let loaded = read(&text).unwrap_or_else(|faults| panic!("{text}\n{faults}"));
        let found = &loaded.config.routes[0].identity.only_provider;
        assert_eq!(found.as_ref().map(|id| &*id.0), only, "{access}");
    }
}
