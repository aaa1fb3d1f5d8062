//! How a connection is made: address, login and certificates. Deadlines are
//! the callers'.

use std::time::Duration;

use ::redis::aio::{AsyncPushSender, MultiplexedConnection};
use ::redis::io::tcp::{TcpSettings, socket2};
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, TlsCertificates,
};
use secrecy::ExposeSecret;

use super::refusal::meaning;
use crate::base::secret_file::LiveSecret;
use crate::config::checked::{self, HostPort};
use crate::session::store::StoreError;

const CONNECT: Duration = Duration::from_secs(1);
const KEEPALIVE: Duration = Duration::from_secs(5);
const USER_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    Tcp(HostPort),
    Socket(std::path::PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(host) => host.fmt(f),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

/// Who logs in.
struct Login {
    username: Option<String>,
    password: Option<LiveSecret>,
    database: u16,
}

/// Talks to nobody before it is told to.
pub struct Dialer {
    login: Login,
    /// `None`: plain text. The certificates to trust; none are the system's.
    tls: Option<Option<Vec<u8>>>,
}

fn refused(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("store.redis settings: {error}"))
}

impl Dialer {
    /// For the servers that hold data.
    pub fn new(settings: &checked::Redis) -> Result<Self, StoreError> {
        let login = Login {
            username: settings.username.clone(),
            password: settings.password.clone(),
            database: settings.url.database,
        };
        Self::with(login, settings)
    }

    /// For the sentinels, which know other users and no databases.
    pub fn of_sentinels(settings: &checked::Redis) -> Result<Self, StoreError> {
        let login = Login {
            username: settings.sentinel_username.clone(),
            password: settings.sentinel_password.clone(),
            database: 0,
        };
        Self::with(login, settings)
    }

    fn with(login: Login, settings: &checked::Redis) -> Result<Self, StoreError> {
        let certificates = settings.ca_file.as_ref().map(|path| {
            std::fs::read(path).map_err(|error| refused(format!("{}: {error}", path.display())))
        });
        let certificates = certificates.transpose()?;
        Ok(Self {
            login,
            tls: settings.url.tls.then_some(certificates),
        })
    }

    /// A client with the password of now.
    fn client(&self, address: &Address, protocol: ProtocolVersion) -> Result<Client, StoreError> {
        let mut login = RedisConnectionInfo::default()
            .set_db(i64::from(self.login.database))
            .set_protocol(protocol);
        if let Some(username) = &self.login.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.login.password {
            login = login.set_password(password.current().expose_secret());
        }
        let place = match address {
            Address::Socket(path) => ConnectionAddr::Unix(path.clone()),
            Address::Tcp(HostPort { host, port }) if self.tls.is_some() => ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
            Address::Tcp(HostPort { host, port }) => ConnectionAddr::Tcp(host.clone(), *port),
        };
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(socket2::TcpKeepalive::new().with_time(KEEPALIVE));
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(USER_TIMEOUT);
        let info: ConnectionInfo = place.into_connection_info().map_err(refused)?;
        let info = info.set_redis_settings(login).set_tcp_settings(tcp);
        match &self.tls {
            None => Client::open(info).map_err(refused),
            Some(certificates) => {
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: certificates.clone(),
                };
                Client::build_with_tls(info, certificates).map_err(refused)
            }
        }
    }

    pub async fn dial(&self, address: &Address) -> Result<MultiplexedConnection, StoreError> {
        self.connect(address, ProtocolVersion::RESP2, config())
            .await
    }

    /// The same, and `hear` gets what the server says without being asked,
    /// in the order of its answers.
    pub async fn dial_hearing(
        &self,
        address: &Address,
        hear: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, StoreError> {
        let config = config().set_push_sender(hear);
        self.connect(address, ProtocolVersion::RESP3, config).await
    }

    async fn connect(
        &self,
        address: &Address,
        protocol: ProtocolVersion,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, StoreError> {
        let client = self.client(address, protocol)?;
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        connection.await.map_err(|error| meaning(&error))
    }
}

/// Deadlines of answers are ours: the library's would hide which call was
/// late.
fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None)
}
