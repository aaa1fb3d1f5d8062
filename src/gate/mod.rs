//! The policy enforcement point: who is it, and may they.
//!
//! Owns: turning a cookie into a fresh session, asking the policy, handing
//! out the permit. One decision for every speaker.
//! Must not know: how answers are spoken, how requests are forwarded.

mod admit;
mod authenticate;
mod chain;
mod made;
mod outage_log;
mod tell;

pub use admit::Verdict;
pub use authenticate::{Authentication, Cookies};
pub use tell::TellError;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use self::outage_log::OutageLog;
use crate::model::identity::Identity;
use crate::refresh::Refresher;
use crate::session::cookie::SessionCookies;
use crate::session::sessions::Sessions;
use crate::telemetry::Telemetry;

/// The door: one value for the process.
pub struct Gate {
    sessions: Arc<Sessions>,
    refresher: Refresher,
    cookies: SessionCookies,
    warned: tell::Warned,
    unreadable: OutageLog,
    untouched: OutageLog,
    /// Sessions are served as they were read before an outage.
    bridging: AtomicBool,
    telemetry: Telemetry,
}

impl Gate {
    pub fn new(
        sessions: Arc<Sessions>,
        refresher: Refresher,
        cookies: SessionCookies,
        telemetry: Telemetry,
    ) -> Self {
        Self {
            sessions,
            refresher,
            cookies,
            warned: tell::Warned::default(),
            unreadable: OutageLog::new(),
            untouched: OutageLog::new(),
            bridging: AtomicBool::new(false),
            telemetry,
        }
    }
    /// A mark by which a host knows this person's browser again.
    pub fn person_mark(&self, host: &str, identity: &Identity) -> String {
        self.sessions.person_mark(host, identity)
    }

    /// Whether one of these marks is this person's on this host.
    pub fn shows_person(&self, shown: &[&[u8]], host: &str, identity: &Identity) -> bool {
        self.sessions.shows_person(shown, host, identity)
    }
}
