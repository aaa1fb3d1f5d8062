//! What every store must do, as named cases. Each case uses names of its own,
//! so one store can stand for all of them.
//!
//! Must not know: any particular store.

mod changes;
mod claims;
mod commits;
mod entries;
mod histories;
mod pins;
mod records;
mod subject;
mod takes;
mod walk;

pub use subject::Subject;

/// Runs every case and tells which failed and why; empty means conforming.
pub async fn run(subject: &Subject) -> Vec<String> {
    let mut failures = Vec::new();
    entries::run(subject, &mut failures).await;
    takes::run(subject, &mut failures).await;
    pins::run(subject, &mut failures).await;
    histories::run(subject, &mut failures).await;
    records::run(subject, &mut failures).await;
    changes::run(subject, &mut failures).await;
    claims::run(subject, &mut failures).await;
    commits::run(subject, &mut failures).await;
    walk::run(subject, &mut failures).await;
    failures
}
