//! What was done to one session and when, and whether an answer fits that.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::mirror::Told;

/// A write: begun, and answered unless its outcome is unknown.
#[derive(Debug, Clone, Copy)]
struct Write {
    began: Instant,
    answered: Option<Instant>,
}

/// Writes that replace each other; what the first left is number one.
#[derive(Debug, Default)]
struct Line(Vec<Write>);

impl Line {
    fn begin(&mut self) -> usize {
        self.0.push(Write {
            began: Instant::now(),
            answered: None,
        });
        self.0.len()
    }

    fn answered(&mut self) {
        if let Some(write) = self.0.last_mut() {
            write.answered = Some(Instant::now());
        }
    }

    /// The number of the last write that was answered `bound` before `moment`.
    fn certain_at(&self, moment: Instant, bound: Duration) -> usize {
        let known = |write: &Write| write.answered.is_some_and(|at| at + bound <= moment);
        self.0.iter().rposition(known).map_or(0, |at| at + 1)
    }

    /// The number of the last write that was begun before `moment`.
    fn possible_at(&self, moment: Instant) -> usize {
        let begun = |write: &Write| write.began <= moment;
        self.0.iter().rposition(begun).map_or(0, |at| at + 1)
    }
}

/// The history of one session.
#[derive(Debug)]
pub(super) struct Ledger {
    subject: String,
    claims: Line,
    tokens: Line,
    end: Line,
}

/// A request to the reading gateway.
pub(super) struct Asked {
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) answer: Result<(u16, String), String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    /// Older than the bound allows.
    Stale(String),
    /// 503, or a connection that broke.
    Unserved,
    /// Neither: the session of somebody else, a sign-out that nobody did.
    Wrong(String),
}

impl Ledger {
    pub(super) fn new(subject: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            claims: Line::default(),
            tokens: Line::default(),
            end: Line::default(),
        }
    }

    /// Gives the number of the change.
    pub(super) fn claims_change(&mut self) -> usize {
        self.claims.begin()
    }

    pub(super) fn claims_changed(&mut self) {
        self.claims.answered();
    }

    pub(super) fn tokens_change(&mut self) -> usize {
        self.tokens.begin()
    }

    pub(super) fn tokens_changed(&mut self) {
        self.tokens.answered();
    }

    pub(super) fn ends(&mut self) {
        self.end.begin();
    }

    pub(super) fn ended(&mut self) {
        self.end.answered();
    }

    /// Whether anything that was done must show in a request begun at `moment`.
    pub(super) fn demands_something_at(&self, moment: Instant, bound: Duration) -> bool {
        [&self.claims, &self.tokens, &self.end]
            .iter()
            .any(|line| line.certain_at(moment, bound) > 0)
    }

    pub(super) fn judge(&self, asked: &Asked, bound: Duration) -> Verdict {
        let (status, text) = match &asked.answer {
            Ok((status, text)) => (*status, text),
            Err(_) => return Verdict::Unserved,
        };
        match status {
            503 => Verdict::Unserved,
            401 if self.end.possible_at(asked.ended) > 0 => Verdict::Right,
            200 if self.end.certain_at(asked.began, bound) > 0 => Verdict::Stale(format!(
                "{}: served {:?} after its end",
                self.subject,
                self.since_the_end(asked)
            )),
            200 => self.judge_told(asked, bound, text),
            _ => Verdict::Wrong(format!("{}: {status} {text}", self.subject)),
        }
    }

    fn since_the_end(&self, asked: &Asked) -> Option<Duration> {
        let ended = self.end.0.last()?.answered?;
        Some(asked.began.saturating_duration_since(ended))
    }

    fn judge_told(&self, asked: &Asked, bound: Duration, text: &str) -> Verdict {
        let wrong = || Verdict::Wrong(format!("{}: {text:?}", self.subject));
        let Some(told) = Told::of(text).filter(|told| told.user == self.subject) else {
            return wrong();
        };
        let groups = told.groups.strip_prefix("staff,change-");
        let token = format!("access-{}-", self.subject);
        let tokens = told.access_token.strip_prefix(&token);
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<usize>().ok());
        let (Some(claims), Some(tokens)) = (number(groups), number(tokens)) else {
            return wrong();
        };
        for (what, line, seen) in [
            ("claims", &self.claims, claims),
            ("tokens", &self.tokens, tokens),
        ] {
            let least = line.certain_at(asked.began, bound);
            if seen < least {
                let answered = line.0[seen].answered;
                let age = answered.map(|at| asked.began.saturating_duration_since(at));
                return Verdict::Stale(format!(
                    "{}: {what} {seen} instead of {least}, replaced {age:?} before",
                    self.subject
                ));
            }
            if seen > line.possible_at(asked.ended) {
                return wrong();
            }
        }
        Verdict::Right
    }
}

#[test]
fn the_ledger_knows_stale_from_right() {
    let mut ledger = Ledger::new("p");
    let start = Instant::now();
    let at = |millis: u64| start + Duration::from_millis(millis);
    let write = |began: u64, answered: Option<u64>| Write {
        began: at(began),
        answered: answered.map(at),
    };
    ledger.claims.0 = vec![write(10, Some(20)), write(30, None)];
    ledger.end.0 = vec![write(100, Some(110))];
    let bound = Duration::from_millis(50);
    let judged = |began: u64, status: u16, text: &str| {
        let asked = Asked {
            began: at(began),
            ended: at(began + 5),
            answer: Ok((status, text.to_owned())),
        };
        ledger.judge(&asked, bound)
    };
    let told = |claims: usize| format!("p\nstaff,change-{claims}\naccess-p-0");
    assert_eq!(judged(0, 200, &told(0)), Verdict::Right);
    assert_eq!(judged(69, 200, &told(0)), Verdict::Right);
    assert!(matches!(judged(70, 200, &told(0)), Verdict::Stale(_)));
    for claims in [1, 2] {
        assert_eq!(judged(70, 200, &told(claims)), Verdict::Right);
    }
    assert!(
        matches!(judged(20, 200, &told(2)), Verdict::Wrong(_)),
        "not written yet"
    );
    assert!(matches!(judged(70, 401, ""), Verdict::Wrong(_)));
    assert_eq!(judged(96, 401, ""), Verdict::Right);
    assert_eq!(judged(159, 200, &told(1)), Verdict::Right);
    assert!(matches!(judged(160, 200, &told(1)), Verdict::Stale(_)));
    assert_eq!(judged(160, 503, ""), Verdict::Unserved);
    assert!(matches!(
        judged(0, 200, "q\nstaff,change-0\n"),
        Verdict::Wrong(_)
    ));
}
