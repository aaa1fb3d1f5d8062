//! Pieces of the hot path, each in a process of its own that repeats it.

use std::hint::black_box;
use std::process::Command;

use clap::Args;

use crate::Failure;
use crate::callgrind;
use crate::report;
use crate::work::{Bench, Size};

/// Far apart: what a process does before it begins differs by some hundred
/// thousand instructions from one time to the next.
const LENGTHS: [u64; 2] = [1_000, 31_000];

#[derive(Args)]
pub struct Options {
    /// Only these pieces.
    #[arg(long)]
    piece: Vec<String>,
    /// Print figures only; fail at no limit.
    #[arg(long)]
    no_limits: bool,
}

/// One piece, repeated; what callgrind looks at.
#[derive(Args)]
pub struct Repeat {
    piece: String,
    times: u64,
}

pub struct Piece {
    pub name: &'static str,
    what: &'static str,
    /// Instructions that are too many.
    limit: u64,
}

const PIECES: [Piece; 9] = [
    piece(
        "cookie",
        "session cookie found, decoded, MAC checked",
        4_500,
    ),
    piece(
        "session",
        "a session that was used a moment ago, known",
        560,
    ),
    piece("target", "path and host checked", 1_650),
    piece("route", "host and path to route", 650),
    piece("policy", "lane and decision", 1_000),
    piece(
        "head",
        "the head that the upstream gets: scrub and inject",
        8_200,
    ),
    piece("render", "headers of one person, once per session", 7_200),
    piece("log", "metrics and access log line", 1_050),
    piece("page", "a page that says what is wrong", 19_000),
];

const fn piece(name: &'static str, what: &'static str, limit: u64) -> Piece {
    Piece { name, what, limit }
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let unknown = |name: &&String| PIECES.iter().all(|piece| piece.name != **name);
    if let Some(name) = options.piece.iter().find(unknown) {
        return Err(format!("there is no piece {name:?}"));
    }
    let wanted = |piece: &&Piece| {
        options.piece.is_empty() || options.piece.iter().any(|name| name == piece.name)
    };
    let mut over = Vec::new();
    for piece in PIECES.iter().filter(wanted) {
        let cost = cost(piece.name)?;
        report::result(&format!(
            "{:<8} {:>7} instructions (limit {:>7})  {}",
            piece.name,
            report::grouped(cost),
            report::grouped(piece.limit),
            piece.what
        ));
        if cost > piece.limit {
            over.push(piece.name);
        }
    }
    if over.is_empty() || options.no_limits {
        return Ok(());
    }
    Err(format!("over the limit: {}", over.join(", ")))
}

/// Instructions of one piece, once.
fn cost(piece: &str) -> Result<u64, Failure> {
    let [short, long] = LENGTHS;
    let few = counted(piece, short)?;
    let many = counted(piece, long)?;
    Ok(many.saturating_sub(few) / (long - short))
}

fn counted(piece: &str, times: u64) -> Result<u64, Failure> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let out = folder.path().join("callgrind.out");
    let words = callgrind::before(&out);
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(&words[0])
        .args(&words[1..])
        .arg(own)
        .args(["repeat", piece, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{piece} ends with {}: {said}", output.status));
    }
    Ok(callgrind::read(&out)?.total)
}

/// Runs a piece so many times, and checks that it does what it should.
pub fn repeat(options: &Repeat) -> Result<(), Failure> {
    let bench = Bench::new(Size::USUAL)?;
    let target = bench.target().ok_or("not a target")?;
    let route = bench.route(&target).ok_or("no route")?;
    let rewrite = bench.scrub_and_inject()?;
    let render = bench.render();
    let reference = bench.reference();
    let times = |work: &dyn Fn() -> bool| {
        let all = (0..options.times).all(|_| black_box(work()));
        all.then_some(())
            .ok_or_else(|| format!("{} does not do what it should", options.piece))
    };
    match options.piece.as_str() {
        "cookie" => times(&|| bench.cookie()),
        "session" => times(&|| bench.session()),
        "target" => times(&|| black_box(bench.target()).is_some()),
        "route" => times(&|| black_box(bench.route(&target)).is_some()),
        "policy" => times(&|| bench.policy(route, &target)),
        "head" => times(&rewrite),
        "render" => times(&render),
        "log" => times(&|| {
            bench.log_line(&reference);
            true
        }),
        "page" => times(&|| bench.page()),
        other => Err(format!("there is no piece {other:?}")),
    }
}
