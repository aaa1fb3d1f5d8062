//! Why a decision came out as it did, as data.
//!
//! Only [`RoutePolicy::lane`] and [`LaneMatch::decide`] decide; what stands
//! here asks them and then names the conditions that they judged. Patterns
//! without ".." make sure that a new condition cannot be forgotten.

use std::fmt;

use super::compile::RoutePolicy;
use super::decision::Decision;
use super::evaluate::{
    LaneMatch, email_fits, guarded_method, names_a_method, public_method, rule_admits, rule_matches,
};
use crate::model::access::{Access, AccessRule, Lane, LaneRule};
use crate::model::identity::{Groups, Identity, ProviderId};
use crate::model::target::Target;

/// The way to a decision.
#[derive(Debug, PartialEq, Eq)]
pub struct Explanation {
    /// One step per rule, up to the one that decided.
    pub rules: Vec<RuleStep>,
    pub lane: Lane,
    /// What was asked of the identity: the route's access, then the rule's.
    /// Empty where nobody's identity counts.
    pub access: Vec<AccessStep>,
    pub decision: Decision,
}

/// One rule of the route, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleStep {
    pub index: usize,
    /// Empty: the rule matched and decided.
    pub mismatches: Vec<Mismatch>,
}

/// Why a rule is not about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    Method,
    Path,
    /// The path fits, but not in the one spelling that a granting rule takes.
    Spelling,
    /// The query names another method.
    MethodInQuery,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "the method is not listed",
            Self::Path => "the path does not fit",
            Self::Spelling => {
                "the path is spelt in a way that a lenient server could read differently"
            }
            Self::MethodInQuery => "the query has the key _method, which some frameworks obey",
        })
    }
}

/// Whose access was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Route,
    /// The rule that decided.
    Rule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessStep {
    pub asked: Asked,
    pub outcome: AccessOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessOutcome {
    /// Whoever the provider signs in.
    SignedIn,
    /// Entry `index` admits the identity; those before it do not.
    Admitted {
        index: usize,
        earlier: Vec<Vec<Shortfall>>,
    },
    /// What each entry misses.
    Refused(Vec<Vec<Shortfall>>),
}

/// A condition of an access rule that an identity does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortfall {
    /// The rule has no condition, and so admits nobody.
    SaysNothing,
    Provider {
        wanted: ProviderId,
    },
    EmailMissing,
    /// The provider does not vouch for it: unknown, not wrong.
    EmailUnverified,
    Email {
        emails: Vec<String>,
        domains: Vec<String>,
    },
    /// The provider did not tell them: unknown, not wrong.
    GroupsUnknown,
    Groups {
        wanted: Vec<String>,
    },
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SaysNothing => f.write_str("the rule has no condition"),
            Self::Provider { wanted } => write!(f, "not signed in with provider {wanted}"),
            Self::EmailMissing => f.write_str("no usable mail address is known"),
            Self::EmailUnverified => {
                f.write_str("the provider has not verified the mail address, so it does not count")
            }
            Self::Email { emails, domains } => {
                f.write_str("the mail address is not")?;
                if !emails.is_empty() {
                    write!(f, " {}", emails.join(" or "))?;
                }
                if !emails.is_empty() && !domains.is_empty() {
                    f.write_str(" and")?;
                }
                if !domains.is_empty() {
                    write!(f, " at {}", domains.join(" or "))?;
                }
                Ok(())
            }
            Self::GroupsUnknown => {
                f.write_str("the provider did not tell the groups, and unknown never admits")
            }
            Self::Groups { wanted } => write!(f, "not in {}", wanted.join(" or ")),
        }
    }
}

impl RoutePolicy {
    /// What `self.lane(target).decide(identity)` answers, and the steps that
    /// led there. Not for the request path: it allocates.
    pub fn explain(&self, target: &Target, identity: Option<&Identity>) -> Explanation {
        let lane = self.lane(target);
        let decided_by = lane.rule().map(|(index, _)| index);
        let before = decided_by.unwrap_or(self.rules.len());
        let mut rules: Vec<RuleStep> = self.rules[..before]
            .iter()
            .enumerate()
            .map(|(index, rule)| RuleStep {
                index,
                mismatches: mismatches(rule, target),
            })
            .collect();
        rules.extend(decided_by.map(|index| RuleStep {
            index,
            mismatches: Vec::new(),
        }));
        Explanation {
            rules,
            lane: lane.lane(),
            access: identity.map_or_else(Vec::new, |identity| lane.access_steps(identity)),
            decision: lane.decide(identity),
        }
    }
}

impl LaneMatch<'_> {
    fn access_steps(&self, identity: &Identity) -> Vec<AccessStep> {
        match self.lane() {
            Lane::Public | Lane::Deny => return Vec::new(),
            Lane::Session => {}
        }
        let of_route = self.policy.access.as_ref();
        let of_rule = self.rule().and_then(|(_, rule)| rule.access.as_ref());
        [(Asked::Route, of_route), (Asked::Rule, of_rule)]
            .into_iter()
            .filter_map(|(asked, access)| {
                let outcome = outcome(access?, identity);
                Some(AccessStep { asked, outcome })
            })
            .collect()
    }
}

fn outcome(access: &Access, identity: &Identity) -> AccessOutcome {
    let rules = match access {
        Access::SignedIn => return AccessOutcome::SignedIn,
        Access::AnyOf(rules) => rules,
    };
    let mut missed = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        if rule_admits(rule, identity).is_ok() {
            return AccessOutcome::Admitted {
                index,
                earlier: missed,
            };
        }
        missed.push(shortfalls(rule, identity));
    }
    AccessOutcome::Refused(missed)
}

/// Whether an access would let an identity pass, where no lane is involved.
pub fn admitted(access: &Access, identity: &Identity) -> bool {
    match access {
        Access::SignedIn => true,
        Access::AnyOf(rules) => rules.iter().any(|rule| rule_admits(rule, identity).is_ok()),
    }
}

fn mismatches(rule: &LaneRule, target: &Target) -> Vec<Mismatch> {
    if rule_matches(rule, target, &mut None) {
        return Vec::new();
    }
    let LaneRule {
        methods,
        path,
        lane,
        // What follows is asked after the rule was chosen.
        access: _,
        unauthenticated: _,
        upgrade: _,
    } = rule;
    let as_written = path.matches(target.path());
    let lenient = path.matches_lenient(&target.lenient_reading());
    let mut out = Vec::new();
    let mut note = |fits: bool, mismatch| {
        if !fits {
            out.push(mismatch);
        }
    };
    match lane {
        Lane::Public => {
            note(public_method(methods, &target.method), Mismatch::Method);
            note(as_written || lenient, Mismatch::Path);
            let spelt_well = as_written && target.is_canonical();
            note(spelt_well || !(as_written || lenient), Mismatch::Spelling);
            note(!names_a_method(target.query()), Mismatch::MethodInQuery);
        }
        Lane::Session | Lane::Deny => {
            note(guarded_method(methods, &target.method), Mismatch::Method);
            note(as_written || lenient, Mismatch::Path);
        }
    }
    out
}

fn shortfalls(rule: &AccessRule, identity: &Identity) -> Vec<Shortfall> {
    let AccessRule {
        provider,
        groups,
        emails,
        email_domains,
    } = rule;
    let mut out = Vec::new();
    if let Some(provider) = provider
        && *provider != identity.provider
    {
        out.push(Shortfall::Provider {
            wanted: provider.clone(),
        });
    }
    if !emails.is_empty() || !email_domains.is_empty() {
        match identity.verified_email() {
            Some(email) if email_fits(email, emails, email_domains) => {}
            None if identity.email.is_some() && !identity.email_verified => {
                out.push(Shortfall::EmailUnverified);
            }
            None => out.push(Shortfall::EmailMissing),
            Some(_) => out.push(Shortfall::Email {
                emails: emails.clone(),
                domains: email_domains.clone(),
            }),
        }
    }
    if !groups.is_empty() {
        match &identity.groups {
            Groups::Unknown => out.push(Shortfall::GroupsUnknown),
            Groups::Known(has) if has.iter().any(|group| groups.contains(group)) => {}
            Groups::Known(_) => out.push(Shortfall::Groups {
                wanted: groups.clone(),
            }),
        }
    }
    if out.is_empty() {
        out.push(Shortfall::SaysNothing);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::base::clock::Timestamp;
    use crate::config::checked;
    use crate::model::access::Unauthenticated;
    use crate::model::origin::Authority;
    use crate::model::pattern::PathPattern;
    use crate::policy::DenyReason;

    fn rule(lane: Lane, methods: &[&str], path: &str, access: Option<Access>) -> LaneRule {
        LaneRule {
            methods: methods.iter().map(|one| one.parse().unwrap()).collect(),
            path: PathPattern::parse(path).unwrap(),
            lane,
            access,
            unauthenticated: Unauthenticated::Auto,
            upgrade: false,
        }
    }

    fn groups(names: &[&str]) -> AccessRule {
        AccessRule {
            groups: names.iter().map(|name| (*name).to_owned()).collect(),
            ..AccessRule::default()
        }
    }

    fn policy() -> RoutePolicy {
        let mail = AccessRule {
            emails: vec!["ann@example.com".to_owned()],
            provider: Some(ProviderId("main".to_owned())),
            ..AccessRule::default()
        };
        let admins = Access::AnyOf(vec![groups(&["admins"])]);
        RoutePolicy::compile(&checked::Route {
            id: "app".to_owned(),
            hosts: vec![checked::RouteHost::Any],
            path: PathPattern::parse("/*").unwrap(),
            upstream: checked::Upstream::Http(Authority::parse("127.0.0.1:1").unwrap()),
            preserve_host: true,
            access: Some(Access::AnyOf(vec![groups(&["staff"]), mail])),
            rules: vec![
                rule(Lane::Deny, &["POST"], "/internal/*", None),
                rule(Lane::Public, &["GET"], "/u/*", None),
                rule(Lane::Session, &[], "/admin/*", Some(admins)),
            ],
            identity: checked::IdentityRules::default(),
            headers: Vec::new(),
            pass_access_token: false,
            response_timeout: Duration::from_secs(60),
            max_body: None,
        })
    }

    fn who(known: Groups, email: Option<(&str, bool)>) -> Identity {
        Identity {
            provider: ProviderId("main".to_owned()),
            issuer: "https://id.test".to_owned(),
            subject: "s".to_owned(),
            username: None,
            name: None,
            email: email.map(|(email, _)| email.to_owned()),
            email_verified: email.is_some_and(|(_, verified)| verified),
            groups: known,
            claims: BTreeMap::new(),
            provider_session: None,
            read_at: Timestamp::default(),
        }
    }

    fn known(names: &[&str]) -> Groups {
        Groups::Known(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn mismatched(method: &str, path: &str) -> Vec<Vec<Mismatch>> {
        let target = Target::for_tests(method, &format!("http://a.test{path}"));
        let explained = policy().explain(&target, None).rules;
        explained.into_iter().map(|step| step.mismatches).collect()
    }

    #[test]
    fn each_rule_says_why_it_is_not_about_the_request() {
        use Mismatch::{Method, MethodInQuery, Path, Spelling};
        for (method, path, expected) in [
            ("POST", "/internal/x", vec![vec![]]),
            ("GET", "/u/x", vec![vec![Method, Path], vec![]]),
            ("POST", "/u/x", vec![vec![Path], vec![Method], vec![Path]]),
            (
                "GET",
                "/U//x?_method=PUT",
                vec![
                    vec![Method, Path],
                    vec![Spelling, MethodInQuery],
                    vec![Path],
                ],
            ),
            (
                "GET",
                "//Admin/x",
                vec![vec![Method, Path], vec![Path], vec![]],
            ),
        ] {
            assert_eq!(mismatched(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn each_entry_of_access_says_what_is_missing() {
        let explain = |path: &str, identity: &Identity| {
            let target = Target::for_tests("GET", &format!("http://a.test{path}"));
            policy().explain(&target, Some(identity))
        };
        let provider = ProviderId("other".to_owned());
        let stranger = Identity {
            provider: provider.clone(),
            ..who(Groups::Unknown, Some(("bob@example.com", true)))
        };
        let explained = explain("/", &stranger);
        let wanted = ProviderId("main".to_owned());
        let mail = Shortfall::Email {
            emails: vec!["ann@example.com".to_owned()],
            domains: Vec::new(),
        };
        assert_eq!(
            explained.access,
            [AccessStep {
                asked: Asked::Route,
                outcome: AccessOutcome::Refused(vec![
                    vec![Shortfall::GroupsUnknown],
                    vec![Shortfall::Provider { wanted }, mail],
                ]),
            }]
        );
        assert_eq!(
            explained.decision,
            Decision::Deny(DenyReason::GroupsUnknown)
        );

        let ann = who(known(&[]), Some(("Ann@example.com", true)));
        let explained = explain("/admin/x", &ann);
        assert_eq!(explained.decision, Decision::Deny(DenyReason::NotAdmitted));
        let staff = vec![Shortfall::Groups {
            wanted: vec!["staff".to_owned()],
        }];
        let [route, rule] = &explained.access[..] else {
            panic!("{explained:?}")
        };
        assert_eq!(
            route.outcome,
            AccessOutcome::Admitted {
                index: 1,
                earlier: vec![staff]
            }
        );
        assert!(matches!(&rule.outcome, AccessOutcome::Refused(missed) if missed.len() == 1));
        assert_eq!(rule.asked, Asked::Rule);

        let unverified = who(known(&["staff"]), Some(("ann@example.com", false)));
        assert!(matches!(
            explain("/", &unverified).decision,
            Decision::Permit(_)
        ));
        let none = who(known(&[]), Some(("ann@example.com", false)));
        assert_eq!(
            explain("/", &none).decision,
            Decision::Deny(DenyReason::EmailUnverified)
        );
        assert_eq!(explain("/u/x", &none).access, [], "nobody is asked");
    }

    #[test]
    fn the_steps_agree_with_the_decision() {
        let policy = policy();
        let people = [
            None,
            Some(who(known(&["staff"]), None)),
            Some(who(known(&["staff", "admins"]), None)),
            Some(who(Groups::Unknown, Some(("ann@example.com", true)))),
            Some(who(known(&[]), Some(("ann@example.com", false)))),
        ];
        for method in ["GET", "POST", "post", "HEAD", "FOO"] {
            for path in [
                "/",
                "/u/x",
                "/U/x",
                "/u//x",
                "/u/x?_method=PUT",
                "/internal/x",
                "/INTERNAL/x",
                "/admin/x",
                "/%61dmin/x",
                "/admin",
            ] {
                let target = Target::for_tests(method, &format!("http://a.test{path}"));
                for identity in &people {
                    let explained = policy.explain(&target, identity.as_ref());
                    let lane = policy.lane(&target);
                    assert_eq!(explained.decision, lane.decide(identity.as_ref()));
                    let decided_by = lane.rule().map(|(index, _)| index);
                    for step in &explained.rules {
                        let decided = Some(step.index) == decided_by;
                        assert_eq!(step.mismatches.is_empty(), decided, "{method} {path}");
                    }
                    let all = explained
                        .access
                        .iter()
                        .all(|step| !matches!(step.outcome, AccessOutcome::Refused(_)));
                    let refused = matches!(explained.decision, Decision::Deny(reason) if reason != DenyReason::RouteDenies);
                    assert_eq!(all, !refused, "{method} {path}");
                }
            }
        }
    }
}
