//! The pages that people see: rendered here, without script, in two
//! languages, with one stylesheet, under a strict content security policy.
//!
//! Owns: templates, words, the text of every reason code, branding, the
//! headers of a page. Must not know: why a page is shown, sessions, stores,
//! providers; the operator's cure never appears here.

mod answer;
mod branding;
mod civil_time;
mod colour;
pub mod contents;
pub mod language;
pub mod pages;
pub mod reasons;
mod safe_href;
mod words;

pub use contents::{
    Action, ActionKind, Choice, Problem, SignIn, SignInNotice, SignOutConfirm, SignedOut,
    SwitchAccount, WhoAmI,
};
pub use language::Language;
pub use pages::Pages;
