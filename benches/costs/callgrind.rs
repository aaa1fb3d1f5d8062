//! Running a program under callgrind, and the file that it leaves.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use crate::Failure;

/// The words that go before a program and its own arguments.
pub fn before(out: &Path) -> Vec<String> {
    [
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        &format!("--callgrind-out-file={}", out.display()),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Makes callgrind write down what was counted since the last time, into
/// `out` with the `number` of this dump behind it. Gives the total.
pub fn dump(process: u32, out: &Path, number: u32) -> Result<u64, Failure> {
    let told = Command::new("vgdb")
        .arg(format!("--pid={process}"))
        .arg("dump")
        .output()
        .map_err(|error| format!("vgdb, which comes with valgrind: {error}"))?;
    if !told.status.success() {
        let said = String::from_utf8_lossy(&told.stderr);
        return Err(format!("vgdb reaches no callgrind: {said}"));
    }
    let mut file = out.as_os_str().to_owned();
    file.push(format!(".{number}"));
    Ok(read(Path::new(&file))?.total)
}

/// Instructions of functions, by name.
#[derive(Debug, Default)]
pub struct Costs {
    pub total: u64,
    /// Of the function alone.
    pub own: HashMap<String, u64>,
    /// With everything that it called.
    pub inclusive: HashMap<String, u64>,
}

pub fn read(out: &Path) -> Result<Costs, Failure> {
    let text = std::fs::read(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let costs = parse(&String::from_utf8_lossy(&text));
    if costs.total == 0 {
        return Err(format!("{} counts nothing", out.display()));
    }
    Ok(costs)
}

/// The format of callgrind, as its manual describes it, for one kind of event
/// and positions by line. Names stand in full once and have a number after.
fn parse(text: &str) -> Costs {
    let mut costs = Costs::default();
    let mut names: HashMap<&str, String> = HashMap::new();
    let mut function = String::new();
    let mut called = String::new();
    let mut is_call = false;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("fn=") {
            function = name(rest, &mut names);
        } else if let Some(rest) = line.strip_prefix("cfn=") {
            called = name(rest, &mut names);
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if let Some(rest) = line.strip_prefix("totals:") {
            costs.total = rest.trim().parse().unwrap_or_default();
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split(' ').nth(1);
            let cost: u64 = cost.and_then(|text| text.parse().ok()).unwrap_or_default();
            if !is_call {
                *costs.own.entry(function.clone()).or_default() += cost;
            }
            // What a function spends in itself is in its cost already.
            if !is_call || called != function {
                *costs.inclusive.entry(function.clone()).or_default() += cost;
            }
            is_call = false;
        }
    }
    costs
}

fn name<'a>(text: &'a str, names: &mut HashMap<&'a str, String>) -> String {
    let (number, name) = text.split_once(' ').unwrap_or((text, ""));
    if name.is_empty() {
        return names.get(number).cloned().unwrap_or_default();
    }
    let name = plain(name);
    names.insert(number, name.clone());
    name
}

/// Without the hash of the symbol and the mark of a recursion.
fn plain(name: &str) -> String {
    let name = name.split('\'').next().unwrap_or(name);
    match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 => name.to_owned(),
        _ => name.to_owned(),
    }
}
