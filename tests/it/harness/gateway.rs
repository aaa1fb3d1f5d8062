//! The real binary as a process of its own, and the configuration it runs with.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use vestibule::base::random;

use super::process::Process;
use super::provider::{CLIENT_ID, CLIENT_SECRET};
use super::wire::{self, Answer};
use super::{port, until};

/// Everything that a gateway is started with; cheap to clone, so that a second
/// one can share the first one's folder and keys.
#[derive(Clone)]
pub struct Plan {
    folder: Arc<TempDir>,
    port: u16,
    admin_port: u16,
    /// The port in `public_url`: of two replicas, the first one's.
    public_port: u16,
    issuer: String,
    client_secret: String,
    store: String,
    server: String,
    session: String,
    provider: String,
    limits: String,
    routes: String,
    environment: Vec<(String, String)>,
    log_level: &'static str,
    /// "http", or "https" with a certificate of its own.
    scheme: &'static str,
    /// The file as it is, instead of everything above.
    whole: Option<String>,
}

impl Plan {
    /// Embedded store, one route `app` to `upstream` for anybody signed in.
    pub fn new(issuer: &str, upstream: &str) -> Self {
        let mut plan = Self::bare(issuer);
        plan.routes = format!("[route.app]\nupstream = \"{upstream}\"\naccess = \"signed-in\"\n");
        plan
    }

    /// The same without any route.
    pub fn bare(issuer: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("vestibule-it-")
            .tempdir()
            .expect("folder");
        let ring = STANDARD.encode(random::bytes::<32>());
        write_private(&folder.path().join("keys"), &format!("{ring}\n"));
        let port = port::free();
        Self {
            port,
            admin_port: port::free(),
            public_port: port,
            issuer: issuer.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            store: format!(
                "store = \"embedded\"\npath = \"{}\"\n",
                folder.path().display()
            ),
            server: String::new(),
            session: String::new(),
            provider: String::new(),
            limits: "login_starts_per_minute = 100000\n".to_owned(),
            routes: String::new(),
            environment: Vec::new(),
            log_level: "debug",
            scheme: "http",
            whole: None,
            folder: Arc::new(folder),
        }
    }

    /// A ready-made file of ours as people would use it: its addresses become
    /// those of this test, everything else stays. Its one route leads to
    /// `upstream`.
    pub fn recipe(name: &str, issuer: &str, upstream: &str) -> Self {
        let mut plan = Self::bare(issuer);
        let mut recipe = recipe(name, upstream);
        let local: toml::Table = plan.text().parse().expect("TOML");
        for (section, keys) in [
            ("server", &["listen", "public_url"][..]),
            ("admin", &["listen"]),
            ("log", &["format", "level"]),
            ("limits", &["login_starts_per_minute"]),
            ("keys", &["file"]),
            ("session", &["path"]),
        ] {
            let target = recipe
                .entry(section)
                .or_insert_with(|| toml::Table::new().into());
            copy(&local[section], target, keys);
        }
        let keys = &["issuer", "client_id", "client_secret_file"];
        copy(
            &local["provider"]["main"],
            &mut recipe["provider"]["main"],
            keys,
        );
        plan.whole = Some(recipe.to_string());
        plan
    }

    /// Only the route of a recipe, beside everything that this plan says.
    #[must_use]
    pub fn recipe_route(self, name: &str, upstream: &str) -> Self {
        let mut recipe = recipe(name, upstream);
        recipe.retain(|section, _| section == "route");
        self.route(&recipe.to_string())
    }

    /// Changes the text of the recipe.
    #[must_use]
    pub fn edited(mut self, edit: impl FnOnce(String) -> String) -> Self {
        self.whole = self.whole.map(edit);
        self
    }

    /// Sessions in Redis; `lines` go into `[redis]`.
    #[must_use]
    pub fn redis(mut self, lines: &str) -> Self {
        self.store = format!("store = \"redis\"\n\n[redis]\n{lines}\n");
        self
    }

    #[must_use]
    pub fn client_secret(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.client_secret);
        self
    }

    /// Lines for `[server]`.
    #[must_use]
    pub fn server(mut self, lines: &str) -> Self {
        push(&mut self.server, lines);
        self
    }

    /// TLS with a certificate that signs itself: [`Plan::certificate`].
    #[must_use]
    pub fn tls(mut self) -> Self {
        let name = "app.localhost".to_owned();
        let made = rcgen::generate_simple_self_signed([name]).expect("a certificate");
        let key = self.folder.path().join("tls-key.pem");
        std::fs::write(self.certificate(), made.cert.pem()).expect("the certificate is written");
        write_private(&key, &made.signing_key.serialize_pem());
        self.scheme = "https";
        let lines = format!(
            "tls.certificate_file = \"{}\"\ntls.private_key_file = \"{}\"",
            self.certificate().display(),
            key.display()
        );
        self.server(&lines)
    }

    /// Where the certificate of `tls` is (PEM).
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("tls.pem")
    }

    /// Lines for `[session]`.
    #[must_use]
    pub fn session(mut self, lines: &str) -> Self {
        push(&mut self.session, lines);
        self
    }

    /// Lines for `[provider.main]`.
    #[must_use]
    pub fn provider(mut self, lines: &str) -> Self {
        push(&mut self.provider, lines);
        self
    }

    #[must_use]
    pub fn limits(mut self, lines: &str) -> Self {
        push(&mut self.limits, lines);
        self
    }

    /// Lines that follow the last route's own.
    #[must_use]
    pub fn route(mut self, lines: &str) -> Self {
        push(&mut self.routes, lines);
        self
    }

    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub const fn log_level(mut self, level: &'static str) -> Self {
        self.log_level = level;
        self
    }

    /// Will die where it is told to; see [`Gateway::die_at`].
    #[must_use]
    pub fn mortal(self) -> Self {
        let order = self.order().display().to_string();
        self.environment("VESTIBULE_KILL_ORDER", &order)
    }

    fn order(&self) -> PathBuf {
        self.folder.path().join("kill-order")
    }

    /// A second gateway with the same keys, store and public address.
    #[must_use]
    pub fn replica(&self) -> Self {
        let mut replica = self.clone();
        replica.port = port::free();
        replica.admin_port = port::free();
        replica
    }

    /// Where the gateway listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn origin(&self) -> String {
        format!("{}://app.localhost:{}", self.scheme, self.public_port)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    fn text(&self) -> String {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let mut text = String::new();
        let Self {
            port,
            admin_port,
            server,
            session,
            store,
            provider,
            limits,
            routes,
            ..
        } = self;
        let secret = self.folder.path().join("client_secret");
        let keys = self.folder.path().join("keys");
        // `store` may end in a [redis] table, so it closes the session's lines.
        write!(
            text,
            "[server]\nlisten = [\"127.0.0.1:{port}\"]\npublic_url = \"{origin}\"\n{server}\n\
             [admin]\nlisten = \"127.0.0.1:{admin_port}\"\n\n\
             [log]\nformat = \"json\"\nlevel = \"{level}\"\n\n\
             [keys]\nfile = \"{keys}\"\n\n\
             [limits]\n{limits}\n\
             [provider.main]\nkind = \"oidc\"\nname = \"Example ID\"\nissuer = \"{issuer}\"\n\
             client_id = \"{CLIENT_ID}\"\nclient_secret_file = \"{secret}\"\n{provider}\n\
             [session]\n{session}{store}\n\
             {routes}",
            level = self.log_level,
            origin = self.origin(),
            issuer = self.issuer,
            keys = keys.display(),
            secret = secret.display(),
        )
        .expect("text");
        text
    }

    /// Writes the configuration and gives its path.
    pub fn written(&self) -> PathBuf {
        write_private(
            &self.folder.path().join("client_secret"),
            &format!("{}\n", self.client_secret),
        );
        let path = self
            .folder
            .path()
            .join(format!("vestibule-{}.toml", self.port));
        write_private(&path, &self.text());
        path
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command.args(words).current_dir(self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts and waits until it is ready.
    pub async fn start(self) -> Gateway {
        let mut gateway = self.start_unready().await;
        gateway.ready().await;
        gateway
    }

    /// Starts and waits only until it lives.
    pub async fn start_unready(self) -> Gateway {
        let path = self.written();
        let process = self.run(&path);
        let mut gateway = Gateway {
            plan: self,
            process,
            path,
            earlier: String::new(),
        };
        gateway.admin_answers("/livez", 200).await;
        gateway
    }

    fn run(&self, config: &Path) -> Process {
        let config = config.display().to_string();
        Process::spawn(
            "gateway",
            &mut self.command(&["serve", "--config", &config]),
        )
    }

    /// Runs to its end with other words; for starts that must be refused and
    /// for `check`. Gives the exit status and all output.
    pub async fn ends(&self, words: &[&str]) -> (ExitStatus, String) {
        let config = self.written().display().to_string();
        let mut command = self.command(words);
        let mut process = Process::spawn("gateway", command.args(["--config", &config]));
        let status = process.ended().await;
        // The readers of its output may still hold the last line.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        (status, process.log())
    }
}

pub struct Gateway {
    plan: Plan,
    process: Process,
    path: PathBuf,
    /// Logs of the processes before a restart.
    earlier: String,
}

impl Gateway {
    /// An address below `public_url`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.plan.origin())
    }

    /// An own endpoint.
    pub fn own(&self, path: &str) -> String {
        self.url(&format!("/oauth2{path}"))
    }

    /// `host:port` as browsers say it.
    pub fn authority(&self) -> String {
        format!("app.localhost:{}", self.plan.public_port)
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.plan.port))
    }

    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Asks the operators' listener; `None` where nothing answers.
    pub async fn admin(&self, path: &str) -> Option<Answer> {
        let url = format!("http://127.0.0.1:{}{path}", self.plan.admin_port);
        let url = url::Url::parse(&url).expect("url");
        let request = wire::request_for(&url, "GET")
            .body(Default::default())
            .expect("request");
        wire::exchange(wire::address_of(&url), url, request)
            .await
            .ok()
    }

    /// The value of a metric line that begins with `prefix`; zero where there is none.
    pub async fn metric(&self, prefix: &str) -> f64 {
        let text = self.admin("/metrics").await.expect("metrics").text();
        let lines = text.lines().filter(|line| line.starts_with(prefix));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    pub async fn ready(&mut self) {
        self.admin_answers("/readyz", 200).await;
    }

    /// Waits until the operators' listener answers `path` with `status`.
    pub async fn admin_answers(&mut self, path: &str, status: u16) {
        let end = tokio::time::Instant::now() + until::PATIENCE;
        loop {
            let answer = self.admin(path).await.map(|answer| answer.status.as_u16());
            if answer == Some(status) {
                return;
            }
            if let Some(ended) = self.process.status() {
                panic!("gateway ended ({ended}):\n{}", self.process.log());
            }
            assert!(
                tokio::time::Instant::now() < end,
                "{path} answers {answer:?}, not {status}:\n{}",
                self.process.log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Everything that it and its predecessors printed.
    pub fn log(&self) -> String {
        format!("{}{}", self.earlier, self.process.log())
    }

    /// How long this process took to open the embedded store.
    pub fn database_opened_in(&self) -> Option<Duration> {
        let log = self.process.log();
        let line = log
            .lines()
            .find(|line| line.contains("session database opened"))?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let took = line.get("took_us")?.as_str()?.parse().ok()?;
        Some(Duration::from_micros(took))
    }

    /// The most memory that it ever had in use, in bytes (Linux).
    pub fn peak_memory(&self) -> usize {
        self.process.peak_memory()
    }

    /// The memory that it asked for and has in use, in bytes (Linux).
    pub fn memory(&self) -> usize {
        self.process.memory()
    }

    /// How many files and sockets it has open (Linux).
    pub fn open_files(&self) -> usize {
        self.process.open_files()
    }

    /// The processor time of its threads whose name begins so (Linux).
    pub fn cpu_of(&self, name: &str) -> Duration {
        self.process.cpu_of(name)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// It dies the next time that it comes to this place (`base::kill_point`).
    pub fn die_at(&self, point: &str) {
        std::fs::write(self.plan.order(), point).expect("the order is written");
    }

    /// Waits for it to die where it was told to.
    pub async fn dies(&mut self, point: &str) {
        let status = self.ended().await;
        assert!(!status.success(), "{point}: {status}");
        let word = format!("dies at {point}\n");
        until::holds(&word, || self.log().contains(&word)).await;
    }

    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    pub async fn ended(&mut self) -> ExitStatus {
        self.process.ended().await
    }

    /// Starts again after it ended, with the same folder, ports and keys.
    pub async fn restart(&mut self) {
        self.restart_unready().await;
        self.ready().await;
    }

    /// The same, where its store may not be well.
    pub async fn restart_unready(&mut self) {
        self.kill();
        self.earlier = self.log();
        self.process = self.plan.run(&self.path);
        self.admin_answers("/livez", 200).await;
    }
}

/// The recipe of that name; its one route leads to `upstream`.
fn recipe(name: &str, upstream: &str) -> toml::Table {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/recipes");
    let text = std::fs::read_to_string(folder.join(name)).expect("the recipe");
    let mut recipe: toml::Table = text.parse().expect("TOML");
    let routes = recipe["route"].as_table_mut().expect("routes");
    assert_eq!(routes.len(), 1, "{name}");
    for (_, route) in routes.iter_mut() {
        let route = route.as_table_mut().expect("a route");
        route.insert("upstream".to_owned(), upstream.into());
    }
    recipe
}

/// Copies `keys` from one table into another.
fn copy(from: &toml::Value, to: &mut toml::Value, keys: &[&str]) {
    let to = to.as_table_mut().expect("a table");
    for key in keys {
        to.insert((*key).to_owned(), from[*key].clone());
    }
}

fn push(text: &mut String, lines: &str) {
    text.push_str(lines);
    text.push('\n');
}

/// Secret files that others can read are refused.
fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("file can be written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("mode");
}
