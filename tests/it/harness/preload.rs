//! Small libraries that stand between the gateway and its system (Linux).

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds `tests/it/harness/NAME.c` into `folder`.
pub fn library(name: &str, folder: &Path) -> PathBuf {
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/harness");
    let library = folder.join(format!("{name}.so"));
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &harness.join(format!("{name}.c"))])
        .arg("-ldl")
        .output()
        .expect("a C compiler, which the gateway's own build needs too");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    library
}

/// In one step: whoever reads it never sees half an order.
pub fn order(folder: &Path, text: &str) {
    let draft = folder.join("draft");
    std::fs::write(&draft, text).expect("order");
    std::fs::rename(draft, folder.join("order")).expect("order");
}
