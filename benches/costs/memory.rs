//! What a session costs in memory: in Redis, and in a gateway that knows it.

use std::path::{Path, PathBuf};

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::redis::Redis;
use crate::running::Running;
use crate::work::Size;
use crate::world::{World, first};
use crate::{Failure, load, page, report};

const CONNECTIONS: usize = 32;

/// What lies in Redis, by the letter in the names of its keys.
const KINDS: [(char, &str); 5] = [
    ('c', "ticket"),
    ('t', "tokens"),
    ('i', "identity"),
    ('l', "listing"),
    (
        's',
        "index entry (one by person, one by the provider's session)",
    ),
];

#[derive(Args)]
pub struct Options {
    /// Sessions in Redis.
    #[arg(long, default_value_t = 20_000)]
    sessions: usize,
    /// Sessions that the gateway knows; twice as many do not fit.
    #[arg(long, default_value_t = 50_000)]
    known: usize,
    /// Another gateway than the one that was just built.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_vestibule"), hide_default_value = true)]
    gateway: PathBuf,
    /// Puts the tables into benches/GROWTH.md.
    #[arg(long)]
    write: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let table = in_redis(options.sessions).await?;
        page::tell("redis", &table, options.write)?;
        let table = in_gateway(&options.gateway, options.known).await?;
        page::tell("process", &table, options.write)
    })
}

async fn in_redis(count: usize) -> Result<String, Failure> {
    report::progress(&format!("Redis: {count} sessions…"));
    let redis = Redis::start().await;
    let mut world = World::new(Size::USUAL).await?;
    world.plan = world.plan.redis(&redis.lines());
    // What comes once: scripts, marks of keys, buffers of connections.
    world.plant(0..1000, 0).await?;
    let empty = used(&redis).await?;
    world.plant(1000..1000 + count, 0).await?;
    let full = used(&redis).await?;
    let per_session = (full - empty) / count as u64;
    let mut table = "| record | bytes of memory |\n|---|---|\n".to_owned();
    for (letter, name) in KINDS {
        if let Some(bytes) = mean(&redis, letter).await? {
            table.push_str(&format!("| {name} | {bytes} |\n"));
        }
    }
    table.push_str(&format!(
        "| **all of a session** (`used_memory`) | **{}** |\n",
        report::grouped(per_session)
    ));
    let tracked = tracked(&redis).await?;
    table.push_str(&format!(
        "| each key that a gateway watches, once per gateway | {tracked} |\n"
    ));
    Ok(table)
}

async fn used(redis: &Redis) -> Result<u64, Failure> {
    let text = redis.ask("INFO memory").await;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| "no used_memory".to_owned())
}

/// Mean of MEMORY USAGE over some keys of a kind.
async fn mean(redis: &Redis, letter: char) -> Result<Option<u64>, Failure> {
    let pattern = format!("*:{letter}:*");
    let found = redis
        .command(&["SCAN", "0", "MATCH", &pattern, "COUNT", "2000"])
        .await;
    let (_, keys): (String, Vec<String>) =
        ::redis::from_redis_value(found).map_err(|error| error.to_string())?;
    let mut sum = 0;
    let mut count = 0;
    for key in keys.iter().take(100) {
        let usage = redis.command(&["MEMORY", "USAGE", key]).await;
        sum += ::redis::from_redis_value::<u64>(usage).map_err(|error| error.to_string())?;
        count += 1;
    }
    Ok((count > 0).then(|| sum / count))
}

/// What a server keeps for each key that it has promised to tell of, in bytes.
async fn tracked(redis: &Redis) -> Result<u64, Failure> {
    let broken = |error: std::io::Error| format!("Redis: {error}");
    let keys = redis.command(&["KEYS", "*:t:*"]).await;
    let keys: Vec<String> = ::redis::from_redis_value(keys).map_err(|error| error.to_string())?;
    let before = used(redis).await?;
    let stream = TcpStream::connect(redis.address()).await.map_err(broken)?;
    let (mut reader, mut writer) = stream.into_split();
    let mut orders = "HELLO 3\r\nCLIENT TRACKING ON\r\n".to_owned();
    for key in &keys {
        orders.push_str(&format!("EXISTS {key}\r\n"));
    }
    orders.push_str("ECHO that-is-all\r\n");
    let writing = async { writer.write_all(orders.as_bytes()).await.map_err(broken) };
    let reading = async {
        let mut answers = Vec::new();
        while memchr::memmem::find(&answers, b"that-is-all").is_none() {
            if reader.read_buf(&mut answers).await.map_err(broken)? == 0 {
                return Err("Redis closed the connection".to_owned());
            }
        }
        Ok(())
    };
    tokio::try_join!(writing, reading)?;
    let after = used(redis).await?;
    Ok(after.saturating_sub(before) / keys.len().max(1) as u64)
}

/// A gateway that has met so many people.
async fn in_gateway(gateway: &Path, count: usize) -> Result<String, Failure> {
    report::progress(&format!("process: {count} sessions are planted…"));
    let world = World::new(Size::USUAL).await?;
    let heads = first(&world.plant(0..count, count).await?, count);
    report::progress(&format!("process: {count} sessions are used…"));
    let running = Running::alone(gateway, &world.plan).await?;
    let few = first(&heads, 100);
    load::send(running.address(), &few, CONNECTIONS, 5000).await?;
    let before = running.memory()?;
    load::send(running.address(), &heads, CONNECTIONS, count as u64).await?;
    let after = running.memory()?;
    let mut spent = [0.0; 2];
    for (spent, heads) in spent.iter_mut().zip([&few, &heads]) {
        let begun = running.processor_time()?;
        load::send(running.address(), heads, CONNECTIONS, count as u64).await?;
        let time = running.processor_time()?.saturating_sub(begun);
        *spent = time.as_secs_f64() * 1e6 / count as f64;
    }
    running.end().await?;
    Ok(format!(
        "| | |\n|---|---|\n\
         | resident memory before | {} MiB |\n\
         | after requests of {} more people | {} MiB |\n\
         | each of them | {} bytes |\n\
         | CPU time per request, 100 people in turn | {:.1} µs |\n\
         | CPU time per request, all of them in turn | {:.1} µs |\n",
        before >> 20,
        report::grouped(count as u64),
        after >> 20,
        report::grouped(after.saturating_sub(before) / count as u64),
        spent[0],
        spent[1],
    ))
}
