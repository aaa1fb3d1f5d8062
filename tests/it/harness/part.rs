//! The programs that some tests need, and what happens where one is missing.
//!
//! Plain `cargo test` passes with nothing installed: a test whose part is
//! missing says so on standard error and passes. `VESTIBULE_TEST_REQUIRE`
//! (`redis,browser,node,radicale,kill-points`) makes a missing part a failure; `tests/run`
//! sets it.

use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Redis,
    Valkey,
    Browser,
    Node,
    Radicale,
    /// A gateway that dies on order: `--features kill-points`.
    KillPoints,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::Browser => "browser",
            Self::Node => "node",
            Self::Radicale => "radicale",
            Self::KillPoints => "kill-points",
        }
    }

    fn present(self) -> bool {
        match self {
            Self::Redis => program("redis-server").is_some() && program("openssl").is_some(),
            Self::Valkey => program("valkey-server").is_some(),
            Self::Browser => program("chromium").is_some() && program("chromedriver").is_some(),
            Self::Node => {
                program("node").is_some()
                    && ["oidc-provider", "@grpc/grpc-js"]
                        .iter()
                        .all(|name| e2e_folder().join("node_modules").join(name).is_dir())
            }
            Self::Radicale => program("radicale").is_some(),
            Self::KillPoints => cfg!(feature = "kill-points"),
        }
    }
}

/// Where the scripts of the end-to-end tests are.
pub fn e2e_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e")
}

/// Whether `test` can run; a test that gets `false` returns at once.
#[must_use]
pub fn have(test: &str, parts: &[Part]) -> bool {
    let required = variable("VESTIBULE_TEST_REQUIRE");
    for part in parts {
        if part.present() {
            continue;
        }
        assert!(
            !required.split(',').any(|word| word.trim() == part.name()),
            "{test} needs {}, which is not installed",
            part.name()
        );
        // Past the capture of the test runner, so that it is seen.
        let line = format!("left out: {test} (needs {})\n", part.name());
        std::io::stderr()
            .write_all(line.as_bytes())
            .expect("standard error is open");
        return false;
    }
    true
}

/// Whether the storms that take long are wanted (`tests/run --long`).
#[must_use]
pub fn long() -> bool {
    !variable("VESTIBULE_TEST_LONG").is_empty()
}

fn program(name: &str) -> Option<PathBuf> {
    variable("PATH")
        .split(':')
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test runner's own switches, not the gateway's"
)]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
