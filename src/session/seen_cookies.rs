//! A Cookie field that was read before. A browser repeats it with each
//! request of a connection, and what its bytes say does not change.
//!
//! Kept is what follows from the bytes, the scope and the key ring, which is
//! the same for as long as the process lives. Whether the session of a ticket
//! lives is never kept: that is asked each time.

use std::borrow::Cow;
use std::sync::OnceLock;

use zeroize::Zeroizing;

use super::cookie::SessionCookie;
use super::sessions::Sessions;
use super::ticket::{Scope, Ticket};

/// One Cookie field and the tickets in it. Unprintable, and wiped when
/// dropped.
pub struct SeenCookies {
    field: Zeroizing<Box<[u8]>>,
    opened: OnceLock<Opened>,
}

/// The tickets of ours for one scope, in order; their MACs were checked.
struct Opened {
    scope: Scope,
    tickets: Box<[Ticket]>,
}

impl SeenCookies {
    pub fn of(field: &[u8]) -> Self {
        Self {
            field: Zeroizing::new(Box::from(field)),
            opened: OnceLock::new(),
        }
    }

    pub fn field(&self) -> &[u8] {
        &self.field
    }

    /// Whether `field` has the very same bytes. Several people may share a
    /// connection, so the time it takes does not tell where bytes differ.
    pub fn is(&self, field: &[u8]) -> bool {
        self.field.len() == field.len()
            && self
                .field
                .iter()
                .zip(field)
                .fold(0, |differs, (ours, theirs)| differs | (ours ^ theirs))
                == 0
    }

    /// The tickets for `scope`. `open` finds them in the field and checks
    /// them; what it gives for the first scope is kept.
    fn tickets(&self, scope: &Scope, open: impl Fn(&[u8]) -> Box<[Ticket]>) -> Cow<'_, [Ticket]> {
        let opened = self.opened.get_or_init(|| Opened {
            scope: scope.clone(),
            tickets: open(&self.field),
        });
        if opened.scope == *scope {
            Cow::Borrowed(&opened.tickets)
        } else {
            Cow::Owned(open(&self.field).into_vec())
        }
    }
}

impl Sessions {
    /// The tickets of ours for `scope` among the cookies that were seen, in
    /// order. `cookie`: that of the scope.
    pub fn tickets_in<'a>(
        &self,
        seen: &'a SeenCookies,
        cookie: &SessionCookie,
        scope: &Scope,
    ) -> Cow<'a, [Ticket]> {
        seen.tickets(scope, |field| {
            let found = cookie.find([field]);
            let texts = found.iter();
            let tickets = texts.filter_map(|text| self.open_ticket(&[text], scope));
            tickets.collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::key_ring::KeyRing;
    use crate::session::ticket::TicketKeys;

    #[test]
    fn the_same_bytes_and_no_others_are_known_again() {
        let seen = SeenCookies::of(b"a=1; b=2");
        assert!(seen.is(b"a=1; b=2"));
        for other in ["", "a=1; b=3", "b=1; b=2", "a=1; b=2;", "a=1; b="] {
            assert!(!seen.is(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn tickets_are_opened_once_and_never_for_another_scope() {
        let keys = TicketKeys::new(&KeyRing::parse(&KeyRing::generate()).unwrap(), "n");
        let [home, other] = ["app.test", "files.test"].map(|host| Scope(host.into()));
        let seen = SeenCookies::of(b"field");
        let opened = std::cell::RefCell::new(Vec::new());
        let ask = |scope: &Scope| {
            let tickets = seen.tickets(scope, |field| {
                assert_eq!(field, b"field");
                opened.borrow_mut().push(scope.0.clone());
                Box::new([Ticket::derive(&keys, b"seed", scope)])
            });
            assert!(*tickets == [Ticket::derive(&keys, b"seed", scope)]);
        };
        ask(&home);
        ask(&home);
        ask(&other);
        ask(&home);
        assert_eq!(*opened.borrow(), ["app.test", "files.test"]);
    }
}
