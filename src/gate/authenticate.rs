//! A cookie becomes a fresh session, or the plain statement that there is
//! none, or that we cannot tell.

use std::borrow::Borrow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Gate;
use crate::base::clock::Timestamp;
use crate::base::fault::Fault;
use crate::refresh::Freshness;
use crate::session::seen_cookies::SeenCookies;
use crate::session::sessions::{Found, Session, Warm};
use crate::session::ticket::{Scope, Ticket};

/// A store is seldom away for longer than a failover takes.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Who is it?
#[derive(Debug)]
pub enum Authentication {
    SignedIn {
        session: Session,
        ticket: Ticket,
    },
    /// No session. `ended` says why a ticket that is ours has none any more.
    Anonymous {
        ended: Option<&'static str>,
    },
    /// Store or provider cannot say. Never a sign-out, never a redirect.
    Unavailable {
        reason: &'static str,
        retry_after: Duration,
    },
}

/// The cookies that a request shows.
#[derive(Clone, Copy)]
pub enum Cookies<'a> {
    /// Its raw Cookie fields.
    Fields(&'a [&'a [u8]]),
    /// Its only Cookie field, as its connection sent it before.
    Seen(&'a SeenCookies),
}

impl Gate {
    /// `scope`: that of the request's host, `None` where nobody can be signed
    /// in. `cookies`: the raw `Cookie` fields of the request.
    pub async fn authenticate(&self, scope: Option<&Scope>, cookies: &[&[u8]]) -> Authentication {
        let (session, ticket) = match self.recognise(scope, cookies).await {
            Authentication::SignedIn { session, ticket } => (session, ticket),
            other => return other,
        };
        let stale = session.is_stale();
        if stale && self.refresher.access_token_lives(&session) {
            // Nothing can be claimed, so nothing is begun.
            return Authentication::SignedIn { session, ticket };
        }
        match self.refresher.ensure_fresh(session).await {
            Freshness::Fresh(session) => {
                if let Err(error) = self.sessions.touch(&session).await {
                    // The idle time is kept here and written again later.
                    self.untouched
                        .warn("idle time could not be written", &error);
                }
                Authentication::SignedIn { session, ticket }
            }
            // What was read before the store went away says that it is there,
            // never that it is over: another replica may have renewed it.
            Freshness::Ended { .. } if stale => Authentication::Unavailable {
                reason: "store_unavailable",
                retry_after: RETRY_AFTER,
            },
            Freshness::Ended { reason } => Authentication::Anonymous {
                ended: Some(reason),
            },
            Freshness::Unavailable {
                reason,
                retry_after,
            } => Authentication::Unavailable {
                reason,
                retry_after,
            },
        }
    }

    /// The session of a request, where it is known here and nothing is due:
    /// nobody is asked, nothing begins. `None` says nothing.
    pub(super) fn known(
        &self,
        scope: Option<&Scope>,
        cookies: Cookies<'_>,
        now: Timestamp,
    ) -> Option<Session> {
        let scope = scope?;
        let cookie = self.cookies.of(scope);
        match cookies {
            Cookies::Seen(seen) => {
                let tickets = self.sessions.tickets_in(seen, cookie, scope);
                self.known_of(tickets.iter(), now)
            }
            Cookies::Fields(fields) => {
                let candidates = cookie.find(fields.iter().copied());
                let texts = candidates.iter();
                let tickets = texts.filter_map(|text| self.sessions.open_ticket(&[text], scope));
                self.known_of(tickets, now)
            }
        }
    }

    fn known_of(
        &self,
        tickets: impl Iterator<Item: Borrow<Ticket>>,
        now: Timestamp,
    ) -> Option<Session> {
        for ticket in tickets {
            match self.sessions.warm(ticket.borrow(), now) {
                Warm::Live(session) => {
                    let usable = self.refresher.is_quiet(&session, now)
                        && !self.sessions.note_use(&session, now);
                    return usable.then_some(session);
                }
                // Perhaps another one lives.
                Warm::Ended(_) => {}
                Warm::Unknown => return None,
            }
        }
        None
    }

    /// Who is there as far as that is known without waiting for a provider:
    /// for lanes that also take nobody. A store that cannot be reached, and a
    /// session that only a refresh could bring back, are nobody for now.
    pub(super) async fn recognise_at_once(
        &self,
        scope: Option<&Scope>,
        cookies: &[&[u8]],
        wants_tokens: bool,
    ) -> Option<Session> {
        let Authentication::SignedIn { session, .. } = self.recognise(scope, cookies).await else {
            return None;
        };
        let session = if session.is_stale() && self.refresher.access_token_lives(&session) {
            session
        } else {
            self.refresher.fresh_at_once(session, wants_tokens)?
        };
        if let Err(error) = self.sessions.touch(&session).await {
            // The idle time is kept here and written again later.
            self.untouched
                .warn("idle time could not be written", &error);
        }
        Some(session)
    }

    /// When the session ends if nobody uses it again.
    pub fn ends_at(&self, session: &Session) -> Timestamp {
        self.sessions.ends_at(session)
    }

    /// Whose session it is, without asking the provider for fresh tokens: for
    /// ending it, which must work while the provider is down.
    ///
    /// A sibling host may put a ticket of a session that is over in front of
    /// the living one (RFC 6265bis section 8.6), so every candidate is tried.
    pub async fn recognise(&self, scope: Option<&Scope>, cookies: &[&[u8]]) -> Authentication {
        let Some(scope) = scope else {
            return Authentication::Anonymous { ended: None };
        };
        let candidates = self.cookies.of(scope).find(cookies.iter().copied());
        let tickets = candidates
            .iter()
            .filter_map(|text| self.sessions.open_ticket(&[text], scope));
        let mut ended = None;
        let mut away = None;
        for ticket in tickets {
            if away.is_some() {
                // Once is enough to learn that the store is away.
                if let Some(session) = self.last_read(&ticket) {
                    return Authentication::SignedIn { session, ticket };
                }
                continue;
            }
            match self.sessions.find_beside(&ticket).await {
                Ok(Found::Live(session)) => {
                    self.bridging.store(false, Ordering::Relaxed);
                    return Authentication::SignedIn { session, ticket };
                }
                Ok(Found::Ended(ending)) => ended = ended.or(Some(ending.reason())),
                Err(error) => {
                    self.unreadable.warn("session cannot be read", &error);
                    if error.is_unreachable()
                        && let Some(session) = self.last_read(&ticket)
                    {
                        return Authentication::SignedIn { session, ticket };
                    }
                    let unreachable = error.is_unreachable();
                    let unavailable = Authentication::Unavailable {
                        reason: error.reason(),
                        retry_after: RETRY_AFTER,
                    };
                    if !unreachable {
                        return unavailable;
                    }
                    away = Some(unavailable);
                }
            }
        }
        away.unwrap_or(Authentication::Anonymous { ended })
    }

    /// The store is away: the session as it was read before, if that is not
    /// too long ago. One line per outage says so, the metric counts.
    fn last_read(&self, ticket: &Ticket) -> Option<Session> {
        let session = self.sessions.last_read(ticket)?;
        self.telemetry.stale_session();
        if !self.bridging.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "session store is away: sessions that were read a moment ago go on for \
                 session.max_stale"
            );
        }
        Some(session)
    }

    /// The tickets that a request shows, without a look at what they lead to:
    /// for ending them while the store is away.
    pub fn tickets(&self, scope: Option<&Scope>, cookies: &[&[u8]]) -> Vec<Ticket> {
        let Some(scope) = scope else {
            return Vec::new();
        };
        let candidates = self.cookies.of(scope).find(cookies.iter().copied());
        candidates
            .iter()
            .filter_map(|text| self.sessions.open_ticket(&[text], scope))
            .collect()
    }
}

#[cfg(test)]
mod tests;
