//! What each page is told, as plain values.

use std::time::Duration;

use http::StatusCode;

use crate::base::clock::Timestamp;

/// One way to sign in.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What the provider is called.
    pub label: String,
    pub href: String,
}

/// Why the sign-in page is shown, where that needs a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInNotice {
    SignedOut,
    SessionEnded,
    AttemptFailed,
}

#[derive(Debug, Clone, Default)]
pub struct SignIn {
    pub choices: Vec<Choice>,
    pub notice: Option<SignInNotice>,
}

#[derive(Debug, Clone)]
pub struct SwitchAccount {
    /// Who is signed in, as people would name them.
    pub person: String,
    pub continue_href: String,
    /// Posted to, with `csrf`.
    pub switch_action: String,
    pub csrf: String,
    /// Origins that the POST may lead on to, beyond ours.
    pub form_targets: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct SignedOut {
    pub sign_in_href: String,
    /// The store is out of reach: other servers learn of it once it is back.
    pub elsewhere: bool,
}

#[derive(Debug, Clone)]
pub struct SignOutConfirm {
    /// Posted to, with `csrf` and `rd`.
    pub action: String,
    pub csrf: String,
    pub return_to: Option<String>,
    /// Origins that the POST may lead on to, beyond ours: the provider's
    /// end-session endpoint and where it returns to.
    pub form_targets: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct WhoAmI {
    pub name: Option<String>,
    pub username: Option<String>,
    pub email: Option<String>,
    /// `None`: the provider did not tell them all.
    pub groups: Option<Vec<String>>,
    /// What the provider is called.
    pub provider: String,
    pub signed_in_at: Option<Timestamp>,
    pub expires_in: Duration,
    /// Posted to, with `csrf`.
    pub sign_out_action: String,
    pub csrf: String,
    /// As in [`SignOutConfirm::form_targets`].
    pub form_targets: Vec<String>,
}

/// What a button of an error page does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    TryAgain,
    SignIn,
    SwitchAccount,
    SignOut,
    GoHome,
}

#[derive(Debug, Clone)]
pub struct Action {
    pub label: ActionKind,
    pub href: String,
}

/// An error page. The words come from the reason code, see [`reasons`].
#[derive(Debug, Clone)]
pub struct Problem<'a> {
    pub status: StatusCode,
    pub reason: &'a str,
    /// What an operator can look up: attempt id or request reference.
    pub reference: String,
    /// The step of a sign-in that failed, beside the reference.
    pub phase: Option<&'a str>,
    /// The reason code of what lies behind: a second explanation.
    pub because: Option<&'a str>,
    /// Buttons; the first one is the one to press.
    pub next: Vec<Action>,
    /// Said in words and as Retry-After.
    pub retry_after: Option<Duration>,
    /// Since when what is missing has been missing.
    pub since: Option<Timestamp>,
    /// A posted form was refused; the page says that nothing was sent on.
    pub form_lost: bool,
    /// Who is signed in, where that explains the refusal (403).
    pub signed_in_as: Option<String>,
}

impl<'a> Problem<'a> {
    pub fn new(status: StatusCode, reason: &'a str, reference: impl ToString) -> Self {
        Self {
            status,
            reason,
            reference: reference.to_string(),
            phase: None,
            because: None,
            next: Vec::new(),
            retry_after: None,
            since: None,
            form_lost: false,
            signed_in_as: None,
        }
    }

    #[must_use]
    pub fn action(mut self, label: ActionKind, href: impl Into<String>) -> Self {
        let href = href.into();
        self.next.push(Action { label, href });
        self
    }
}
