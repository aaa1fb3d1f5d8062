//! The gateway as a value: started, drained.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::{readiness, self_test, store};
use crate::admin::{self, AdminState};
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::base::offload::Offload;
use crate::config::checked::{self, Config};
use crate::gate::Gate;
use crate::identity_headers::{Injection, ScrubList};
use crate::listener::{
    CertificateError, ListenError, Listener, LocalAddr, Running, ServeSettings, Tls,
};
use crate::login::{self, Login};
use crate::logout::{BackChannel, Logout};
use crate::page::Pages;
use crate::provider::{ProviderError, Providers, Refusal};
use crate::proxy::{CookieField, CookieFilter, Proxy, UnusableUpstream};
use crate::refresh::{self, Refresher};
use crate::route::{ReturnToPolicy, RouteTable};
use crate::server::{self, Equipment, Service, TunnelGuard};
use crate::session::cookie::{self, SessionCookies, Stripped};
use crate::session::sessions::{self, SessionError, Sessions};
use crate::session::store::StoreError;
use crate::telemetry::{AccessLog, Telemetry};

/// Why the gateway does not start. A provider or a Redis that is down is no
/// reason: both are waited for.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("session store: {0}")]
    Store(#[from] StoreError),
    #[error("keys.file: {0}")]
    Keys(#[from] SessionError),
    #[error("provider: {0}")]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("server.tls: {0}")]
    Certificate(#[from] CertificateError),
    #[error("upstream: {0}")]
    Upstream(#[from] UnusableUpstream),
    #[error("access log: {0}")]
    AccessLog(std::io::Error),
    #[error("admin.listen: {address} cannot be bound: {source}")]
    Admin {
        address: std::net::SocketAddr,
        source: std::io::Error,
    },
}

/// A gateway at work.
pub struct Gateway {
    running: Running,
    refresher: Refresher,
    admin: Arc<AdminState>,
    end_admin: watch::Sender<bool>,
    addresses: Vec<LocalAddr>,
    sessions: Arc<Sessions>,
    offload: Offload,
}

impl Gateway {
    /// Starts everything. Called on the control runtime, which keeps the slow
    /// work: logins, refreshes, store and provider connections.
    pub async fn start(config: &Config, clock: Clock) -> Result<Self, AppError> {
        let control = Handle::current();
        let offload = Offload::to(control.clone());
        let access_log = config
            .log
            .access
            .then(|| AccessLog::start(config.log.json, std::io::stdout()))
            .transpose()
            .map_err(AppError::AccessLog)?;
        let telemetry = Telemetry::new(access_log);
        let store::Opened {
            store,
            namespace,
            health,
        } = store::open(&config.store, &config.limits, &clock, &telemetry)?;
        let sessions = Sessions::new(
            store,
            config.keys.ring.clone(),
            clock.clone(),
            sessions::Settings {
                namespace: namespace.clone(),
                lifetime: config.session.lifetime,
                idle_timeout: config.session.idle_timeout,
            },
        );
        let mut sessions = sessions.caching(config.session.max_stale, control.clone());
        if let Some(journal) = store::journal(config, &namespace) {
            sessions = sessions.keeping(journal);
        }
        let sessions = Arc::new(sessions);
        sessions.keep_history(&control);
        let cached = Arc::downgrade(&sessions);
        telemetry.session_cache(move || {
            let sessions = cached.upgrade();
            sessions.map_or_else(Default::default, |sessions| sessions.cache_figures())
        });
        if matches!(config.store, checked::Store::Embedded { .. }) {
            // A Redis may be down now, or belong to others too; readiness
            // asks it. This store is ours alone: refuse at once.
            sessions.check_keys().await?;
        }
        let providers = Arc::new(Providers::new(
            &config.providers,
            &config.limits,
            clock.clone(),
        )?);
        let session_cookies = SessionCookies::new(&config.server, &config.session, clock.clone());
        let cookie_settings = session_cookies.settings();
        let refresher = Refresher::new(
            Arc::clone(&sessions),
            Arc::clone(&providers),
            telemetry.clone(),
            clock.clone(),
            refresh::Settings {
                identity_max_age: config.session.identity_max_age,
                outage_grace: config.session.outage_grace,
                provider_total: config.limits.provider_total,
            },
            control.clone(),
        );
        let gate = Gate::new(
            Arc::clone(&sessions),
            refresher.clone(),
            session_cookies.clone(),
            telemetry.clone(),
        );
        let login = Login::new(
            config,
            login::Parts {
                providers: Arc::clone(&providers),
                sessions: Arc::clone(&sessions),
                clock: clock.clone(),
                telemetry: telemetry.clone(),
                home: session_cookies.home_scope().clone(),
                namespace: namespace.clone(),
                control: control.clone(),
            },
        );
        let back_channel = BackChannel::new(
            Arc::clone(&sessions),
            Arc::clone(&providers),
            telemetry.clone(),
            clock.clone(),
            control.clone(),
        );
        let logout = Logout {
            sessions: Arc::clone(&sessions),
            providers: Arc::clone(&providers),
            ring: config.keys.ring.clone(),
            namespace,
            clock: clock.clone(),
            post_logout_redirect_uri: format!(
                "{}{}/sign_out",
                config.server.public_url, config.server.prefix
            ),
            offload: offload.clone(),
        };
        let equipment = config.routes.iter().enumerate().map(|(upstream, route)| {
            let injection = Injection::compile(route, config.providers.len() > 1);
            Equipment {
                injection,
                upstream,
            }
        });
        let service = Service::new(server::Parts {
            clock: clock.clone(),
            offload: offload.clone(),
            config: config.server.clone(),
            routes: RouteTable::compile(config),
            gate,
            login,
            logout,
            back_channel,
            pages: Pages::new(&config.pages, &config.server.prefix),
            pages_auto: config.pages.auto,
            proxy: Proxy::new(
                &config.routes,
                &config.limits,
                ScrubList::compile(&config.routes),
                CookieFilter {
                    strip: strip_own,
                    is_own: cookie::own_set_cookie,
                },
                &telemetry,
            )?,
            equipment: equipment.collect(),
            telemetry: telemetry.clone(),
            session_cookies,
            return_to: ReturnToPolicy::compile(config),
            providers: config
                .providers
                .values()
                .map(|provider| (provider.id.clone(), provider.name.clone()))
                .collect(),
            limits: config.limits.clone(),
            tunnel_guard: TunnelGuard::start(Arc::clone(&sessions), &control),
            trace: config.trace.clone(),
            log_decisions: config.log.decisions,
            shadow: config.shadow.clone(),
        });

        let admin = Arc::new(AdminState::new(
            telemetry.clone(),
            config.admin.ready_requires_store,
        ));
        let admin_listener = TcpListener::bind(config.admin.listen)
            .await
            .map_err(|source| AppError::Admin {
                address: config.admin.listen,
                source,
            })?;
        let tls = config.server.tls.as_ref();
        let tls = tls
            .map(|files| {
                // As many threads as workers, and nobody else's: a flood of
                // newcomers stands neither before requests nor before the
                // store's answers.
                let threads = Offload::to_threads("handshakes", config.server.workers);
                let threads = threads.map_err(ListenError::Workers)?;
                Ok::<_, AppError>(Tls::load(files, &config.limits, threads)?)
            })
            .transpose()?;
        let bound = Listener::bind(&config.server.listen)?;
        let addresses = bound.local_addrs();
        let (end_admin, mut admin_ends) = watch::channel(false);
        let admin_state = Arc::clone(&admin);
        control.spawn(async move {
            let ended = async {
                // Ready too when the gateway was dropped.
                let _ = admin_ends.changed().await;
            };
            admin::serve(admin_listener, admin_state, ended).await;
        });
        control.spawn(readiness::watch(
            Arc::clone(&sessions),
            Arc::clone(&admin),
            clock.clone(),
            health,
            cookie_settings,
        ));
        control.spawn(self_test::watch(
            config.clone(),
            clock.clone(),
            Arc::clone(&sessions),
            telemetry.clone(),
        ));
        let running = bound.serve(
            Arc::new(service),
            &ServeSettings {
                workers: config.server.workers,
                runtime: config.server.runtime,
                limits: config.limits.clone(),
                tls: tls.clone(),
                trusted: config.server.trusted_proxies.clone(),
            },
        )?;
        if let Some(tls) = tls {
            control.spawn(tls.follow());
        }
        for provider in providers.iter() {
            let provider = Arc::clone(provider);
            let telemetry = telemetry.clone();
            let admin = Arc::clone(&admin);
            // Warms discovery; a failure is retried by the first login, and
            // every few seconds once the provider counts as unreachable.
            control.spawn(async move {
                if let Err(error) = provider.metadata().await {
                    tracing::warn!(
                        provider.id = %provider.id(),
                        reason = error.reason(),
                        detail = %error,
                        "provider cannot be reached yet; sign-ins wait for it, sessions go on"
                    );
                }
                let id = &provider.id().0;
                let tell = |outage: Option<Refusal>| {
                    telemetry.provider_up(id, outage.is_none());
                    admin.provider(id, outage.map(|outage| outage.since));
                };
                provider.watch(tell).await;
            });
        }
        Ok(Self {
            running,
            refresher,
            admin,
            end_admin,
            addresses,
            sessions,
            offload,
        })
    }

    /// Where it listens, with the ports that the system chose.
    pub fn addresses(&self) -> &[LocalAddr] {
        &self.addresses
    }

    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Turns unready, stops accepting, lets requests and refreshes finish.
    pub async fn drain(self) {
        self.admin.drain();
        self.running.drain().await;
        // A refresh under way has spent a token: its commit is worth a wait,
        // and so is what the store was not told yet, and a sign-out whose
        // browser did not wait.
        let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(15);
        let unfinished =
            || self.refresher.under_way() + self.sessions.unsettled() + self.offload.unfinished();
        while unfinished() > 0 && tokio::time::Instant::now() < patience {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        // The last entries of histories; nobody is worse off without them.
        let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(1);
        while self.sessions.notes_waiting() > 0 && tokio::time::Instant::now() < patience {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        self.end_admin.send_replace(true);
    }
}

/// The proxy knows that some cookies are ours; which ones, `session` knows.
fn strip_own(field: &[u8]) -> CookieField {
    match cookie::strip_own(field) {
        Stripped::Unchanged => CookieField::Unchanged,
        Stripped::Kept(bytes) => http::HeaderValue::from_maybe_shared(bytes)
            // Part of a field that was one.
            .map_or(CookieField::Nothing, CookieField::Kept),
        Stripped::Nothing => CookieField::Nothing,
    }
}
