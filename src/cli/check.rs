//! `check`, `schema` and `keys generate`: commands that start nothing.

use std::fmt::Write;
use std::process::ExitCode;

use super::terminal::{Stream, line};
use crate::base::key_ring::KeyRing;
use crate::config::{Loaded, Sources, inspect, schema, sentence};

/// Prints all faults, or what the configuration means. 0 fine, 1 faulty.
pub fn check(sources: &Sources) -> ExitCode {
    match inspect(sources) {
        Ok(loaded) => {
            line(Stream::Output, &report(&loaded));
            ExitCode::SUCCESS
        }
        Err(problems) => {
            line(Stream::Output, &problems.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Warnings, the addresses to register, and who gets in.
pub(super) fn report(loaded: &Loaded) -> String {
    let mut out = String::new();
    // writing into a String cannot fail
    for warning in &loaded.warnings {
        let _ = writeln!(out, "warning: {warning}\n");
    }
    let config = &loaded.config;
    out.push_str("Register at the provider as redirect URI:\n");
    for (name, uri) in sentence::redirect_uris(config) {
        let _ = writeln!(out, "    {name}: {uri}");
    }
    let server = &config.server;
    let _ = writeln!(
        out,
        "    and, for sign-out there: {}{}/sign_out",
        server.public_url, server.prefix
    );
    let _ = writeln!(
        out,
        "    and, for sign-outs that it orders: {}{}/backchannel_logout",
        server.public_url, server.prefix
    );
    out.push_str("\nWho gets in:\n");
    for admission in sentence::admissions(config) {
        let _ = writeln!(out, "    {admission}");
    }
    for note in sentence::notes(config) {
        let _ = writeln!(out, "\nNote: {note}");
    }
    out.push_str("\nThe configuration is fine");
    match loaded.warnings.len() {
        0 => {}
        1 => out.push_str(", with 1 warning"),
        count => {
            let _ = write!(out, ", with {count} warnings");
        }
    }
    out
}

/// Prints the JSON Schema of the configuration.
pub fn print_schema() -> ExitCode {
    line(Stream::Output, &format!("{:#}", schema()));
    ExitCode::SUCCESS
}

/// Prints a key ring of one fresh key.
pub fn generate_keys() -> ExitCode {
    line(Stream::Output, KeyRing::generate().trim_end());
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn the_report_says_what_to_register_and_who_gets_in() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"
            server.public_url = "https://files.example.com"
            [provider.main]
            kind = "oidc"
            name = "Example ID"
            issuer = "https://id.example.com"
            client_id = "vestibule"
            client_secret = "s3cr3t"
            [route.files]
            upstream = "http://127.0.0.1:3000"
            access = [ { groups = ["staff", "admins"], email_domains = ["example.com"] }, { emails = ["ann@example.org"] } ]
            rules = [ { methods = ["GET", "HEAD"], path = "/u/*", lane = "public" }, { path = "/internal/*", lane = "deny" } ]
        "#;
        let loaded = parse(text, "vestibule.toml", &[], folder.path()).unwrap();
        let report = report(&loaded);
        let expected = "\
warning: vestibule.toml:8  provider.main.client_secret
    is a secret in the configuration file, where backups and version control find it
    cure: put it into a file of its own and name that with provider.main.client_secret_file

Register at the provider as redirect URI:
    Example ID: https://files.example.com/oauth2/callback
    and, for sign-out there: https://files.example.com/oauth2/sign_out
    and, for sign-outs that it orders: https://files.example.com/oauth2/backchannel_logout

Who gets in:
    files.example.com/u/* (GET, HEAD): everybody, without signing in
    files.example.com/internal/*: nobody
    files.example.com/* (everything else): whoever is in staff or admins and has an address at example.com; or whoever has the address ann@example.org

The configuration is fine, with 1 warning";
        assert_eq!(report, expected);
        assert!(!report.contains("s3cr3t"));
    }
}
