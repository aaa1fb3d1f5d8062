//! `vestibule demo` as a newcomer meets it, in Chromium.

use std::process::Command;

use crate::harness::chromium::Chromium;
use crate::harness::part::{self, Part};
use crate::harness::port;
use crate::harness::process::Process;
use crate::harness::until;

struct Demo {
    port: u16,
    process: Process,
    _folder: tempfile::TempDir,
}

impl Demo {
    async fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("vestibule-demo-")
            .tempdir()
            .expect("folder");
        let port = port::free();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command
            .args([
                "demo",
                "--port",
                &port.to_string(),
                "--token-lifetime",
                "15",
            ])
            .arg("--data-dir")
            .arg(folder.path().join("demo"));
        let mut process = Process::spawn("demo", &mut command);
        process.line(&format!("app.localhost:{port}")).await;
        Self {
            port,
            process,
            _folder: folder,
        }
    }

    fn app(&self, path: &str) -> String {
        format!("http://app.localhost:{}{path}", self.port)
    }
}

#[tokio::test]
async fn browser_demo() {
    if !part::have("browser_demo", &[Part::Browser]) {
        return;
    }
    let mut demo = Demo::start().await;
    let chromium = Chromium::start().await;
    chromium.open(&demo.app("/")).await;
    chromium.shows("Continue as Ann").await;
    chromium.screenshot("demo-provider").await;
    chromium.press("continue as ann").await;
    until::some("back at the application", || async {
        chromium
            .url()
            .await
            .starts_with(&demo.app("/"))
            .then_some(())
    })
    .await;
    chromium.shows("X-Forwarded-User").await;
    let text = chromium.text().await.to_lowercase();
    assert!(text.contains("ann"), "{text}");
    chromium.screenshot("demo-signed-in").await;
    chromium.open(&demo.app("/admin")).await;
    assert!(!chromium.text().await.contains("403"), "Ann may open it");

    // Past the first access token, whose refresh fails once: still signed in,
    // and nobody was asked.
    chromium.open(&demo.app("/")).await;
    chromium.press("fail the next refresh").await;
    chromium.shows("The next refresh will fail").await;
    tokio::time::sleep(std::time::Duration::from_secs(16)).await;
    chromium.open(&demo.app("/")).await;
    assert!(chromium.url().await.starts_with(&demo.app("/")));
    chromium.shows("X-Forwarded-User").await;
    chromium.screenshot("demo-refreshed").await;

    chromium.press("end this session elsewhere").await;
    chromium.shows("Continue as Ann").await;
    chromium.press("continue as ann").await;
    chromium.shows("X-Forwarded-User").await;

    chromium.open(&demo.app("/oauth2/")).await;
    chromium.screenshot("demo-who-am-i").await;
    chromium.press("sign out").await;
    until::some("signed out", || async {
        chromium
            .cookies()
            .await
            .iter()
            .all(|(name, _)| name != "vestibule")
            .then_some(())
    })
    .await;
    chromium.screenshot("demo-signed-out").await;

    chromium.open(&demo.app("/")).await;
    chromium.shows("Continue as Ben").await;
    chromium.press("continue as ben").await;
    chromium.shows("X-Forwarded-User").await;
    chromium.press("a page that ben may not open").await;
    chromium.shows("You do not have access").await;
    let status = "return performance.getEntriesByType('navigation')[0].responseStatus";
    assert_eq!(chromium.script(status).await, 403);
    chromium.screenshot("demo-forbidden").await;

    chromium.open(&demo.app("/")).await;
    chromium.press("stop the provider").await;
    chromium.shows("The provider is stopped").await;
    chromium.open(&demo.app("/")).await;
    chromium.shows("X-Forwarded-User").await;
    let provider = format!("http://id.localhost:{}/", demo.port);
    chromium.open(&provider).await;
    chromium.shows("Demo ID is stopped").await;
    chromium.screenshot("demo-provider-stopped").await;
    chromium.quit().await;

    demo.process.signal("INT");
    assert!(
        demo.process.ended().await.success(),
        "ends cleanly on Ctrl-C"
    );
}
