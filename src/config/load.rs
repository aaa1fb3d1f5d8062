//! File, environment and secret files become one checked configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::checked::{Config, HeaderSource, Route, Server, Shadow, Store};
use super::keys::Writing;
use super::problems::{Findings, Problem, Problems};
use super::provider;
use super::raw::RawConfig;
use super::route::Surroundings;
use super::session::RawStore;
use super::{
    admin, environment, issuer_lane, keys, limits, log, pages, redis, route, self_test, server,
    session, shadow, shape, trace, tree,
};
use crate::model::access::{Access, AccessRule};
use crate::model::identity::ProviderId;

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
    let folders = Folders {
        environment,
        base_dir,
        writing: Writing::Allowed,
        in_shadow: false,
    };
    checked(text, origin, &folders)
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
    let folders = Folders {
        environment: &sources.environment,
        base_dir: folder_of(&file),
        writing,
        in_shadow: false,
    };
    checked(&text, &shown, &folders)
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

/// The parent of a bare file name is an empty path.
fn folder_of(file: &Path) -> &Path {
    let parent = file.parent();
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn checked(text: &str, origin: &str, folders: &Folders<'_>) -> Result<Loaded, Problems> {
    let mut findings = Findings::new(origin);
    let schema = super::schema::schema();
    let mut tree = tree::parse(text, &mut findings);
    environment::overlay(&mut tree, folders.environment, &schema, &mut findings);
    shape::check(&mut tree, &schema, &mut findings);
    let raw = RawConfig::deserialize(tree.into_json()).map_err(|error| {
        // the schema let through what the types do not take
        Problems::alone(
            origin,
            format!("cannot be read: {error}"),
            "please report this as a defect",
        )
    })?;
    let config = assemble(&raw, folders, &mut findings);
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
    /// What is read is the shadow of another configuration.
    in_shadow: bool,
}

/// Every section is checked, whatever the others say. `None` only together
/// with a fault.
fn assemble(raw: &RawConfig, folders: &Folders<'_>, findings: &mut Findings) -> Option<Config> {
    let base_dir = folders.base_dir;
    let server = server::check(&raw.server, base_dir, findings);
    let admin = admin::check(&raw.admin, &server.listen, findings);
    let folder = session::folder(&raw.session, folders.environment, base_dir);
    let session = session::check(&raw.session, folder, server.public_url.as_ref(), findings);
    let names = provider::names(&raw.provider);
    let mut providers = provider::check(&raw.provider, base_dir, findings);
    let around = Surroundings {
        providers: &names,
        public_url: server.public_url.as_ref(),
        cookie_domain: session.cookie_domain.as_deref(),
        same_site: session.same_site,
        listen: &server.listen,
        base_dir,
    };
    let routes = route::check(&raw.route, &raw.route_defaults, &around, findings);
    issuer_lane::check(&providers, &routes, server.public_url.as_ref(), findings);
    let pages = pages::check(&raw.pages, base_dir, findings);
    let limits = limits::check(&raw.limits, findings);
    let store = store(raw, folders, &session.folder, findings);
    let database = match &store {
        Some(Store::Embedded { path }) => Some(path.as_path()),
        _ => None,
    };
    let keys = keys::check(&raw.keys, database, base_dir, folders.writing, findings);

    let self_test = self_test::check(&raw.self_test, findings);
    let trace = trace::check(&raw.trace, &names, findings);
    let shadow = shadow(raw, folders, findings);

    for route in &routes {
        for (claim, of) in wanted_claims(route) {
            let asked = providers
                .values_mut()
                .filter(|provider| of.is_none_or(|id| provider.id == *id));
            for provider in asked {
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
            tls: server.tls,
        },
        admin,
        session,
        store: store?,
        keys: keys?,
        providers,
        routes,
        pages,
        log: log::check(&raw.log, findings),
        limits,
        self_test,
        trace,
        shadow,
    })
}

/// Read like a configuration of its own, with the same environment, and
/// nothing is written for it.
fn shadow(raw: &RawConfig, folders: &Folders<'_>, findings: &mut Findings) -> Option<Shadow> {
    let file = shadow::check(&raw.shadow, folders.base_dir, folders.in_shadow, findings)?;
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) => {
            findings.error(
                "shadow.file",
                format!("{} cannot be read: {error}", file.display()),
                "correct the path or the permissions, or remove [shadow]",
            );
            return None;
        }
    };
    let of_shadow = |(name, _): &&(String, String)| !name.starts_with("VESTIBULE__SHADOW__");
    let environment: Vec<_> = folders
        .environment
        .iter()
        .filter(of_shadow)
        .cloned()
        .collect();
    let folders = Folders {
        environment: &environment,
        base_dir: folder_of(&file),
        writing: Writing::Never,
        in_shadow: true,
    };
    match checked(&text, &file.display().to_string(), &folders) {
        Ok(loaded) => {
            findings.include(Problems {
                errors: Vec::new(),
                warnings: loaded.warnings,
            });
            Some(Shadow {
                file,
                config: Box::new(loaded.config),
            })
        }
        Err(problems) => {
            findings.include(problems);
            None
        }
    }
}

/// The claims that a route puts into headers or judges by, and whose they are.
fn wanted_claims(route: &Route) -> Vec<(&String, Option<&ProviderId>)> {
    let mut out = Vec::new();
    for header in &route.headers {
        if let HeaderSource::Claim(claim) = &header.value {
            out.push((claim, None));
        }
    }
    let accesses = route.rules.iter().map(|rule| &rule.access);
    let accesses = accesses.chain([&route.access]).flatten();
    let mut people: Vec<&AccessRule> = accesses.flat_map(Access::rules).collect();
    people.extend(&route.deny);
    people.extend(route.rules.iter().flat_map(|rule| &rule.deny));
    for rule in people {
        out.extend(
            rule.claims
                .keys()
                .map(|claim| (claim, rule.provider.as_ref())),
        );
    }
    out
}

fn store(
    raw: &RawConfig,
    folders: &Folders<'_>,
    data: &Path,
    findings: &mut Findings,
) -> Option<Store> {
    if raw.session.store == Some(RawStore::Redis) {
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
    Some(Store::Embedded {
        path: data.join(DATABASE),
    })
}
