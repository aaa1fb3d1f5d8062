//! The script: who is signed in at the provider, what goes wrong, what was seen.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::dialect::Dialect;
use super::signing::{Keys, Signing};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Discovery,
    Jwks,
    Authorize,
    /// The token endpoint, grant `authorization_code`.
    Code,
    /// The token endpoint, grant `refresh_token`.
    Refresh,
    Userinfo,
    EndSession,
    /// RFC 7009.
    Revocation,
    /// Anything else that was asked for.
    Unknown,
}

#[derive(Debug, Clone)]
pub enum Fault {
    /// Answers this instead of doing anything.
    Respond {
        status: u16,
        content_type: &'static str,
        body: String,
    },
    /// As `Respond`, with `Retry-After` in seconds.
    Busy { status: u16, retry_after: u32 },
    /// Hangs up without having done anything.
    HangUpBefore,
    /// Does what was asked, then hangs up: the outcome is unknown to the caller.
    HangUpAfter,
    /// Waits for a permit, then does what was asked.
    Hold(Arc<Semaphore>),
    /// Does what was asked, then waits for a permit before answering.
    HoldAnswer(Arc<Semaphore>),
    /// Waits so long, then does what was asked.
    Delay(Duration),
    /// Does what was asked, then waits so long before answering.
    DelayAnswer(Duration),
    /// Does what was asked, announces the whole length, sends so many bytes of
    /// the body and closes.
    Truncate(usize),
    /// Does what was asked and sends the body in pieces of so many bytes, each
    /// after a pause.
    Drip(usize, Duration),
    /// Does nothing and answers 200 with so many bytes that look like the
    /// beginning of JSON.
    Flood(u64),
    /// As `Flood`, and says that it is compressed with gzip.
    Bomb(u64),
}

impl Fault {
    /// A token-endpoint error in JSON.
    pub fn error(status: u16, code: &str, description: &str) -> Self {
        let body = json!({ "error": code, "error_description": description }).to_string();
        Self::Respond {
            status,
            content_type: "application/json",
            body,
        }
    }

    /// An error page of something in front of the provider.
    pub fn page(status: u16) -> Self {
        Self::Respond {
            status,
            content_type: "text/html",
            body: format!("<h1>{status}</h1>"),
        }
    }
}

/// One request that came in.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub endpoint: Endpoint,
    pub query: Vec<(String, String)>,
    pub form: Vec<(String, String)>,
    /// Client id and secret as decoded from HTTP Basic.
    pub basic: Option<(String, String)>,
}

impl Recorded {
    /// A parameter of query or form, whichever has it.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut all = self.query.iter().chain(&self.form);
        all.find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    }
}

#[derive(Debug, Clone)]
pub struct User {
    pub subject: String,
    pub claims: Map<String, Value>,
}

impl User {
    /// Is in `admins`.
    pub fn ann() -> Self {
        Self::new("sub-ann", "ann", "Ann Example", &["staff", "admins"])
    }

    pub fn bob() -> Self {
        Self::new("sub-bob", "bob", "Bob Example", &["staff"])
    }

    fn new(subject: &str, username: &str, name: &str, groups: &[&str]) -> Self {
        let claims = json!({
            "preferred_username": username,
            "name": name,
            "email": format!("{username}@corp.test"),
            "email_verified": true,
            "groups": groups,
        });
        let Value::Object(claims) = claims else {
            unreachable!()
        };
        Self {
            subject: subject.to_owned(),
            claims,
        }
    }

    #[must_use]
    pub fn with(mut self, claim: &str, value: Value) -> Self {
        self.claims.insert(claim.to_owned(), value);
        self
    }

    #[must_use]
    pub fn without(mut self, claim: &str) -> Self {
        self.claims.remove(claim);
        self
    }
}

/// Changes head or payload of a JSON object before it goes out.
pub type Alter = Arc<dyn Fn(&mut Map<String, Value>) + Send + Sync>;

/// The error with which an authorization request is answered, if any.
pub type Judge = Arc<dyn Fn(&Recorded) -> Option<&'static str> + Send + Sync>;

pub struct Script {
    pub dialect: Dialect,
    pub user: User,
    /// Answers authorize with this error instead of a code.
    pub refuse: Option<(String, String)>,
    /// The same, but it depends on the request.
    pub judge: Option<Judge>,
    /// Seconds that an access token lives.
    pub access_lifetime: u64,
    /// Seconds in which a spent refresh token still answers.
    pub grace: u64,
    /// Whether it announces a revocation endpoint.
    pub revocation: bool,
    pub signing: Signing,
    /// Which keys are published and which one signs.
    pub keys: Keys,
    /// Seconds that its clock is ahead of ours; negative: behind. Moves `Date`
    /// and every time in an ID token.
    pub skew: i64,
    /// Changes what an endpoint answers: the JSON object, or the parameters of
    /// the redirect. The last to touch it.
    pub alter: HashMap<Endpoint, Alter>,
    pub alter_head: Option<Alter>,
    pub alter_id_token: Option<Alter>,
    pub alter_token_answer: Option<Alter>,
    pub alter_userinfo: Option<Alter>,
    pub alter_discovery: Option<Alter>,
    /// `iss` parameter of the authorization response instead of the issuer.
    pub iss_parameter: Option<String>,
    pub faults: HashMap<Endpoint, VecDeque<Fault>>,
    pub standing: HashMap<Endpoint, Fault>,
    pub recorded: Vec<Recorded>,
}

impl Script {
    pub(super) fn new(dialect: Dialect) -> Self {
        let signing = Signing::Proper(dialect.algorithm.clone());
        Self {
            dialect,
            user: User::ann(),
            refuse: None,
            judge: None,
            access_lifetime: 3600,
            grace: 0,
            revocation: false,
            signing,
            keys: Keys::default(),
            skew: 0,
            alter: HashMap::new(),
            alter_head: None,
            alter_id_token: None,
            alter_token_answer: None,
            alter_userinfo: None,
            alter_discovery: None,
            iss_parameter: None,
            faults: HashMap::new(),
            standing: HashMap::new(),
            recorded: Vec::new(),
        }
    }

    /// Authorization requests are judged by `judge` from now on.
    pub fn judge(
        &mut self,
        judge: impl Fn(&Recorded) -> Option<&'static str> + Send + Sync + 'static,
    ) {
        self.judge = Some(Arc::new(judge));
    }

    /// Each ID token is changed by `alter` from now on.
    pub fn id_token(&mut self, alter: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static) {
        self.alter_id_token = Some(Arc::new(alter));
    }

    pub fn token_answer(
        &mut self,
        alter: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static,
    ) {
        self.alter_token_answer = Some(Arc::new(alter));
    }

    /// The answers of `endpoint` are changed by `alter` from now on.
    pub fn answer_of(
        &mut self,
        endpoint: Endpoint,
        alter: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static,
    ) {
        self.alter.insert(endpoint, Arc::new(alter));
    }

    /// Our seconds as its clock shows them.
    pub(super) const fn skewed(&self, seconds: u64) -> u64 {
        seconds.saturating_add_signed(self.skew)
    }

    pub(super) fn take_fault(&mut self, endpoint: Endpoint) -> Option<Fault> {
        self.faults
            .get_mut(&endpoint)
            .and_then(VecDeque::pop_front)
            .or_else(|| self.standing.get(&endpoint).cloned())
    }
}
