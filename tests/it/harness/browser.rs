//! A browser without a screen: cookies, redirects across origins, and the
//! headers that Chromium sends for navigations and for scripts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::Full;
use url::Url;

use super::cookie_jar::{CookieJar, Initiator, StoredCookie};
use super::wire::{self, Answer};

const REDIRECTS: usize = 20;

const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

const ACCEPT: &str =
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

#[derive(Default)]
pub struct Browser {
    jar: Mutex<CookieJar>,
    /// `host:port` → where it is really connected to; for a second replica.
    detours: Mutex<HashMap<String, SocketAddr>>,
    history: Mutex<Vec<Url>>,
}

/// How a navigation is begun.
#[derive(Debug, Clone, Default)]
pub struct Navigation {
    /// The page that the link or form stands on; `None`: typed by the person.
    from: Option<Url>,
    form: Option<String>,
}

impl Browser {
    pub fn new() -> Self {
        Self::default()
    }

    /// A second browser with a copy of every cookie: a thief.
    pub fn twin(&self) -> Self {
        let twin = Self::new();
        *twin.jar.lock().expect("jar") = self.jar.lock().expect("jar").clone();
        *twin.detours.lock().expect("detours") = self.detours.lock().expect("detours").clone();
        twin
    }

    /// From now on `authority` is answered by the server at `address`.
    pub fn detour(&self, authority: &str, address: SocketAddr) {
        self.detours
            .lock()
            .expect("detours")
            .insert(authority.to_owned(), address);
    }

    /// Types `url` and follows every redirect.
    pub async fn open(&self, url: &str) -> Answer {
        self.try_open(url)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same where a server on the way may be gone.
    pub async fn try_open(&self, url: &str) -> Result<Answer, String> {
        self.navigate(url, Navigation::default()).await
    }

    /// Types `url` and stops at the first answer.
    pub async fn step(&self, url: &str) -> Answer {
        self.try_step(url)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    pub async fn try_step(&self, url: &str) -> Result<Answer, String> {
        let url = Url::parse(url).expect("url");
        self.hop(&url, &Navigation::default()).await
    }

    /// Follows a link on the page `from` and stops at the first answer.
    pub async fn link(&self, from: &str, url: &str) -> Answer {
        let url = Url::parse(url).expect("url");
        let navigation = Navigation {
            from: Some(Url::parse(from).expect("url")),
            form: None,
        };
        self.hop(&url, &navigation)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// Submits a POST form that stands on the page `from`; stops at the first answer.
    pub async fn submit(&self, from: &str, url: &str, form: &[(&str, &str)]) -> Answer {
        let url = Url::parse(url).expect("url");
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let navigation = Navigation {
            from: Some(Url::parse(from).expect("url")),
            form: Some(form),
        };
        self.hop(&url, &navigation)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    async fn navigate(&self, url: &str, mut navigation: Navigation) -> Result<Answer, String> {
        let mut url = Url::parse(url).expect("url");
        for _ in 0..REDIRECTS {
            let answer = self
                .hop(&url, &navigation)
                .await
                .map_err(|error| format!("{url}: {error}"))?;
            match answer.location() {
                Some(next) if answer.status.is_redirection() => {
                    navigation.form = None;
                    url = next;
                }
                _ => return Ok(answer),
            }
        }
        panic!("redirect loop, last {url}; history {:?}", self.history());
    }

    async fn hop(&self, url: &Url, navigation: &Navigation) -> Result<Answer, String> {
        let same_site = navigation
            .from
            .as_ref()
            .is_none_or(|from| site(from) == site(url));
        let initiator = match (same_site, &navigation.form) {
            (true, _) => Initiator::SameSite,
            (false, None) => Initiator::CrossSiteNavigation,
            (false, Some(_)) => Initiator::CrossSite,
        };
        let method = if navigation.form.is_some() {
            "POST"
        } else {
            "GET"
        };
        let mut request = wire::request_for(url, method)
            .header("user-agent", USER_AGENT)
            .header("accept", ACCEPT)
            .header("accept-language", "en-GB,en;q=0.9")
            .header("upgrade-insecure-requests", "1")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-user", "?1")
            .header("sec-fetch-site", fetch_site(navigation.from.as_ref(), url));
        if let (Some(from), Some(_)) = (&navigation.from, &navigation.form) {
            request = request
                .header("origin", from.origin().ascii_serialization())
                .header("content-type", "application/x-www-form-urlencoded");
        }
        if let Some(cookies) = self.jar.lock().expect("jar").header(url, initiator) {
            request = request.header("cookie", cookies);
        }
        let body = Full::new(Bytes::from(navigation.form.clone().unwrap_or_default()));
        let request = request.body(body).expect("request");
        self.history.lock().expect("history").push(url.clone());
        self.answered(url, request).await
    }

    /// What a script of the same origin does: `fetch(url, …)`, no redirects followed.
    pub async fn fetch(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> Answer {
        self.fetch_with(method, url, headers, Bytes::new()).await
    }

    pub async fn fetch_with(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Answer {
        self.try_fetch(method, url, headers, body)
            .await
            .unwrap_or_else(|error| panic!("{method} {url}: {error}"))
    }

    pub async fn try_fetch(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, String> {
        let url = Url::parse(url).expect("url");
        let mut request = wire::request_for(&url, method)
            .header("user-agent", USER_AGENT)
            .header("accept", "*/*")
            .header("sec-fetch-mode", "cors")
            .header("sec-fetch-dest", "empty")
            .header("sec-fetch-site", "same-origin");
        if let Some(cookies) = self
            .jar
            .lock()
            .expect("jar")
            .header(&url, Initiator::SameSite)
        {
            request = request.header("cookie", cookies);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answered(&url, request.body(Full::new(body)).expect("request"))
            .await
    }

    async fn answered(
        &self,
        url: &Url,
        request: http::Request<Full<Bytes>>,
    ) -> Result<Answer, String> {
        let address = self.address(url);
        let answer = wire::exchange(address, url.clone(), request).await?;
        let mut jar = self.jar.lock().expect("jar");
        for line in answer.set_cookies() {
            jar.take(url, &line);
        }
        drop(jar);
        Ok(answer)
    }

    fn address(&self, url: &Url) -> SocketAddr {
        let detours = self.detours.lock().expect("detours");
        detours
            .get(&wire::authority_of(url))
            .copied()
            .unwrap_or_else(|| wire::address_of(url))
    }

    /// Every address that a navigation went through, oldest first.
    pub fn history(&self) -> Vec<Url> {
        self.history.lock().expect("history").clone()
    }

    pub fn cookies(&self) -> Vec<StoredCookie> {
        self.jar.lock().expect("jar").all().to_vec()
    }

    /// The cookies whose name begins with `prefix`.
    pub fn cookies_named(&self, prefix: &str) -> Vec<StoredCookie> {
        self.cookies()
            .into_iter()
            .filter(|cookie| cookie.name.starts_with(prefix))
            .collect()
    }

    /// The Cookie header that `url` would get.
    pub fn cookie_header(&self, url: &str) -> String {
        let url = Url::parse(url).expect("url");
        self.jar
            .lock()
            .expect("jar")
            .header(&url, Initiator::SameSite)
            .unwrap_or_default()
    }

    /// Loses the cookies of this name.
    pub fn lose(&self, name: &str) {
        self.jar.lock().expect("jar").remove(name);
    }

    pub fn plant(&self, url: &str, name: &str, value: &str) {
        let url = Url::parse(url).expect("url");
        self.jar.lock().expect("jar").plant(&url, name, value);
    }
}

/// Scheme and registrable domain; below `localhost` that is two labels.
fn site(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let labels: Vec<&str> = host.split('.').collect();
    let domain = if is_address {
        host.to_owned()
    } else {
        labels[labels.len().saturating_sub(2)..].join(".")
    };
    format!("{}://{domain}", url.scheme())
}

fn fetch_site(from: Option<&Url>, to: &Url) -> &'static str {
    match from {
        None => "none",
        Some(from) if from.origin() == to.origin() => "same-origin",
        Some(from) if site(from) == site(to) => "same-site",
        Some(_) => "cross-site",
    }
}
