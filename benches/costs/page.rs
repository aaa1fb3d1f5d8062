//! Tables of `benches/GROWTH.md`, between two marks each.

use std::path::Path;

use crate::{Failure, report};

/// Prints a table, and puts it into the page if asked to.
pub fn tell(name: &str, table: &str, write: bool) -> Result<(), Failure> {
    report::result(&format!("\n{table}"));
    if !write {
        return Ok(());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/GROWTH.md");
    let page = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or_else(|| format!("GROWTH.md has no place for {name}"))?;
    std::fs::write(&path, format!("{before}{begin}{table}{end}{after}"))
        .map_err(|error| error.to_string())
}
