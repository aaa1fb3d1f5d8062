//! From target to lane, and from lane and identity to decision.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderMap, Method, header};

use super::admission::{Person, admits, spares};
use super::compile::RoutePolicy;
use super::decision::{Decision, DenyReason, Permit};
use crate::model::access::{Lane, LaneRule, Preflight, Unauthenticated};
use crate::model::identity::Identity;
use crate::model::target::Target;

/// The lane that a request takes on a route.
#[derive(Debug, Clone, Copy)]
pub struct LaneMatch<'a> {
    pub(super) policy: &'a RoutePolicy,
    rule: Option<(usize, &'a LaneRule)>,
    /// The rule for another reading of the same path: an upstream may have
    /// that one, so both must let pass.
    also: Option<(usize, &'a LaneRule)>,
    preflight: bool,
}

/// Names the rules that a lane judges people by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleKey {
    policy: u32,
    rule: Option<usize>,
    also: Option<usize>,
}

/// Whether the access rules of a lane admit one person, wherever they are.
/// Good for as long as nothing about the person changes.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    of: RuleKey,
    admitted: Result<(), DenyReason>,
}

impl Standing {
    pub fn is_of(&self, rules: RuleKey) -> bool {
        self.of == rules
    }
}

/// What of a request the rules look at.
pub(super) struct Asked<'a> {
    target: &'a Target,
    headers: &'a HeaderMap,
    reading: Option<Cow<'a, str>>,
}

impl RoutePolicy {
    /// The first rule that matches method, path and header; without one, the
    /// session lane. The query never counts, but a `_method` in it keeps a
    /// request off the open lanes: frameworks exist that obey it.
    ///
    /// A target that [`RoutePolicy::takes`] refuses must not come here.
    pub fn lane<'a>(&'a self, target: &Target, headers: &HeaderMap) -> LaneMatch<'a> {
        let mut asked = Asked::new(target, headers);
        let rule = self.first_rule(&mut asked);
        let rule = rule.map(|at| (at, &self.rules[at]));
        let also = match rule {
            Some((index, rule)) if !rule.lane.is_open() => {
                asked.other_reading(rule, &self.rules, index + 1)
            }
            _ => None,
        };
        let denied = |rule: &LaneRule| rule.lane == Lane::Deny;
        let preflight = self.preflight == Preflight::Pass
            && asked.is_grantable()
            && is_preflight(&target.method, headers)
            && !rule.is_some_and(|(_, rule)| denied(rule))
            && !also.is_some_and(|(_, rule)| denied(rule));
        LaneMatch {
            policy: self,
            rule,
            also,
            preflight,
        }
    }
}

impl RoutePolicy {
    /// The first rule that matches in either reading. Only those whose path
    /// fits are looked at.
    fn first_rule(&self, asked: &mut Asked<'_>) -> Option<usize> {
        let mut first = None;
        let is_earlier = |at, first: Option<usize>| first.is_none_or(|before| at < before);
        self.paths.matches(asked.target.path(), |at| {
            if is_earlier(at, first) && asked.as_written(&self.rules[at]) {
                first = Some(at);
            }
        });
        if !self.guarded.is_empty() {
            let reading = asked.target.lenient_reading();
            self.guarded.matches_lenient(&reading, |at| {
                if is_earlier(at, first) && asked.leniently(&self.rules[at]) {
                    first = Some(at);
                }
            });
        }
        first
    }
}

impl<'a> Asked<'a> {
    pub(super) const fn new(target: &'a Target, headers: &'a HeaderMap) -> Self {
        Self {
            target,
            headers,
            reading: None,
        }
    }

    /// Byte for byte. Open lanes want a path of one reading.
    pub(super) fn as_written(&self, rule: &LaneRule) -> bool {
        let path = rule.path.matches(self.target.path());
        if !rule.lane.is_open() {
            return path && guarded_method(&rule.methods, &self.target.method);
        }
        path && self.is_grantable()
            && granted_method(&rule.methods, &self.target.method)
            && match (&rule.header, rule.lane) {
                (Some(header), _) => header.matches(self.headers),
                // Without one every request would pass.
                (None, Lane::BackendToken) => false,
                (None, _) => true,
            }
    }

    /// As the most lenient upstream could read it; never to open a lane.
    pub(super) fn leniently(&mut self, rule: &LaneRule) -> bool {
        if rule.lane.is_open() || !guarded_method(&rule.methods, &self.target.method) {
            return false;
        }
        let target = self.target;
        let reading = self.reading.get_or_insert_with(|| target.lenient_reading());
        rule.path.matches_lenient(reading)
    }

    fn is_grantable(&self) -> bool {
        self.target.is_canonical() && !names_a_method(self.target.query())
    }

    /// `found` matches one reading of the path only: what does the other one
    /// meet further down?
    fn other_reading<'r>(
        &mut self,
        found: &LaneRule,
        rules: &'r [LaneRule],
        from: usize,
    ) -> Option<(usize, &'r LaneRule)> {
        let mut later = rules.iter().enumerate().skip(from);
        let rule = match (self.as_written(found), self.leniently(found)) {
            (true, false) => later.find(|(_, rule)| self.leniently(rule)),
            (false, true) => later.find(|(_, rule)| self.as_written(rule)),
            _ => None,
        };
        rule.filter(|(_, rule)| !rule.lane.is_open())
    }
}

/// Exact. Without a list, every method that HTTP itself defines: what we have
/// no name for needs a session.
pub(super) fn granted_method(listed: &[Method], method: &Method) -> bool {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if listed.is_empty() {
        KNOWN.contains(method)
    } else {
        listed.contains(method)
    }
}

/// Ignoring case: an upstream may take `post` for POST.
pub(super) fn guarded_method(listed: &[Method], method: &Method) -> bool {
    let same = |one: &Method| one.as_str().eq_ignore_ascii_case(method.as_str());
    listed.is_empty() || listed.iter().any(same)
}

/// Whether a query has the key `_method`, in any spelling that a form decoder
/// reads so: encoded, with an index, with "." or a space for "_".
pub(super) fn names_a_method(query: Option<&str>) -> bool {
    let Some(query) = query.filter(|query| may_name_a_method(query)) else {
        return false;
    };
    query.split(['&', ';']).any(|pair| {
        let key = pair.split('=').next().unwrap_or_default();
        let key: Vec<u8> = percent_encoding::percent_decode_str(key).collect();
        let end = key.iter().position(|byte| matches!(byte, b'[' | 0));
        let name = String::from_utf8_lossy(&key[..end.unwrap_or(key.len())]);
        let name = name.trim_matches([' ', '+', '\t']);
        name.replace(['.', ' ', '+'], "_")
            .eq_ignore_ascii_case("_method")
    })
}

/// Nearly no query does; the word has one spelling unless it is escaped.
fn may_name_a_method(query: &str) -> bool {
    let bytes = query.as_bytes();
    let begins = |at: usize| {
        let word = bytes.get(at..at + b"method".len());
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"method"))
    };
    memchr::memchr(b'%', bytes).is_some() || memchr::memchr2_iter(b'm', b'M', bytes).any(begins)
}

/// What a browser sends before a request of another origin (Fetch section
/// 4.8): one Origin, one method, and no content.
fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    let once = |name: header::HeaderName| {
        let mut values = headers.get_all(name).iter();
        let first = values.next().filter(|_| values.next().is_none());
        first.filter(|value| !value.is_empty())
    };
    let wanted = once(header::ACCESS_CONTROL_REQUEST_METHOD);
    *method == Method::OPTIONS
        && once(header::ORIGIN).is_some()
        && wanted.is_some_and(|method| Method::from_bytes(method.as_bytes()).is_ok())
        && !headers.contains_key(header::TRANSFER_ENCODING)
        && headers
            .get_all(header::CONTENT_LENGTH)
            .iter()
            .all(|length| length.as_bytes() == b"0")
}

impl<'a> LaneMatch<'a> {
    /// A preflight that passes is public.
    pub fn lane(&self) -> Lane {
        if self.preflight {
            return Lane::Public;
        }
        self.rule.map_or(Lane::Session, |(_, rule)| rule.lane)
    }

    /// Which of the route's rules it is, counted from 0; `None` if none
    /// matched, or a preflight passes them by.
    pub fn rule(&self) -> Option<(usize, &'a LaneRule)> {
        self.rule.filter(|_| !self.preflight)
    }

    pub(super) const fn is_preflight(&self) -> bool {
        self.preflight
    }

    /// The rule for another reading of the path, if it narrows as well.
    pub(super) const fn also(&self) -> Option<(usize, &'a LaneRule)> {
        self.also
    }

    /// Open lanes and deny are decided without asking who it is, but that the
    /// optional lane tells its upstream if it may. A rule's access is ANDed
    /// with the route's.
    pub fn decide(&self, identity: Option<&Identity>, client: IpAddr) -> Decision {
        let person = identity.map(|identity| Person { identity, client });
        self.decision(person.map(|person| move || self.admits(person)))
    }

    /// Which rules judge people here, if what they say may be kept for the
    /// next request: not where one looks at where the client is.
    pub fn keepable(&self) -> Option<RuleKey> {
        (!self.policy.asks_networks && self.lane().knows_people()).then(|| RuleKey {
            policy: self.policy.number,
            rule: self.rule.map(|(index, _)| index),
            also: self.also.map(|(index, _)| index),
        })
    }

    /// What the rules say of a person. `rules`: those of
    /// [`LaneMatch::keepable`].
    pub fn standing(&self, identity: &Identity, client: IpAddr, rules: RuleKey) -> Standing {
        Standing {
            of: rules,
            admitted: self.admits(Person { identity, client }),
        }
    }

    /// As [`LaneMatch::decide`], about a person whose standing is known. One
    /// of other rules than this lane's admits nobody.
    pub fn decide_as(&self, standing: Standing) -> Decision {
        let ours = self.keepable().is_some_and(|rules| standing.is_of(rules));
        let admitted = if ours {
            standing.admitted
        } else {
            Err(DenyReason::NotAdmitted)
        };
        self.decision(Some(move || admitted))
    }

    /// `person`: whether the rules admit this one, if there is one.
    fn decision(&self, person: Option<impl Fn() -> Result<(), DenyReason>>) -> Decision {
        let upgrade = self.rule().is_some_and(|(_, rule)| rule.upgrade);
        let open = |lane| Permit {
            lane,
            upgrade_allowed: upgrade,
            carries_identity: false,
            drops_cookies: lane == Lane::BackendToken || self.preflight,
        };
        let lane = self.lane();
        match (lane, person) {
            (Lane::Deny, _) => Decision::Deny(DenyReason::RouteDenies),
            (Lane::Public | Lane::BackendToken, _) => Decision::Permit(open(lane)),
            (Lane::Optional, person) => {
                let known = person.is_some_and(|admitted| admitted().is_ok());
                Decision::Permit(Permit {
                    upgrade_allowed: upgrade || known,
                    carries_identity: known,
                    ..open(lane)
                })
            }
            (Lane::Session, _) if self.denies_other_reading() => {
                Decision::Deny(DenyReason::RouteDenies)
            }
            (Lane::Session, None) => Decision::SignIn {
                unauthenticated: self.unauthenticated(),
            },
            (Lane::Session, Some(admitted)) => match admitted() {
                Err(reason) => Decision::Deny(reason),
                Ok(()) => Decision::Permit(Permit {
                    upgrade_allowed: true,
                    carries_identity: true,
                    ..open(lane)
                }),
            },
        }
    }

    pub(super) fn denies_other_reading(&self) -> bool {
        self.also.is_some_and(|(_, rule)| rule.lane == Lane::Deny)
    }

    fn unauthenticated(&self) -> Unauthenticated {
        let mut rules = self.guards().map(|(_, rule)| rule.unauthenticated);
        rules
            .find(|one| *one == Unauthenticated::Status401)
            .unwrap_or_default()
    }

    /// The rules whose conditions all count, with their indexes.
    pub(super) fn guards(&self) -> impl Iterator<Item = (usize, &'a LaneRule)> {
        self.rule.into_iter().chain(self.also)
    }

    fn admits(&self, person: Person<'_>) -> Result<(), DenyReason> {
        spares(&self.policy.deny, person)?;
        for (_, rule) in self.guards() {
            spares(&rule.deny, person)?;
        }
        let of_rules = self.guards().filter_map(|(_, rule)| rule.access.as_ref());
        let mut said = false;
        for access in self.policy.access.iter().chain(of_rules) {
            said = true;
            admits(access, person)?;
        }
        said.then_some(()).ok_or(DenyReason::NotAdmitted)
    }
}
