//! Places where a test build dies on order, as if somebody pulled the plug.
//!
//! Only with the feature `kill-points`, which no optimised build takes; in
//! every other build a place is nothing at all.

#[cfg(all(feature = "kill-points", not(debug_assertions)))]
compile_error!("`kill-points` lets a file kill the gateway: for test builds only");

/// Dies here if the file that `VESTIBULE_KILL_ORDER` names says
/// `subject.moment`. An order is carried out once: the file goes first.
#[cfg(feature = "kill-points")]
pub fn at(subject: &str, moment: &str) {
    use std::path::PathBuf;
    use std::sync::LazyLock;

    #[expect(
        clippy::disallowed_methods,
        reason = "an instrument of the tests, not a setting"
    )]
    static ORDER: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var("VESTIBULE_KILL_ORDER").ok().map(Into::into));

    let Some(path) = &*ORDER else { return };
    let ordered = std::fs::read_to_string(path).unwrap_or_default();
    if ordered.trim_end().split_once('.') == Some((subject, moment)) {
        if let Err(error) = std::fs::remove_file(path) {
            eprintln!("order stays: {error}");
        }
        eprintln!("dies at {subject}.{moment}");
        std::process::abort();
    }
}

#[cfg(not(feature = "kill-points"))]
#[inline]
pub const fn at(_subject: &str, _moment: &str) {}
