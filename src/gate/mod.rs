//! The policy enforcement point: who is it, and may they.
//!
//! Owns: turning a cookie into a fresh session, asking the policy, handing
//! out the permit. One decision for every speaker.
//! Must not know: how answers are spoken, how requests are forwarded.

mod admit;
mod authenticate;
mod outage_log;

pub use admit::Verdict;
pub use authenticate::Authentication;

use std::sync::Arc;

use self::outage_log::OutageLog;
use crate::refresh::Refresher;
use crate::session::cookie::SessionCookie;
use crate::session::sessions::Sessions;
use crate::session::ticket::Scope;

/// The door: one value for the process.
pub struct Gate {
    sessions: Arc<Sessions>,
    refresher: Refresher,
    cookie: SessionCookie,
    home: Scope,
    unreadable: OutageLog,
    untouched: OutageLog,
}

impl Gate {
    pub fn new(
        sessions: Arc<Sessions>,
        refresher: Refresher,
        cookie: SessionCookie,
        home: Scope,
    ) -> Self {
        Self {
            sessions,
            refresher,
            cookie,
            home,
            unreadable: OutageLog::new(),
            untouched: OutageLog::new(),
        }
    }
}
