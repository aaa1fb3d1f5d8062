//! `[pages]`: what people see of us.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::checked::Pages;
use super::problems::Findings;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawPages {
    /// auto: with one provider straight on to it; page: always ask first.
    sign_in: Option<RawSignIn>,
    /// What the pages call this place.
    name: Option<String>,
    /// Picture on the pages: svg, png, jpg or webp.
    logo_file: Option<String>,
    /// Colour of buttons, #rrggbb.
    accent: Option<String>,
    /// Where people find help: https:// or mailto:.
    contact_url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawSignIn {
    Auto,
    Page,
}

const LOGO_LIMIT: usize = 256 * 1024;

pub(super) fn check(raw: &RawPages, base_dir: &Path, findings: &mut Findings) -> Pages {
    if let Some(accent) = &raw.accent {
        let digits = accent.strip_prefix('#').unwrap_or_default();
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            findings.error(
                "pages.accent",
                format!("\"{accent}\" is not a colour"),
                "write \"#\" and six hexadecimal digits, such as \"#2f6f4f\"",
            );
        }
    }
    if let Some(contact) = &raw.contact_url {
        let known = url::Url::parse(contact)
            .is_ok_and(|url| matches!(url.scheme(), "https" | "http" | "mailto"));
        if !known {
            findings.error(
                "pages.contact_url",
                format!("\"{contact}\" is not an https:// or mailto: address"),
                "write \"mailto:help@example.com\" or \"https://…\"",
            );
        }
    }
    if raw
        .name
        .as_deref()
        .is_some_and(|name| name.trim().is_empty())
    {
        findings.error("pages.name", "is empty", "write a name, or remove it");
    }
    Pages {
        auto: raw.sign_in != Some(RawSignIn::Page),
        name: raw.name.clone(),
        logo: raw
            .logo_file
            .as_deref()
            .and_then(|path| logo(&base_dir.join(path), findings)),
        accent: raw.accent.clone(),
        contact_url: raw.contact_url.clone(),
    }
}

fn logo(path: &Path, findings: &mut Findings) -> Option<(Vec<u8>, &'static str)> {
    let key = "pages.logo_file";
    let shown = path.display();
    let extension = path.extension().and_then(|extension| extension.to_str());
    let media_type = match extension {
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        _ => {
            findings.error(
                key,
                format!("{shown} is of an unknown kind"),
                "name a file that ends in .svg, .png, .jpg or .webp",
            );
            return None;
        }
    };
    match std::fs::read(path) {
        Ok(bytes) if bytes.len() > LOGO_LIMIT => {
            findings.error(
                key,
                format!("{shown} is larger than 256 KiB"),
                "make it smaller",
            );
            None
        }
        Ok(bytes) => Some((bytes, media_type)),
        Err(error) => {
            findings.error(
                key,
                format!("{shown} cannot be read: {error}"),
                "correct the path",
            );
            None
        }
    }
}
