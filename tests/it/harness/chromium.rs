//! Chromium without a screen, driven over WebDriver (W3C), one browser a test.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::{port, until, wire};

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A window and what its owner prefers.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub name: &'static str,
    pub language: &'static str,
    width: u32,
    dark: bool,
}

impl Look {
    pub const fn new(name: &'static str, width: u32, dark: bool, language: &'static str) -> Self {
        Self {
            name,
            language,
            width,
            dark,
        }
    }
}

pub struct Chromium {
    base: String,
    /// Dropped first, so that the driver still ends the browser.
    _driver: Process,
    _profile: TempDir,
}

impl Chromium {
    pub async fn start() -> Self {
        let port = port::free();
        let mut driver = Process::spawn(
            "chromedriver",
            Command::new("chromedriver").arg(format!("--port={port}")),
        );
        driver.line("started successfully").await;
        let profile = tempfile::Builder::new()
            .prefix("vestibule-chromium-")
            .tempdir()
            .expect("folder");
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--window-size=1200,900".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "args": arguments },
            "timeouts": { "pageLoad": 60_000, "script": 30_000 },
        }}});
        let server = format!("http://127.0.0.1:{port}");
        let session = call("POST", &format!("{server}/session"), Some(capabilities))
            .await
            .unwrap_or_else(|error| panic!("chromium does not start: {error}"));
        let id = session["sessionId"]
            .as_str()
            .expect("session id")
            .to_owned();
        Self {
            base: format!("{server}/session/{id}"),
            _driver: driver,
            _profile: profile,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
        call(method, &format!("{}{path}", self.base), body).await
    }

    async fn must(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        match self.ask(method, path, body).await {
            Ok(value) => value,
            Err(error) => {
                let picture = self.screenshot("failure").await;
                panic!("{method} {path}: {error}; see {}", picture.display());
            }
        }
    }

    /// Goes to `url` and waits until the page is loaded.
    pub async fn open(&self, url: &str) {
        self.must("POST", "/url", Some(json!({ "url": url }))).await;
    }

    pub async fn url(&self) -> String {
        self.must("GET", "/url", None)
            .await
            .as_str()
            .expect("url")
            .to_owned()
    }

    pub async fn title(&self) -> String {
        self.must("GET", "/title", None)
            .await
            .as_str()
            .expect("title")
            .to_owned()
    }

    /// What a person reads on the page.
    pub async fn text(&self) -> String {
        let text = self.script("return document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Runs a function body in the page and gives what it returns.
    pub async fn script(&self, body: &str) -> Value {
        self.must(
            "POST",
            "/execute/sync",
            Some(json!({ "script": body, "args": [] })),
        )
        .await
    }

    /// The same on a page that may just be leaving.
    pub async fn try_script(&self, body: &str) -> Option<Value> {
        let body = json!({ "script": body, "args": [] });
        self.ask("POST", "/execute/sync", Some(body)).await.ok()
    }

    /// From the next page on, the window looks like this.
    pub async fn look(&self, look: Look) {
        let scheme = if look.dark { "dark" } else { "light" };
        for (command, parameters) in [
            (
                "Emulation.setDeviceMetricsOverride",
                json!({ "width": look.width, "height": 760, "deviceScaleFactor": 1, "mobile": look.width < 600 }),
            ),
            (
                "Emulation.setEmulatedMedia",
                json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
            ),
            ("Network.enable", json!({})),
            (
                "Network.setExtraHTTPHeaders",
                json!({ "headers": { "Accept-Language": look.language } }),
            ),
        ] {
            let body = json!({ "cmd": command, "params": parameters });
            self.must("POST", "/goog/cdp/execute", Some(body)).await;
        }
    }

    /// Waits until the page shows `needle`.
    pub async fn shows(&self, needle: &str) {
        let mut text = String::new();
        let end = tokio::time::Instant::now() + until::PATIENCE;
        while tokio::time::Instant::now() < end {
            // A page that is being left has no body for a moment.
            let body = json!({ "script": "return document.body.innerText", "args": [] });
            if let Ok(value) = self.ask("POST", "/execute/sync", Some(body)).await {
                text = value.as_str().unwrap_or_default().to_owned();
                if text.contains(needle) {
                    return;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let picture = self.screenshot("failure").await;
        panic!(
            "{needle:?} is not shown at {}; see {}:\n{text}",
            self.url().await,
            picture.display()
        );
    }

    /// Clicks the first element that a CSS selector or, with a leading "/", an XPath finds.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.must(
            "POST",
            &format!("/element/{element}/click"),
            Some(json!({})),
        )
        .await;
    }

    /// Clicks the link or button that carries `words`.
    pub async fn press(&self, words: &str) {
        let words = words.to_lowercase();
        self.click(&format!(
            "//*[self::a or self::button][contains(translate(normalize-space(.), \
             'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'), '{words}')]"
        ))
        .await;
    }

    /// Clears a field and types into it.
    pub async fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.must(
            "POST",
            &format!("/element/{element}/clear"),
            Some(json!({})),
        )
        .await;
        let body = json!({ "text": text });
        self.must("POST", &format!("/element/{element}/value"), Some(body))
            .await;
    }

    async fn element(&self, selector: &str) -> String {
        let using = if selector.starts_with('/') {
            "xpath"
        } else {
            "css selector"
        };
        let query = json!({ "using": using, "value": selector });
        let end = tokio::time::Instant::now() + until::PATIENCE;
        loop {
            match self.ask("POST", "/element", Some(query.clone())).await {
                Ok(found) => return found[ELEMENT].as_str().expect("element").to_owned(),
                Err(error) if tokio::time::Instant::now() > end => {
                    let picture = self.screenshot("failure").await;
                    panic!("no {selector}: {error}; see {}", picture.display());
                }
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    }

    /// Name and value of every cookie that the present page gets.
    pub async fn cookies(&self) -> Vec<(String, String)> {
        let cookies = self.must("GET", "/cookie", None).await;
        let text = |cookie: &Value, key: &str| cookie[key].as_str().unwrap_or_default().to_owned();
        let all = cookies.as_array().expect("cookies");
        all.iter()
            .map(|cookie| (text(cookie, "name"), text(cookie, "value")))
            .collect()
    }

    /// Saves a picture of the page as `target/screenshots/NAME.png`.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).expect("folder");
        let path = folder.join(format!("{name}.png"));
        if let Ok(picture) = self.ask("GET", "/screenshot", None).await {
            let bytes = STANDARD
                .decode(picture.as_str().expect("picture"))
                .expect("base64");
            std::fs::write(&path, bytes).expect("file");
        }
        path
    }

    /// Ends the browser; without it the driver's end does.
    pub async fn quit(self) {
        drop(self.ask("DELETE", "", None).await);
    }
}

async fn call(method: &str, url: &str, body: Option<Value>) -> Result<Value, String> {
    let url = url::Url::parse(url).expect("url");
    let body = Bytes::from(body.map(|body| body.to_string()).unwrap_or_default());
    let request = wire::request_for(&url, method)
        .header("content-type", "application/json")
        .body(Full::new(body))
        .expect("request");
    let answer = wire::exchange(wire::address_of(&url), url, request).await?;
    let value = answer.json()["value"].clone();
    if answer.status.is_success() {
        return Ok(value);
    }
    Err(value["message"]
        .as_str()
        .unwrap_or("no message")
        .lines()
        .next()
        .unwrap_or("")
        .to_owned())
}
