//! Real Redis servers on private ports, killed, stopped and started at will.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use ::redis::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::chaos::Chaos;
use super::process::Process;
use super::{port, until};

/// The name and password of the user that an access list admits.
pub const USER: &str = "gateway";
pub const PASSWORD: &str = "redis-tests-only-secret";

const LOCK: [&str; 4] = ["--requirepass", PASSWORD, "--masterauth", PASSWORD];

pub struct Redis {
    program: &'static str,
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
    process: Process,
}

impl Redis {
    /// Every write is on disk before it is answered.
    pub async fn start() -> Self {
        Self::with("", &[]).await
    }

    /// With more words on its command line.
    pub async fn start_with(words: &[&str]) -> Self {
        Self::with("", words).await
    }

    /// With `PASSWORD` for everybody, its replicas among them.
    pub async fn start_locked() -> Self {
        Self::with("", &LOCK).await
    }

    /// Copies `primary`, with the same password.
    pub async fn replica_of(primary: &Self) -> Self {
        let port = primary.port.to_string();
        let mut words = vec!["--replicaof", "127.0.0.1", &port];
        if primary.is_locked() {
            words.extend(LOCK);
        }
        Self::with("", &words).await
    }

    /// Valkey in place of Redis.
    pub async fn valkey(words: &[&str]) -> Self {
        Self::run("valkey-server", "", words).await
    }

    fn is_locked(&self) -> bool {
        self.arguments.iter().any(|word| word == LOCK[0])
    }

    /// With an access list: the default user is off.
    pub async fn with_access_list() -> Self {
        let users = format!("user default off\nuser {USER} on >{PASSWORD} ~* &* +@all\n");
        Self::with(&users, &[]).await
    }

    /// `users`: an access list; empty for none.
    async fn with(users: &str, words: &[&str]) -> Self {
        Self::run("redis-server", users, words).await
    }

    async fn run(program: &'static str, users: &str, words: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("vestibule-redis-")
            .tempdir()
            .expect("folder");
        let port = port::free();
        let mut arguments = vec![
            "--port".to_owned(),
            port.to_string(),
            "--bind".to_owned(),
            "127.0.0.1".to_owned(),
            "--unixsocket".to_owned(),
            folder.path().join("redis.sock").display().to_string(),
            "--dir".to_owned(),
            folder.path().display().to_string(),
            "--appendonly".to_owned(),
            "yes".to_owned(),
            "--appendfsync".to_owned(),
            "always".to_owned(),
            "--save".to_owned(),
            String::new(),
            // Tests do not wait for a second replica.
            "--repl-diskless-sync-delay".to_owned(),
            "0".to_owned(),
        ];
        arguments.extend(words.iter().map(|word| (*word).to_owned()));
        if !users.is_empty() {
            let file = folder.path().join("password");
            std::fs::write(&file, users).expect("file");
            arguments.extend(["--aclfile".to_owned(), file.display().to_string()]);
        }
        let process = run(program, &arguments);
        let mut redis = Self {
            program,
            folder,
            port,
            arguments,
            process,
        };
        redis.answers().await;
        redis
    }

    /// TLS on the same port instead of plain text, with a certificate of its own authority.
    pub async fn with_tls() -> Self {
        Self::with_tls_and(&[]).await
    }

    /// The same with more words on its command line.
    pub async fn with_tls_and(more: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("vestibule-redis-")
            .tempdir()
            .expect("folder");
        make_certificates(folder.path());
        let port = port::free();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let words = [
            ("--port", "0".to_owned()),
            ("--tls-port", port.to_string()),
            ("--bind", "127.0.0.1".to_owned()),
            ("--tls-cert-file", file("server.pem")),
            ("--tls-key-file", file("server.key")),
            ("--tls-ca-cert-file", file("ca.pem")),
            ("--tls-auth-clients", "no".to_owned()),
            ("--unixsocket", file("redis.sock")),
            ("--dir", folder.path().display().to_string()),
            ("--appendonly", "yes".to_owned()),
            ("--save", String::new()),
        ];
        let mut arguments: Vec<String> = words
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect();
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        let program = "redis-server";
        let process = run(program, &arguments);
        let mut redis = Self {
            program,
            folder,
            port,
            arguments,
            process,
        };
        redis.answers().await;
        redis
    }

    /// Waits until it has loaded its data.
    async fn answers(&mut self) {
        self.process.line("Ready to accept connections").await;
        let address = self.address();
        until::some("redis takes connections", || async move {
            TcpStream::connect(address).await.ok()
        })
        .await;
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Lines for `[redis]`, plain text over TCP.
    pub fn lines(&self) -> String {
        format!("url = \"redis://127.0.0.1:{}/0\"\n", self.port)
    }

    /// The same through a proxy.
    pub fn lines_through(chaos: &Chaos) -> String {
        format!("url = \"redis://{}/0\"\n", chaos.address)
    }

    pub fn lines_of_access_list(&self) -> String {
        let secret = self.folder.path().join("password-of-gateway");
        std::fs::write(&secret, PASSWORD).expect("file");
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("mode");
        format!(
            "url = \"redis://127.0.0.1:{}/0\"\nusername = \"{USER}\"\npassword_file = \"{}\"\n",
            self.port,
            secret.display()
        )
    }

    pub fn lines_of_tls(&self) -> String {
        format!(
            "url = \"rediss://127.0.0.1:{}/0\"\nca_file = \"{}\"\n",
            self.port,
            self.folder.path().join("ca.pem").display()
        )
    }

    pub fn lines_of_socket(&self) -> String {
        format!("url = \"redis+unix://{}\"\n", self.socket().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts again on the same port and data.
    pub async fn restart(&mut self) {
        self.kill();
        self.process = run(self.program, &self.arguments);
        self.answers().await;
    }

    /// Starts again and waits for nothing: it may be loading for a while.
    pub fn begin_restart(&mut self) {
        self.kill();
        self.process = run(self.program, &self.arguments);
    }

    /// Replaces the password of the user that the access list admits, and
    /// the file that holds it.
    pub async fn new_password(&self, password: &str, connections_end: bool) {
        let words = ["ACL", "SETUSER", USER, "resetpass", &format!(">{password}")];
        command_as(self.address(), (USER, PASSWORD), &words).await;
        if connections_end {
            let words = ["CLIENT", "KILL", "USER", USER, "SKIPME", "no"];
            let client =
                ::redis::Client::open(format!("redis://{USER}:{password}@{}/", self.address()))
                    .expect("address");
            let mut connection = client
                .get_multiplexed_async_connection()
                .await
                .expect("connects");
            // Its own connection ends too, with or without an answer.
            let mut command = ::redis::cmd(words[0]);
            command.arg(&words[1..]);
            drop(command.exec_async(&mut connection).await);
        }
    }

    /// Changes what the user of the access list may do.
    pub async fn allow(&self, rule: &str) {
        let words = ["ACL", "SETUSER", USER, rule];
        command_as(self.address(), (USER, PASSWORD), &words).await;
    }

    /// What the gateway reads as the password.
    pub fn hand_out(&self, password: &str) {
        std::fs::write(self.folder.path().join("password-of-gateway"), password).expect("file");
    }

    /// The folder of its data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Holds it still: connections stay open and nothing answers.
    pub fn stall(&self) {
        self.process.signal("STOP");
    }

    pub fn go_on(&self) {
        self.process.signal("CONT");
    }

    /// One command in Redis' inline form; the raw answer.
    pub async fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).await.expect("connects");
        stream
            .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
            .await
            .expect("writes");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("reads");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One command; panics on an error of the server.
    pub async fn command(&self, words: &[&str]) -> Value {
        command(&self.own_url(), words).await
    }

    /// Ends the connections that tell of changes (`CLIENT TRACKING`); gives how many.
    pub async fn kill_the_tracking(&self) -> usize {
        let clients = self.ask("CLIENT LIST").await;
        let mut killed = 0;
        for client in clients.lines() {
            let field = |name: &str| {
                let mut fields = client.split(' ');
                fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
            };
            if let (Some(id), Some(flags)) = (field("id"), field("flags"))
                && flags.contains('t')
            {
                // It may be gone by itself.
                killed += usize::from(
                    self.ask(&format!("CLIENT KILL ID {id}"))
                        .await
                        .starts_with(":1"),
                );
            }
        }
        killed
    }

    /// Listens to every command from now on.
    pub async fn monitor(&self) -> Monitor {
        let mut stream = TcpStream::connect(self.address()).await.expect("connects");
        stream.write_all(b"MONITOR\r\n").await.expect("writes");
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next_line().await.expect("reads");
        assert_eq!(first.as_deref(), Some("+OK"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        let listener = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().expect("heard").push(line);
            }
        });
        Monitor { heard, listener }
    }

    fn own_url(&self) -> String {
        let login = if self.is_locked() {
            format!("?pass={PASSWORD}")
        } else {
            String::new()
        };
        format!("redis+unix://{}{login}", self.socket().display())
    }

    /// What it says of its role; `None` while it does not. Sentinels end the
    /// connections of a server whose role they change.
    pub async fn role(&self) -> Option<Vec<Value>> {
        match attempt(&self.own_url(), &["ROLE"]).await {
            Ok(Value::Array(role)) => Some(role),
            _ => None,
        }
    }

    /// Sets what the words of a command line would, now and for each restart.
    pub async fn settle_on(&mut self, words: &[&str]) {
        for pair in words.chunks(2) {
            let name = pair[0].trim_start_matches("--");
            self.command(&["CONFIG", "SET", name, pair[1]]).await;
        }
        self.arguments
            .extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// Waits until `count` replicas are connected and have confirmed a write.
    pub async fn replicas(&self, count: usize) {
        until::some("replicas are connected", || async {
            (self.confirming().await? == count).then_some(())
        })
        .await;
    }

    /// Whether one replica is connected and has confirmed a write.
    pub async fn has_its_replica(&self) -> bool {
        self.confirming().await == Some(1)
    }

    /// Replicas that are connected; `None` if one of them has confirmed
    /// nothing yet, or this is no primary.
    async fn confirming(&self) -> Option<usize> {
        let role = self.role().await?;
        let Some(Value::Array(replicas)) = role.get(2) else {
            return None;
        };
        // One that has confirmed nothing yet shows offset 0.
        let confirmed = |replica: &Value| match replica {
            Value::Array(told) => match told.get(2) {
                Some(Value::BulkString(offset)) => offset != b"0",
                _ => false,
            },
            _ => false,
        };
        replicas.iter().all(confirmed).then_some(replicas.len())
    }

    /// Whether it copies the server at that port at this moment.
    pub async fn follows(&self, port: u16) -> bool {
        let Some(role) = self.role().await else {
            return false;
        };
        role.get(2) == Some(&Value::Int(port.into()))
            && role.get(3) == Some(&Value::BulkString(b"connected".to_vec()))
    }

    /// Everything it ever wrote to disk, for the search for secrets.
    pub fn bytes_on_disk(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        gather(self.folder.path(), &mut bytes);
        bytes
    }
}

/// What a server was asked, line by line (`MONITOR`).
pub struct Monitor {
    heard: Arc<Mutex<Vec<String>>>,
    listener: tokio::task::JoinHandle<()>,
}

impl Monitor {
    /// Everything that was asked until now, since the last call.
    pub async fn heard(&self, redis: &Redis) -> Vec<String> {
        let mark = vestibule::base::random::reference();
        redis.ask(&format!("ECHO {mark}")).await;
        let is_mark = |line: &String| line.contains(&mark);
        until::holds("the monitor has heard the last of it", || {
            self.heard.lock().expect("heard").iter().any(is_mark)
        })
        .await;
        let mut heard = self.heard.lock().expect("heard");
        let end = heard.iter().position(is_mark).expect("the mark");
        let rest = heard.split_off(end + 1);
        heard.truncate(end);
        std::mem::replace(&mut heard, rest)
    }

    /// The readings of tickets and sessions among it.
    pub async fn readings(&self, redis: &Redis) -> Vec<String> {
        let mut heard = self.heard(redis).await;
        heard.retain(|line| {
            line.contains("\"GET\" \"vestibule:c:") || line.contains("\"MGET\" \"vestibule:t:")
        });
        heard
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// One command to the server at `address`, as a user with a password.
pub async fn command_as(
    address: SocketAddr,
    (name, password): (&str, &str),
    words: &[&str],
) -> Value {
    command(&format!("redis://{name}:{password}@{address}/"), words).await
}

/// Asked again where the connection broke: a server that changes its role, or
/// was told to, ends the connections of everybody.
async fn command(url: &str, words: &[&str]) -> Value {
    let client = ::redis::Client::open(url).expect("address");
    // The library's own deadline is short for a machine under load.
    let config = ::redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(std::time::Duration::from_secs(5)))
        .set_response_timeout(Some(std::time::Duration::from_secs(20)));
    let mut command = ::redis::cmd(words[0]);
    command.arg(&words[1..]);
    until::some("redis answers", || async {
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .ok()?;
        match command.query_async(&mut connection).await {
            Ok(answer) => Some(answer),
            Err(error) if error.is_io_error() || error.is_connection_dropped() => None,
            Err(error) => panic!("{words:?}: {error}"),
        }
    })
    .await
}

async fn attempt(url: &str, words: &[&str]) -> ::redis::RedisResult<Value> {
    let client = ::redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut command = ::redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await
}

fn gather(folder: &Path, bytes: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            gather(&path, bytes);
        } else if path.is_file() && !path.to_string_lossy().contains("/password") {
            bytes.extend(std::fs::read(&path).expect("file"));
        }
    }
}

fn run(program: &str, arguments: &[String]) -> Process {
    Process::spawn(program, Command::new(program).args(arguments))
}

fn make_certificates(folder: &Path) {
    let openssl = |words: &str| {
        let output = Command::new("openssl")
            .args(words.split(' '))
            .current_dir(folder)
            .output()
            .expect("openssl runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    std::fs::write(
        folder.join("names"),
        "subjectAltName=IP:127.0.0.1,DNS:localhost\n",
    )
    .expect("file");
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=tests",
    );
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=127.0.0.1",
    );
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
    );
}
