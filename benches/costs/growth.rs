//! How the cost of a request grows with what the gateway has to know.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::running::Running;
use crate::work::Size;
use crate::world::{World, first};
use crate::{Failure, load, page, report};

/// So many requests go before those that count.
const WARM_UP: u64 = 300;
/// Requests of the shorter and the longer run under callgrind.
const LENGTHS: [u64; 2] = [300, 1500];
/// Requests whose time on the processor is measured, without callgrind.
const TIMED: u64 = 10_000;
const CONNECTIONS: usize = 32;

#[derive(Args)]
pub struct Options {
    /// Only these tables: sessions, routes, groups, rules.
    #[arg(long)]
    table: Vec<String>,
    /// Most sessions in the embedded store.
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// Another gateway than the one that was just built.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_vestibule"), hide_default_value = true)]
    gateway: PathBuf,
    /// Puts the tables into benches/GROWTH.md.
    #[arg(long)]
    write: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(tables(options))
}

async fn tables(options: &Options) -> Result<(), Failure> {
    let wanted =
        |name: &str| options.table.is_empty() || options.table.iter().any(|one| one == name);
    let gateway = &options.gateway;
    if wanted("routes") {
        let sizes = [1, 10, 100, 1000].map(|routes| {
            (
                routes,
                Size {
                    routes,
                    ..Size::USUAL
                },
            )
        });
        let table = grown(gateway, "routes", &sizes).await?;
        page::tell("routes", &table, options.write)?;
    }
    if wanted("groups") {
        let sizes = [0, 20, 200, 2000].map(|groups| {
            (
                groups,
                Size {
                    groups,
                    ..Size::USUAL
                },
            )
        });
        let table = grown(gateway, "groups", &sizes).await?;
        page::tell("groups", &table, options.write)?;
    }
    if wanted("rules") {
        let sizes = [1, 8, 64].map(|rules| {
            (
                rules,
                Size {
                    rules,
                    ..Size::USUAL
                },
            )
        });
        let table = grown(gateway, "rules", &sizes).await?;
        page::tell("rules", &table, options.write)?;
    }
    if wanted("sessions") {
        let table = sessions(gateway, options.sessions).await?;
        page::tell("sessions", &table, options.write)?;
    }
    Ok(())
}

/// One row per size.
async fn grown(gateway: &Path, what: &str, sizes: &[(usize, Size)]) -> Result<String, Failure> {
    let mut table = format!(
        "| {what} | instructions | CPU time, µs |
|---|---|---|
"
    );
    for (count, size) in sizes {
        report::progress(&format!("{what}: {count}…"));
        let world = World::new(*size).await?;
        let heads = world.plant(0..1, 1).await?;
        let whole = counted(gateway, &world, &heads, &heads).await?;
        let time = timed(gateway, &world, &heads).await?;
        table.push_str(&format!(
            "| {} | {} | {time:.1} |\n",
            report::grouped(*count as u64),
            report::grouped(whole)
        ));
    }
    Ok(table)
}

async fn sessions(gateway: &Path, most: usize) -> Result<String, Failure> {
    let mut table = "| sessions in the store | used a moment ago, instructions | CPU time, µs | first request of a session, instructions |\n\
         |---|---|---|---|\n"
        .to_owned();
    let sizes = [1, 100, 10_000, 100_000, 1_000_000];
    for count in sizes.into_iter().filter(|count| *count <= most) {
        report::progress(&format!("sessions: {count} are planted…"));
        let world = World::new(Size::USUAL).await?;
        let heads = world.plant(0..count, 5000).await?;
        report::progress(&format!("sessions: {count}…"));
        let few = first(&heads, 100);
        let hot = counted(gateway, &world, &few, &few).await?;
        let time = timed(gateway, &world, &few).await?;
        // Each of them for the first time.
        let many = LENGTHS[1] as usize + few.len();
        let cold = if heads.len() >= many {
            let cost = counted(gateway, &world, &few, &heads[few.len()..]).await?;
            report::grouped(cost)
        } else {
            "–".to_owned()
        };
        table.push_str(&format!(
            "| {} | {} | {time:.1} | {cold} |\n",
            report::grouped(count as u64),
            report::grouped(hot)
        ));
    }
    Ok(table)
}

/// Instructions per request for `heads` in turn, after `warm` has gone before.
async fn counted(
    gateway: &Path,
    world: &World,
    warm: &[Vec<u8>],
    heads: &[Vec<u8>],
) -> Result<u64, Failure> {
    let mut totals = [0; 2];
    for (total, requests) in totals.iter_mut().zip(LENGTHS) {
        let running = Running::counted(gateway, &world.plan).await?;
        let before = world.origin.named();
        let address = running.address();
        load::send(address, &first(warm, warm.len()), CONNECTIONS, WARM_UP).await?;
        load::send(address, &first(heads, heads.len()), CONNECTIONS, requests).await?;
        let named = world.origin.named() - before;
        if named != WARM_UP + requests {
            return Err(format!("the origin was told of {named} people"));
        }
        *total = running.costs().await?.total;
    }
    Ok(totals[1].saturating_sub(totals[0]) / (LENGTHS[1] - LENGTHS[0]))
}

/// Time on the processor per request, in microseconds: the least of three.
async fn timed(gateway: &Path, world: &World, heads: &[Vec<u8>]) -> Result<f64, Failure> {
    let running = Running::alone(gateway, &world.plan).await?;
    let heads = first(heads, heads.len());
    load::send(running.address(), &heads, CONNECTIONS, TIMED / 10).await?;
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let before = running.processor_time()?;
        load::send(running.address(), &heads, CONNECTIONS, TIMED).await?;
        let spent = running.processor_time()?.saturating_sub(before);
        least = least.min(spent.as_secs_f64() * 1e6 / TIMED as f64);
    }
    running.end().await?;
    Ok(least)
}
