//! What `[pages]` changes: name, logo, accent, contact; and the assets that
//! come of it, each under an address that changes with its bytes.

use bytes::Bytes;

use super::colour::{Colour, DARK_CARD, INK, WHITE};
use super::safe_href::safe_href;
use crate::config::checked;

const STYLESHEET: &str = include_str!("templates/vestibule.css");
const MARK: &str = include_str!("templates/mark.svg");
const DEFAULT_ACCENT: Colour = Colour::new(0x2f, 0x5b, 0xd7);

pub(super) struct Asset {
    pub(super) file: &'static str,
    pub(super) version: String,
    pub(super) media_type: &'static str,
    pub(super) bytes: Bytes,
}

impl Asset {
    fn new(file: &'static str, media_type: &'static str, bytes: Bytes) -> Self {
        let version = blake3::hash(&bytes).to_hex()[..16].to_owned();
        Self {
            file,
            version,
            media_type,
            bytes,
        }
    }

    fn href(&self, prefix: &str) -> String {
        format!("{prefix}/static/{}/{}", self.version, self.file)
    }
}

pub(super) struct Branding {
    pub(super) name: Option<String>,
    pub(super) contact_url: Option<String>,
    pub(super) css_href: String,
    pub(super) mark_href: String,
    pub(super) assets: [Asset; 2],
}

impl Branding {
    pub(super) fn new(pages: &checked::Pages, prefix: &str) -> Self {
        let accent = pages
            .accent
            .as_deref()
            .and_then(Colour::parse)
            .unwrap_or(DEFAULT_ACCENT);
        let css = Asset::new(
            "vestibule.css",
            "text/css; charset=utf-8",
            Bytes::from(format!("{}{STYLESHEET}", accent_rules(accent))),
        );
        let mark = match &pages.logo {
            Some((bytes, media_type)) => {
                Asset::new("logo", media_type, Bytes::copy_from_slice(bytes))
            }
            None => Asset::new("logo", "image/svg+xml", Bytes::from(mark(accent))),
        };
        Self {
            name: pages.name.clone(),
            contact_url: pages
                .contact_url
                .as_deref()
                .filter(|href| safe_href(href) == *href)
                .map(str::to_owned),
            css_href: css.href(prefix),
            mark_href: mark.href(prefix),
            assets: [css, mark],
        }
    }
}

fn accent_rules(accent: Colour) -> String {
    let text = accent.text_on();
    // Hovering moves away from the text colour, so that contrast only grows.
    let hover = accent.toward(if text == WHITE { INK } else { WHITE }, 14);
    format!(
        ":root{{--accent:{accent};--on-accent:{text};--accent-hover:{hover};--accent-edge:{};--accent-on-light:{};--accent-on-dark:{}}}\n",
        accent.toward(INK, 12),
        accent.readable_on(WHITE),
        accent.readable_on(DARK_CARD),
    )
}

fn mark(accent: Colour) -> String {
    MARK.replace("{accent}", &accent.to_string())
        .replace("{on}", &accent.text_on().to_string())
}
