//! File, environment and secret files become one checked configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::checked::{Config, HeaderSource, Server, Store};
use super::keys::Writing;
use super::problems::{Findings, Problem, Problems};
use super::provider;
use super::raw::RawConfig;
use super::route::Surroundings;
use super::session::RawStore;
use super::{
    admin, environment, keys, limits, log, pages, redis, route, server, session, shape, tree,
};

/// Where the configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `None`: the first of [`STANDARD_PLACES`] that exists.
    pub file: Option<PathBuf>,
    /// The variables of the process.
    pub environment: Vec<(String, String)>,
}

impl Sources {
    /// The variables of this process, and the file that was named, if any.
    /// Bytes that are not text are replaced, so that a variable of ours that
    /// holds them is refused rather than passed over.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let text = |(name, value): (OsString, OsString)| {
            let text = |text: OsString| text.to_string_lossy().into_owned();
            (text(name), text(value))
        };
        Self {
            file,
            environment: std::env::vars_os().map(text).collect(),
        }
    }
}

/// Searched in this order without `--config`.
pub const STANDARD_PLACES: [&str; 2] = ["./vestibule.toml", "/etc/vestibule/vestibule.toml"];

/// The name of the embedded database in its folder.
const DATABASE: &str = "vestibule.db";

/// A configuration that is good, though perhaps not wise.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Problem>,
}

/// Reads and checks everything; creates the key ring of a new embedded store.
///
/// # Errors
/// Every fault at once.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    from_sources(sources, Writing::Allowed)
}

/// As [`load`], but touches nothing: a key ring that `load` would create is
/// made up in memory.
///
/// # Errors
/// Every fault at once.
pub fn inspect(sources: &Sources) -> Result<Loaded, Problems> {
    from_sources(sources, Writing::Never)
}

/// A configuration that stands in memory. `origin` names it in messages,
/// relative paths start at `base_dir`.
///
/// # Errors
/// Every fault at once.
pub fn parse(
    text: &str,
    origin: &str,
    environment: &[(String, String)],
    base_dir: &Path,
) -> Result<Loaded, Problems> {
    checked(text, origin, environment, base_dir, Writing::Allowed)
}

fn from_sources(sources: &Sources, writing: Writing) -> Result<Loaded, Problems> {
    let file = match &sources.file {
        Some(file) => file.clone(),
        None => standard_place()?,
    };
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(&file).map_err(|error| {
        Problems::alone(
            &shown,
            format!("cannot be read: {error}"),
            "check the path and its permissions; --config FILE names another file",
        )
    })?;
    // the parent of a bare file name is an empty path
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let base_dir = parent.unwrap_or(Path::new("."));
    checked(&text, &shown, &sources.environment, base_dir, writing)
}

fn standard_place() -> Result<PathBuf, Problems> {
    let mut places = STANDARD_PLACES.iter().map(PathBuf::from);
    places.find(|place| place.exists()).ok_or_else(|| {
        Problems::alone(
            "no configuration file",
            format!("neither {} exists", STANDARD_PLACES.join(" nor ")),
            "write one of them, or name another file with --config FILE; config/minimal.toml is a beginning, and `vestibule demo` needs none",
        )
    })
}

fn checked(
    text: &str,
    origin: &str,
    environment: &[(String, String)],
    base_dir: &Path,
    writing: Writing,
) -> Result<Loaded, Problems> {
    let mut findings = Findings::new(origin);
    let schema = super::schema::schema();
    let mut tree = tree::parse(text, &mut findings);
    environment::overlay(&mut tree, environment, &schema, &mut findings);
    shape::check(&mut tree, &schema, &mut findings);
    let raw = RawConfig::deserialize(tree.into_json()).map_err(|error| {
        // the schema let through what the types do not take
        Problems::alone(
            origin,
            format!("cannot be read: {error}"),
            "please report this as a defect",
        )
    })?;
    let folders = Folders {
        environment,
        base_dir,
        writing,
    };
    let config = assemble(&raw, &folders, &mut findings);
    match config {
        Some(config) if !findings.has_errors() => Ok(Loaded {
            config,
            warnings: findings.into_problems().warnings,
        }),
        _ => Err(findings.into_problems()),
    }
}

struct Folders<'a> {
    environment: &'a [(String, String)],
    base_dir: &'a Path,
    writing: Writing,
}

/// Every section is checked, whatever the others say. `None` only together
/// with a fault.
fn assemble(raw: &RawConfig, folders: &Folders<'_>, findings: &mut Findings) -> Option<Config> {
    let base_dir = folders.base_dir;
    let server = server::check(&raw.server, findings);
    let admin = admin::check(&raw.admin, &server.listen, findings);
    let session = session::check(&raw.session, server.public_url.as_ref(), findings);
    let names = provider::names(&raw.provider);
    let mut providers = provider::check(&raw.provider, base_dir, findings);
    let around = Surroundings {
        providers: &names,
        public_url: server.public_url.as_ref(),
        cookie_domain: session.cookie_domain.as_deref(),
        same_site: session.same_site,
        listen: &server.listen,
    };
    let routes = route::check(&raw.route, &raw.route_defaults, &around, findings);
    let pages = pages::check(&raw.pages, base_dir, findings);
    let limits = limits::check(&raw.limits, findings);
    let store = store(raw, folders, findings);
    let database = match &store {
        Some(Store::Embedded { path }) => Some(path.as_path()),
        _ => None,
    };
    let keys = keys::check(&raw.keys, database, base_dir, folders.writing, findings);

    let wanted = routes.iter().flat_map(|route| &route.headers);
    for header in wanted {
        if let HeaderSource::Claim(claim) = &header.value {
            for provider in providers.values_mut() {
                if !provider.claims.extra.contains(claim) {
                    provider.claims.extra.push(claim.clone());
                }
            }
        }
    }
    Some(Config {
        server: Server {
            listen: server.listen,
            public_url: server.public_url?,
            prefix: server.prefix,
            trusted_proxies: server.trusted_proxies,
            return_to_hosts: server.return_to_hosts,
            workers: server.workers,
            runtime: server.runtime,
        },
        admin,
        session,
        store: store?,
        keys: keys?,
        providers,
        routes,
        pages,
        log: log::check(&raw.log),
        limits,
    })
}

fn store(raw: &RawConfig, folders: &Folders<'_>, findings: &mut Findings) -> Option<Store> {
    if raw.session.store == Some(RawStore::Redis) {
        if raw.session.path.is_some() {
            findings.error(
                "session.path",
                "has no meaning with session.store = \"redis\"",
                "remove it",
            );
        }
        let standard = super::redis::RawRedis::default();
        let raw = raw.redis.as_ref().unwrap_or(&standard);
        return redis::check(raw, folders.base_dir, findings).map(Store::Redis);
    }
    if raw.redis.is_some() {
        findings.error(
            "redis",
            "is configured, and session.store does not use it",
            "write store = \"redis\" in [session], or remove [redis]",
        );
    }
    let folder = session::folder(&raw.session, folders.environment, folders.base_dir);
    Some(Store::Embedded {
        path: folder.join(DATABASE),
    })
}
