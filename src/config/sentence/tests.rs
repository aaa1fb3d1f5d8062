use super::*;

fn admissions_of(routes: &str) -> Vec<String> {
    let text = format!(
        "server.public_url = \"https://a.example.com\"\n\
             [provider.main]\nkind = \"oidc\"\nname = \"Example ID\"\nissuer = \"https://id.example.com\"\nclient_id = \"v\"\n\
             [provider.two]\nkind = \"oidc\"\nname = \"Other ID\"\nissuer = \"https://two.example.com\"\nclient_id = \"v\"\n{routes}"
    );
    let folder = tempfile::tempdir().unwrap();
    let loaded = crate::config::parse(&text, "t.toml", &[], folder.path());
    admissions(&loaded.unwrap_or_else(|faults| panic!("{faults}")).config)
}

#[test]
fn every_case_reads_as_a_sentence() {
    let told = admissions_of(
        r#"
            [route.a]
            upstream = "http://127.0.0.1:1"
            access = [{ provider = "main", groups = ["a", "b", "c"], emails = ["x@example.com"] }, { email_domains = ["example.com"] }]
            rules = [
              { methods = ["GET"], path = "/live", lane = "public", upgrade = true },
              { path = "/in/*", lane = "session", access = "signed-in" },
              { methods = ["PUT", "POST", "DELETE"], path = "/in2/*", lane = "session", access = [{ provider = "two" }] },
              { path = "/api/*", lane = "session", unauthenticated = "401" },
            ]
            [route.any]
            host = "*"
            path = "/status"
            upstream = "http://127.0.0.1:1"
            rules = [{ path = "/*", lane = "deny" }]
            [route.open]
            path = "/open/*"
            upstream = "http://127.0.0.1:1"
            rules = [{ methods = ["DELETE"], path = "/*", lane = "deny" }, { path = "/*", lane = "public" }]
            "#,
    );
    let staff = "whoever is in a, b or c, has the address x@example.com and signs in with Example ID; or whoever has an address at example.com";
    assert_eq!(
        told,
        [
            "a.example.com/open/* (DELETE): nobody".to_owned(),
            "a.example.com/open/* (everything else): everybody, without signing in".to_owned(),
            "a.example.com/live (GET): everybody, without signing in, also by websocket".to_owned(),
            format!(
                "a.example.com/in/*: whoever signs in with Example ID or Other ID, out of these: {staff}"
            ),
            format!(
                "a.example.com/in2/* (PUT, POST, DELETE): whoever signs in with Other ID, out of these: {staff}"
            ),
            format!("a.example.com/api/*: {staff}"),
            format!("a.example.com/* (everything else): {staff}"),
            "any other host/status: nobody".to_owned(),
        ]
    );
}
