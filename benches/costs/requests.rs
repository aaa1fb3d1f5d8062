//! Whole requests: the real gateway, a provider, an origin, somebody who
//! signed in.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::callgrind::Costs;
use crate::harness::browser::Browser;
use crate::harness::gateway::Plan;
use crate::harness::provider::{Provider, User};
use crate::harness::scene::session_cookie;
use crate::harness::until;
use crate::load;
use crate::origin::Origin;
use crate::report;
use crate::running::Running;
use crate::{Failure, profile};

/// So many requests go before those that count: caches and pools fill.
const WARM_UP: u64 = 300;

#[derive(Args)]
pub struct Options {
    /// Only this shape: public, signed-in, signed-in-64k.
    #[arg(long)]
    shape: Vec<String>,
    /// Requests of the shorter and of the longer run.
    #[arg(long, num_args = 2, default_values_t = [500, 2500])]
    lengths: Vec<u64>,
    /// Connections that stay open.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Another gateway than the one that was just built.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_vestibule"), hide_default_value = true)]
    gateway: PathBuf,
    /// Also print where the instructions go.
    #[arg(long)]
    profile: bool,
    /// Lines of each table of --profile.
    #[arg(long, default_value_t = 40)]
    top: usize,
    /// Print figures only; fail at no limit.
    #[arg(long)]
    no_limits: bool,
}

struct Shape {
    name: &'static str,
    path: &'static str,
    signed_in: bool,
    body: usize,
    /// Instructions per request that are too many.
    limit: u64,
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "public",
        path: "/public/item?page=2",
        signed_in: false,
        body: 1024,
        limit: 43_000,
    },
    Shape {
        name: "signed-in",
        path: "/app/item?page=2",
        signed_in: true,
        body: 1024,
        limit: 43_000,
    },
    Shape {
        name: "signed-in-64k",
        path: "/app/item?page=2",
        signed_in: true,
        body: 64 * 1024,
        limit: 45_000,
    },
];

pub fn run(options: &Options) -> Result<(), Failure> {
    let [few, many] = options.lengths[..] else {
        return Err("--lengths takes two numbers".to_owned());
    };
    if few >= many {
        return Err("--lengths: the second run must be longer".to_owned());
    }
    let unknown = |name: &&String| SHAPES.iter().all(|shape| shape.name != **name);
    if let Some(name) = options.shape.iter().find(unknown) {
        return Err(format!("there is no shape {name:?}"));
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let wanted = |shape: &&Shape| {
        options.shape.is_empty() || options.shape.iter().any(|name| name == shape.name)
    };
    let mut over = Vec::new();
    for shape in SHAPES.iter().filter(wanted) {
        report::progress(&format!("{}: {few} requests…", shape.name));
        let short = runtime.block_on(count(shape, few, options))?;
        report::progress(&format!("{}: {many} requests…", shape.name));
        let long = runtime.block_on(count(shape, many, options))?;
        let requests = many - few;
        let cost = long.total.saturating_sub(short.total) / requests;
        report::result(&format!(
            "{:<16} {:>9} instructions per request (limit {})",
            shape.name,
            report::grouped(cost),
            report::grouped(shape.limit)
        ));
        if options.profile {
            profile::print(&short, &long, requests, options.top);
        }
        if cost > shape.limit {
            over.push(shape.name);
        }
    }
    if over.is_empty() || options.no_limits {
        return Ok(());
    }
    Err(format!("over the limit: {}", over.join(", ")))
}

/// One life of a gateway under callgrind, with `requests` after the warm-up.
async fn count(shape: &Shape, requests: u64, options: &Options) -> Result<Costs, Failure> {
    let connections = options.connections;
    let provider = Provider::start("oidc-plain").await;
    let origin = Origin::start(shape.body, "\r\nx-forwarded-user: sub-ann\r\n").await?;
    let plan = plan(&provider.issuer, &origin);
    let gateway = Running::counted(&options.gateway, &plan).await?;
    provider.set(|script| script.user = User::ann());
    let browser = Browser::new();
    until::some("somebody signs in", || async {
        let answer = browser
            .try_open(&format!("{}/app/", plan.origin()))
            .await
            .ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    let cookie = format!("vestibule={}", session_cookie(&browser));
    let authority = format!("app.localhost:{}", plan.port());
    let head = load::head(&authority, shape.path, &cookie);
    let heads: Arc<[Vec<u8>]> = [head].into();
    let before = (origin.requests(), origin.named());
    load::send(gateway.address(), &heads, connections, WARM_UP).await?;
    load::send(gateway.address(), &heads, connections, requests).await?;
    let told = (origin.requests() - before.0, origin.named() - before.1);
    let named = if shape.signed_in { told.0 } else { 0 };
    if told != (WARM_UP + requests, named) {
        return Err(format!("the origin saw {told:?} requests and persons"));
    }
    // Some open and close with the load, none with a request.
    if origin.connections() > 4 * connections as u64 {
        let connections = origin.connections();
        return Err(format!(
            "{connections} connections to the origin: none is used twice"
        ));
    }
    gateway.costs().await
}

/// As people run it: an embedded store, the access log on, groups asked for.
fn plan(issuer: &str, origin: &Origin) -> Plan {
    let upstream = origin.address;
    Plan::bare(issuer)
        .log_level("info")
        .server("workers = 1")
        .limits("open_requests_per_minute = 1000000000")
        .route(&format!(
            "[route.app]\nupstream = \"http://{upstream}\"\naccess = [ {{ groups = [\"staff\"] }} ]\n\
             rules = [ {{ path = \"/public/*\", lane = \"public\" }} ]\n"
        ))
}
