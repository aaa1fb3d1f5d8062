//! How the cost of a request grows with what the gateway has to know.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use crate::running::Running;
use crate::work::Size;
use crate::world::{World, first};
use crate::{Failure, crowd, load, page, report};

/// So many requests go before those that count.
const WARM_UP: u64 = 600;
/// Requests of the shorter and the longer stretch that are counted.
const LENGTHS: [u64; 2] = [300, 1500];
/// Requests whose time on the processor is measured, without callgrind.
const TIMED: u64 = 10_000;
const CONNECTIONS: usize = 32;
/// Most people who ask in turn and are known by then.
const KNOWN: usize = 100;
/// People who ask once, for the first time.
const NEW: usize = (LENGTHS[0] + LENGTHS[1]) as usize;
/// More sessions than these are copies: see [`crowd`].
const REAL: usize = 10_000;
/// What is kept of a session in the embedded store takes about so much disk.
const ON_DISK: u64 = 8 * 1024;
const DATABASE: &str = "vestibule.db";

const TABLES: [&str; 4] = ["routes", "groups", "rules", "sessions"];

#[derive(Args)]
pub struct Options {
    /// Only this table; may be given several times.
    #[arg(long, value_parser = TABLES)]
    table: Vec<String>,
    /// Most sessions in the embedded store; a million of them take some 8 GB
    /// in the folder for temporary files.
    #[arg(long, default_value_t = 1_000_000)]
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
    let began = Instant::now();
    runtime.block_on(async {
        for table in TABLES {
            if options.table.is_empty() || options.table.iter().any(|one| one == table) {
                let text = rows(table, options, began).await?;
                page::tell(table, &text, options.write)?;
            }
        }
        Ok(())
    })
}

/// One row.
struct Row {
    /// What its first column says.
    count: usize,
    size: Size,
    people: usize,
    /// So many of them ask in turn.
    known: usize,
}

fn sizes(table: &str, most: usize) -> Vec<Row> {
    let row = |count, size, people| Row {
        count,
        size,
        people,
        known: 1,
    };
    let usual = Size::USUAL;
    let routes = |routes| row(routes, Size { routes, ..usual }, 1);
    let groups = |groups| row(groups, Size { groups, ..usual }, 1 + NEW);
    let rules = |rules| row(rules, Size { rules, ..usual }, 1);
    let sessions = |sessions| Row {
        known: KNOWN.min(sessions),
        ..row(sessions, usual, sessions)
    };
    match table {
        "routes" => [1, 10, 100, 1000].map(routes).into(),
        "groups" => [0, 10, 100, 500, 2000].map(groups).into(),
        "rules" => [1, 8, 64].map(rules).into(),
        _ => [1, 100, 10_000, 100_000, 1_000_000]
            .into_iter()
            .filter(|count| *count <= most)
            .map(sessions)
            .collect(),
    }
}

async fn rows(table: &str, options: &Options, began: Instant) -> Result<String, Failure> {
    let has_start = table == "routes";
    let has_new = matches!(table, "groups" | "sessions");
    let mut text = format!("| {table} | known session, instructions | the same, CPU time, µs |");
    let mut line = "\n|---|---|---|".to_owned();
    if has_new {
        text.push_str(" first request of a session, instructions |");
        line.push_str("---|");
    }
    if has_start {
        text.push_str(" start, million instructions |");
        line.push_str("---|");
    }
    text.push_str(&line);
    let sizes = sizes(table, options.sessions);
    for (number, row) in sizes.iter().enumerate() {
        report::progress(&format!(
            "{table} {} of {}: {} … ({} s so far)",
            number + 1,
            sizes.len(),
            report::grouped(row.count as u64),
            began.elapsed().as_secs()
        ));
        let cost = cost(&options.gateway, row, has_new).await?;
        text.push_str(&format!(
            "\n| {} | {} | {:.1} |",
            report::grouped(row.count as u64),
            report::grouped(cost.known),
            cost.time
        ));
        if has_new {
            let new = cost.new.map_or("–".to_owned(), report::grouped);
            text.push_str(&format!(" {new} |"));
        }
        if has_start {
            text.push_str(&format!(" {} |", report::grouped(cost.start / 1_000_000)));
        }
    }
    text.push('\n');
    Ok(text)
}

struct Cost {
    /// Instructions until it serves.
    start: u64,
    /// Instructions of a request whose session is known.
    known: u64,
    /// Instructions of the first request of a session.
    new: Option<u64>,
    /// Time on the processor of a request whose session is known, in µs.
    time: f64,
}

/// One world of its own, with the gateway in it twice: under callgrind, and
/// alone.
async fn cost(gateway: &Path, row: &Row, wants_new: bool) -> Result<Cost, Failure> {
    let begun = Instant::now();
    let step =
        |name: &str| report::progress(&format!("  {name} ({} s)", begun.elapsed().as_secs()));
    let world = World::new(row.size).await?;
    has_room(world.plan.folder(), row.people)?;
    let real = row.people.min(REAL);
    let heads = world.plant(0..real, row.known + NEW).await?;
    if real < row.people {
        crowd::gather(&world.plan.folder().join(DATABASE), real, row.people)?;
    }
    step("planted");
    let (known, new) = heads.split_at(row.known);
    let mut running = Running::counted(gateway, &world.plan).await?;
    step("serves under callgrind");
    running.store_is_looked_through().await?;
    step("store looked through");
    let start = running.spent().await?;
    let warm = first(known, row.known);
    load::send(running.address(), &warm, CONNECTIONS, WARM_UP).await?;
    running.spent().await?;
    let told = world.origin.named();
    let known = counted(&mut running, [&warm, &warm]).await?;
    let (short, long) = new.split_at(new.len().min(LENGTHS[0] as usize));
    let new = if wants_new && long.len() as u64 >= LENGTHS[1] {
        Some(counted(&mut running, [&first(short, NEW), &first(long, NEW)]).await?)
    } else {
        None
    };
    let asked = (1 + u64::from(new.is_some())) * NEW as u64;
    if world.origin.named() - told != asked {
        return Err("the origin was not told of everybody".to_owned());
    }
    step("counted");
    running.end().await?;
    let time = timed(gateway, &world, &warm).await?;
    Ok(Cost {
        start,
        known,
        new,
        time,
    })
}

/// Planting stops nowhere near the end of a disk that others use too.
fn has_room(folder: &Path, people: usize) -> Result<(), Failure> {
    let told = std::process::Command::new("df")
        .args(["--output=avail", "-B1"])
        .arg(folder)
        .output()
        .map_err(|error| format!("df: {error}"))?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let free: u64 = told
        .split_whitespace()
        .last()
        .and_then(|number| number.parse().ok())
        .ok_or("df tells nothing")?;
    if free < 2 * ON_DISK * people as u64 {
        return Err(format!(
            "{} sessions need more room than {} has; TMPDIR names another folder, --sessions another number",
            report::grouped(people as u64),
            folder.display()
        ));
    }
    Ok(())
}

/// Instructions per request: the difference of two stretches, so that opening
/// and closing the connections cancels out.
async fn counted(running: &mut Running, heads: [&Heads; 2]) -> Result<u64, Failure> {
    let mut totals = [0; 2];
    for ((total, requests), heads) in totals.iter_mut().zip(LENGTHS).zip(heads) {
        load::send(running.address(), heads, CONNECTIONS, requests).await?;
        *total = running.spent().await?;
    }
    Ok(totals[1].saturating_sub(totals[0]) / (LENGTHS[1] - LENGTHS[0]))
}

type Heads = std::sync::Arc<[Vec<u8>]>;

/// Time on the processor per request, in microseconds: the least of three.
async fn timed(gateway: &Path, world: &World, heads: &Heads) -> Result<f64, Failure> {
    let running = Running::alone(gateway, &world.plan).await?;
    running.store_is_looked_through().await?;
    load::send(running.address(), heads, CONNECTIONS, TIMED / 10).await?;
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let before = running.processor_time()?;
        load::send(running.address(), heads, CONNECTIONS, TIMED).await?;
        let spent = running.processor_time()?.saturating_sub(before);
        least = least.min(spent.as_secs_f64() * 1e6 / TIMED as f64);
    }
    running.end().await?;
    Ok(least)
}
