//! What the gateway says when it starts: what an operator has to register,
//! where things are kept, who gets in.

use std::fmt::Write;

use crate::config::checked::{Config, ListenAddr, Store};
use crate::config::sentence;

/// Several lines of plain text; nothing secret.
pub fn banner(config: &Config) -> String {
    let mut text = format!("vestibule {}\n", env!("CARGO_PKG_VERSION"));
    let mut line = |label: &str, value: String| {
        writeln!(text, "  {label:<14} {value}").expect("a String takes every write");
    };
    for listen in &config.server.listen {
        line(
            "listening on",
            listen_addr(listen, config.server.tls.is_some()),
        );
    }
    line("admin on", config.admin.listen.to_string());
    line("public url", config.server.public_url.to_string());
    for (provider, uri) in sentence::redirect_uris(config) {
        line("redirect URI", format!("{uri} (register it at {provider})"));
    }
    line(
        "sessions in",
        match &config.store {
            Store::Memory => "memory (gone at a restart)".to_owned(),
            Store::Embedded { path } => path.display().to_string(),
            Store::Redis(redis) => format!("{} (prefix {})", redis.url, redis.key_prefix),
        },
    );
    line(
        "key ring",
        format!(
            "{} (writes with {})",
            config.keys.origin,
            config.keys.ring.writer().id()
        ),
    );
    for sentence in sentence::admissions(config) {
        line("who gets in", sentence);
    }
    text
}

fn listen_addr(listen: &ListenAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    match listen {
        ListenAddr::Tcp(address) => format!("{scheme}://{address}"),
        ListenAddr::Unix(path) => format!("unix:{}", path.display()),
    }
}
