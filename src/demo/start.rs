//! Starts both servers and says how the gateway in front of them is
//! configured.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::application::{Application, Revoker};
use super::control::Control;
use super::gateway::{CLIENT_ID, Gateway, PREFIX};
use super::grants::Grants;
use super::listening::serve;
use super::provider::{Client, Provider};
use super::signing::BadKey;
use crate::base::clock::Clock;
use crate::base::fault::{Blame, Fault};
use crate::base::random;

/// Why the demonstration cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("cannot use the data folder {}", .folder.display())]
    Folder {
        folder: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot listen on loopback")]
    Listen(#[source] std::io::Error),
    #[error("{} is damaged; delete the folder to begin anew", .file.display())]
    Key {
        file: PathBuf,
        #[source]
        cause: BadKey,
    },
}

impl Fault for DemoError {
    fn blame(&self) -> Blame {
        Blame::Operator
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "demo_folder",
            Self::Listen(_) => "demo_listen",
            Self::Key { .. } => "demo_key",
        }
    }
}

/// The running demonstration. Dropping it ends its servers.
pub struct Parts {
    /// TOML for the gateway, which listens on 127.0.0.1 and the given port.
    pub config: String,
    /// What to print once the gateway listens.
    pub greeting: String,
    /// Where the servers really are.
    pub application: SocketAddr,
    /// As the gateway reaches it.
    pub provider: SocketAddr,
    /// As browsers reach it, through the gateway.
    pub provider_pages: SocketAddr,
    pub control: Arc<Control>,
    revoker: Arc<OnceLock<Arc<dyn Revoker>>>,
    servers: JoinSet<()>,
}

impl Parts {
    /// Connects the button that ends a session; the first call counts.
    pub fn connect(&self, revoker: Arc<dyn Revoker>) {
        let _ = self.revoker.set(revoker);
    }

    /// How many servers still run; three until the end.
    pub fn running(&self) -> usize {
        self.servers.len()
    }
}

/// Starts the application and the provider for a gateway on `port`. Needs a
/// tokio runtime; keeps its data in `data_dir`, which is made if missing.
pub async fn start(port: u16, data_dir: &Path, token_life: Duration) -> Result<Parts, DemoError> {
    let folder_error = |cause| DemoError::Folder {
        folder: data_dir.to_owned(),
        cause,
    };
    let data_dir = prepare(data_dir).map_err(folder_error)?;
    let secret_file = data_dir.join("client_secret");
    let secret = client_secret(&secret_file).map_err(folder_error)?;
    let grants_file = data_dir.join("provider.json");
    let grants = Grants::open(&grants_file, Clock::system(), token_life).map_err(folder_error)?;
    let grants = Arc::new(grants);
    let control = Arc::new(Control::default());
    let revoker = Arc::new(OnceLock::new());
    let origin = format!("http://app.localhost:{port}");
    let issuer = format!("http://id.localhost:{port}");

    let provider = Provider::new(
        issuer.clone(),
        Client {
            id: CLIENT_ID.to_owned(),
            secret,
            redirect_uri: format!("{origin}{PREFIX}/callback"),
            origin: origin.clone(),
        },
        Arc::clone(&grants),
        Arc::clone(&control),
    )
    .map_err(|cause| DemoError::Key {
        file: grants_file,
        cause,
    })?;
    let application = Application {
        origin,
        issuer,
        prefix: PREFIX.to_owned(),
        grants,
        control: Arc::clone(&control),
        revoker: Arc::clone(&revoker),
    };

    let mut servers = JoinSet::new();
    let (listener, provider_at) = listen().await.map_err(DemoError::Listen)?;
    let provider = Arc::new(provider);
    let for_gateway = Arc::clone(&provider);
    servers.spawn(serve(listener, control.stops(), move |request| {
        let provider = Arc::clone(&for_gateway);
        async move { provider.answer(request).await }
    }));
    // Nothing stops the pages: their sender is gone from the start.
    let (_, never) = watch::channel(None);
    let (listener, pages_at) = listen().await.map_err(DemoError::Listen)?;
    servers.spawn(serve(listener, never.clone(), move |request| {
        let provider = Arc::clone(&provider);
        async move { provider.answer_browser(request).await }
    }));
    let (listener, application_at) = listen().await.map_err(DemoError::Listen)?;
    let application = Arc::new(application);
    servers.spawn(serve(listener, never, move |request| {
        let application = Arc::clone(&application);
        async move { application.answer(request).await }
    }));

    let gateway = Gateway {
        port,
        data_dir: &data_dir,
        token_life,
        secret_file: &secret_file,
        application: application_at,
        provider: provider_at,
        provider_pages: pages_at,
    };
    Ok(Parts {
        config: gateway.config(),
        greeting: gateway.greeting(),
        application: application_at,
        provider: provider_at,
        provider_pages: pages_at,
        control,
        revoker,
        servers,
    })
}

async fn listen() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn prepare(data_dir: &Path) -> std::io::Result<PathBuf> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)?;
    data_dir.canonicalize()
}

fn client_secret(file: &Path) -> std::io::Result<SecretString> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(SecretString::from(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = URL_SAFE_NO_PAD.encode(random::bytes::<32>());
            std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(file)?
                .write_all(text.as_bytes())?;
            Ok(SecretString::from(text))
        }
        Err(error) => Err(error),
    }
}
