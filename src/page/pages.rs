//! Every page, from plain values to a finished response.

use askama::Template;
use http::{Response, StatusCode};

use super::answer;
use super::branding::Branding;
use super::contents::{Choice, Problem, SignIn, SignOutConfirm, SignedOut, SwitchAccount, WhoAmI};
use super::reasons::{self, Text};
use super::safe_href::safe_href;
use super::words::Words;
use super::{Language, civil_time};
use crate::base::body::Body;
use crate::config::checked;

/// What every page shares.
struct Frame<'a> {
    words: &'static Words,
    title: String,
    brand: &'a Branding,
}

impl Frame<'_> {
    fn href<'h>(&self, href: &'h str) -> &'h str {
        safe_href(href)
    }
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    frame: Frame<'a>,
    choices: &'a [Choice],
    notice: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "switch_account.html")]
struct SwitchAccountPage<'a> {
    frame: Frame<'a>,
    page: &'a SwitchAccount,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage<'a> {
    frame: Frame<'a>,
    page: &'a SignedOut,
}

#[derive(Template)]
#[template(path = "sign_out_confirm.html")]
struct SignOutConfirmPage<'a> {
    frame: Frame<'a>,
    page: &'a SignOutConfirm,
}

#[derive(Template)]
#[template(path = "who_am_i.html")]
struct WhoAmIPage<'a> {
    frame: Frame<'a>,
    page: &'a WhoAmI,
    headline: &'a str,
    initial: String,
    groups: Option<&'a [String]>,
    signed_in_at: Option<String>,
    expires_in: String,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame<'a>,
    page: &'a Problem<'a>,
    text: Text,
    since: Option<String>,
    because: Option<&'static str>,
    wait: Option<String>,
}

#[derive(Template)]
#[template(path = "redirecting.html")]
struct RedirectingPage<'a> {
    frame: Frame<'a>,
    href: &'a str,
}

/// All pages of one configuration.
pub struct Pages {
    brand: Branding,
    static_prefix: String,
}

impl Pages {
    /// `prefix` is that of our own endpoints, "/oauth2".
    pub fn new(pages: &checked::Pages, prefix: &str) -> Self {
        Self {
            brand: Branding::new(pages, prefix),
            static_prefix: format!("{prefix}/static/"),
        }
    }

    /// The asset at this path (the whole path of the request), or `None`:
    /// 404. Public; holds nothing of anybody.
    pub fn asset(&self, path: &str) -> Option<Response<Body>> {
        let (version, file) = path.strip_prefix(&self.static_prefix)?.split_once('/')?;
        let asset = self.brand.assets.iter().find(|asset| asset.file == file)?;
        Some(answer::asset(asset, asset.version == version))
    }

    pub fn sign_in(&self, language: Language, page: &SignIn) -> Response<Body> {
        let title = language.sign_in_to(self.brand.name.as_deref());
        let html = SignInPage {
            frame: self.frame(language, title),
            choices: &page.choices,
            notice: page.notice.map(|notice| language.notice(notice)),
        };
        rendered(StatusCode::OK, language, &[], &html)
    }

    pub fn switch_account(&self, language: Language, page: &SwitchAccount) -> Response<Body> {
        let frame = self.frame(language, Words::of(language).already_signed_in);
        let html = SwitchAccountPage { frame, page };
        rendered(StatusCode::OK, language, &page.form_targets, &html)
    }

    pub fn signed_out(&self, language: Language, page: &SignedOut) -> Response<Body> {
        let frame = self.frame(language, Words::of(language).signed_out);
        let html = SignedOutPage { frame, page };
        rendered(StatusCode::OK, language, &[], &html)
    }

    pub fn sign_out_confirm(&self, language: Language, page: &SignOutConfirm) -> Response<Body> {
        let frame = self.frame(language, Words::of(language).sign_out_title);
        let html = SignOutConfirmPage { frame, page };
        rendered(StatusCode::OK, language, &page.form_targets, &html)
    }

    pub fn who_am_i(&self, language: Language, page: &WhoAmI) -> Response<Body> {
        let words = Words::of(language);
        let headline = [&page.name, &page.username, &page.email]
            .into_iter()
            .find_map(|name| name.as_deref().filter(|name| !name.trim().is_empty()))
            .unwrap_or(words.your_account);
        let html = WhoAmIPage {
            frame: self.frame(language, words.your_account),
            page,
            headline,
            initial: headline
                .trim()
                .chars()
                .next()
                .map(|letter| letter.to_uppercase().to_string())
                .unwrap_or_default(),
            groups: page.groups.as_deref(),
            signed_in_at: page.signed_in_at.map(|at| civil_time::moment(language, at)),
            expires_in: language.ends_in(page.expires_in),
        };
        rendered(StatusCode::OK, language, &page.form_targets, &html)
    }

    pub fn problem(&self, language: Language, page: &Problem<'_>) -> Response<Body> {
        let text = reasons::text(language, page.reason, page.status);
        let html = ProblemPage {
            frame: self.frame(language, text.title),
            page,
            text,
            since: page.since.map(|since| language.since(since)),
            because: page
                .because
                .map(|reason| reasons::text(language, reason, page.status).happened),
            wait: page.retry_after.map(|wait| language.wait(wait)),
        };
        let mut response = rendered(page.status, language, &[], &html);
        if let Some(wait) = page.retry_after {
            answer::retry_after(&mut response, wait);
        }
        response
    }

    /// A redirect that the browser takes for a navigation from our own page,
    /// so that a `SameSite=Strict` cookie travels along; it also ends the
    /// chain of redirects that `form-action` watches.
    pub fn redirecting(&self, language: Language, href: &str) -> Response<Body> {
        let frame = self.frame(language, Words::of(language).redirecting);
        let html = RedirectingPage { frame, href };
        rendered(StatusCode::OK, language, &[], &html)
    }

    fn frame(&self, language: Language, title: impl Into<String>) -> Frame<'_> {
        Frame {
            words: Words::of(language),
            title: title.into(),
            brand: &self.brand,
        }
    }
}

fn rendered(
    status: StatusCode,
    language: Language,
    form_targets: &[String],
    html: &impl Template,
) -> Response<Body> {
    let html = html
        .render()
        .expect("templates of plain values always render");
    answer::page(status, language, form_targets, html)
}

#[cfg(test)]
mod tests;
