//! The connection to the server and the task that owns it.
//!
//! The client library stays on a connection that stalls silently and on a
//! primary that became a replica. So the task here builds a new connection
//! beside the old one as soon as one of them is suspected, and swaps them.
//! While there is none, calls fail at once; nothing is sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::io::tcp::{TcpSettings, socket2};
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisError, ScriptInvocation, TlsCertificates, Value,
};
use secrecy::ExposeSecret;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::base::secret_file::LiveSecret;
use crate::config::checked;
use crate::session::store::StoreError;

const CONNECT: Duration = Duration::from_secs(1);
/// Between attempts to connect: short enough to be back within a second.
const PAUSE_LEAST: Duration = Duration::from_millis(50);
const PAUSE_MOST: Duration = Duration::from_millis(400);
/// How often an idle connection is tried.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// After this many checks the connection is renewed, so that a password that
/// was changed shows now and not at the next outage.
const CHECKS_PER_CONNECTION: u32 = 12;
const TIMEOUTS_ALLOWED: u32 = 2;
const USER_TIMEOUT: Duration = Duration::from_secs(5);

pub enum Request<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
}

struct Live {
    connection: MultiplexedConnection,
    /// In a row.
    timeouts: AtomicU32,
    suspected: Notify,
}

#[derive(Clone)]
enum State {
    /// The first attempt is under way: worth waiting for.
    Starting,
    Up(Arc<Live>),
    Down(StoreError),
}

pub struct Link {
    state: watch::Receiver<State>,
}

/// Where the server is and how to log in there. Talks to nobody.
pub struct Server {
    /// Without the password.
    info: ConnectionInfo,
    tls: bool,
    root_cert: Option<Vec<u8>>,
    password: Option<LiveSecret>,
}

fn refused(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("store.redis settings: {error}"))
}

impl Server {
    pub fn new(settings: &checked::Redis) -> Result<Self, StoreError> {
        let info = settings.url.as_str().into_connection_info();
        let info = info.map_err(refused)?;
        let mut login = info.redis_settings().clone();
        if let Some(username) = &settings.username {
            login = login.set_username(username);
        }
        let tls = match info.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                return Err(refused("the certificate must be checked"));
            }
            ConnectionAddr::TcpTls { .. } => true,
            _ => false,
        };
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(socket2::TcpKeepalive::new().with_time(CHECK_EVERY));
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(USER_TIMEOUT);
        let root_cert = settings.ca_file.as_ref().map(|path| {
            std::fs::read(path).map_err(|error| refused(format!("{}: {error}", path.display())))
        });
        let server = Self {
            info: info.set_redis_settings(login).set_tcp_settings(tcp),
            tls,
            root_cert: root_cert.transpose()?,
            password: settings.password.clone(),
        };
        server.client()?;
        Ok(server)
    }

    /// A client with the password of now.
    fn client(&self) -> Result<Client, StoreError> {
        let mut info = self.info.clone();
        if let Some(password) = &self.password {
            let login = info.redis_settings().clone();
            info = info.set_redis_settings(login.set_password(password.current().expose_secret()));
        }
        if !self.tls {
            return Client::open(info).map_err(refused);
        }
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: self.root_cert.clone(),
        };
        Client::build_with_tls(info, certificates).map_err(refused)
    }
}

impl Link {
    /// The task lives on the current runtime, until the link is dropped.
    pub fn start(server: Server, patience: Duration) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let (sender, state) = watch::channel(State::Starting);
        runtime.spawn(async move {
            let closed = sender.clone();
            tokio::select! {
                () = own(&server, &sender, patience) => {}
                () = closed.closed() => {}
            }
        });
        Ok(Self { state })
    }

    pub async fn call<T: FromRedisValue>(
        &self,
        request: Request<'_>,
        deadline: Duration,
    ) -> Result<T, StoreError> {
        let live = self.live(deadline).await?;
        let mut connection = live.connection.clone();
        let answer = async {
            match request {
                Request::Command(command) => command.query_async(&mut connection).await,
                Request::Script(script) => script.invoke_async(&mut connection).await,
            }
        };
        match timeout(deadline, answer).await {
            Ok(Ok(answer)) => {
                live.timeouts.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => {
                if wants_new_connection(&error) {
                    live.suspected.notify_one();
                }
                Err(meaning(&error))
            }
            Err(_) => {
                let in_a_row = live.timeouts.fetch_add(1, Ordering::Relaxed) + 1;
                if in_a_row >= TIMEOUTS_ALLOWED {
                    live.suspected.notify_one();
                }
                Err(late(deadline))
            }
        }
    }

    async fn live(&self, patience: Duration) -> Result<Arc<Live>, StoreError> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| !matches!(state, State::Starting));
        match timeout(patience, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Up(live) => Ok(Arc::clone(live)),
                State::Down(error) => Err(error.clone()),
                State::Starting => Err(late(patience)),
            },
            Ok(Err(_)) => Err(StoreError::Unavailable("connection task ended".into())),
            Err(_) => Err(late(patience)),
        }
    }
}

fn late(deadline: Duration) -> StoreError {
    StoreError::Unavailable(format!("no answer within {} ms", deadline.as_millis()))
}

/// Keeps one good connection in `state`.
async fn own(server: &Server, state: &watch::Sender<State>, patience: Duration) {
    let mut pause = PAUSE_LEAST;
    let mut warned = false;
    let mut attempt = connect(server).await;
    loop {
        match attempt {
            Ok(connection) => {
                pause = PAUSE_LEAST;
                let live = Arc::new(Live {
                    connection: connection.clone(),
                    timeouts: AtomicU32::new(0),
                    suspected: Notify::new(),
                });
                state.send_replace(State::Up(Arc::clone(&live)));
                if !warned {
                    warn_of_settings(connection).await;
                    warned = true;
                }
                attempt = successor(server, &live, patience).await;
            }
            Err(error) => {
                state.send_replace(State::Down(error));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MOST);
                attempt = connect(server).await;
            }
        }
    }
}

/// Waits until `live` wants replacing and connects beside it.
async fn successor(
    server: &Server,
    live: &Live,
    patience: Duration,
) -> Result<MultiplexedConnection, StoreError> {
    loop {
        let verdict = watch_over(live, patience).await;
        let attempt = connect(server).await;
        match (verdict, attempt) {
            (Verdict::Renew, Err(error)) => tracing::warn!(
                %error,
                "session store accepts no new connection; the present one goes on"
            ),
            (Verdict::Replace, attempt) => {
                // A server that breaks each connection at once is not flooded.
                tokio::time::sleep(PAUSE_LEAST).await;
                return attempt;
            }
            (Verdict::Renew, attempt) => return attempt,
        }
    }
}

enum Verdict {
    /// Something is wrong with it.
    Replace,
    /// Worked for long: see whether a new one would.
    Renew,
}

async fn watch_over(live: &Live, patience: Duration) -> Verdict {
    let mut failures = 0;
    for _ in 0..CHECKS_PER_CONNECTION {
        tokio::select! {
            () = live.suspected.notified() => return Verdict::Replace,
            () = tokio::time::sleep(CHECK_EVERY) => {}
        }
        match timeout(patience, check_role(live.connection.clone())).await {
            Ok(Ok(())) => failures = 0,
            Ok(Err(_)) => return Verdict::Replace,
            Err(_) if failures > 0 => return Verdict::Replace,
            Err(_) => failures += 1,
        }
    }
    Verdict::Renew
}

async fn connect(server: &Server) -> Result<MultiplexedConnection, StoreError> {
    // Deadlines are ours: the library's would hide which call was late.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None);
    let client = server.client()?;
    let attempt = async {
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| meaning(&error))?;
        check_role(connection.clone()).await?;
        Ok(connection)
    };
    timeout(CONNECT, attempt).await.map_err(|_| late(CONNECT))?
}

/// A replica refuses writes; a server that hides its role is taken to be fine.
async fn check_role(mut connection: MultiplexedConnection) -> Result<(), StoreError> {
    let role: Result<Vec<Value>, _> = ::redis::cmd("ROLE").query_async(&mut connection).await;
    match role {
        Ok(role) => match role.first() {
            Some(Value::BulkString(name)) if name != b"master" => {
                Err(StoreError::Refused("the server is a replica".into()))
            }
            _ => Ok(()),
        },
        Err(error) if wants_new_connection(&error) => Err(meaning(&error)),
        Err(_) => Ok(()),
    }
}

/// Says once what would lose sessions. Servers may forbid the question.
async fn warn_of_settings(mut connection: MultiplexedConnection) {
    let mut settings = Vec::new();
    for name in ["maxmemory-policy", "appendonly", "save"] {
        let mut command = ::redis::cmd("CONFIG");
        command.arg("GET").arg(name);
        let answer = command.query_async::<Vec<String>>(&mut connection);
        let Ok(Ok(pair)) = timeout(CONNECT, answer).await else {
            return;
        };
        settings.push(pair.into_iter().nth(1).unwrap_or_default());
    }
    // All our keys expire, so "volatile" means each of them.
    if !["", "noeviction"].contains(&settings[0].as_str()) {
        tracing::warn!(
            policy = settings[0],
            "session store evicts sessions when its memory is full; set maxmemory-policy noeviction"
        );
    }
    if settings[1] != "yes" && settings[2].is_empty() {
        tracing::warn!("session store keeps nothing over a restart; set appendonly yes");
    }
}

fn wants_new_connection(error: &RedisError) -> bool {
    const CODES: [&str; 6] = [
        "READONLY",
        "NOAUTH",
        "WRONGPASS",
        "LOADING",
        "MASTERDOWN",
        "CLUSTERDOWN",
    ];
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || error.kind() == ErrorKind::AuthenticationFailed
        || error.code().is_some_and(|code| CODES.contains(&code))
}

/// The library's messages name commands and addresses, never values.
fn meaning(error: &RedisError) -> StoreError {
    let text = error.to_string();
    match (error.code(), error.kind()) {
        (Some("NOAUTH" | "WRONGPASS" | "NOPERM"), _) | (_, ErrorKind::AuthenticationFailed) => {
            StoreError::Credentials(text)
        }
        (Some("READONLY" | "OOM" | "MISCONF" | "NOREPLICAS"), _) => StoreError::Refused(text),
        (Some("WRONGTYPE" | "CORRUPT"), _)
        | (_, ErrorKind::UnexpectedReturnType | ErrorKind::Parse) => StoreError::Corrupt(text),
        _ => StoreError::Unavailable(text),
    }
}
