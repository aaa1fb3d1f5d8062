//! Where the instructions go: the difference of two runs, by function.

use crate::callgrind::Costs;
use crate::report;

/// Longer names are cut: they are generic parameters by then.
const WIDEST: usize = 140;

/// Prints the dearest functions of `long` less `short`, per request.
pub fn print(short: &Costs, long: &Costs, requests: u64, top: usize) {
    report::result("\n  with everything called, our functions:");
    let ours = difference(&short.inclusive, &long.inclusive, requests);
    for (name, cost) in ours
        .iter()
        .filter(|(name, _)| name.contains("vestibule"))
        .take(top)
    {
        print_line(name, *cost);
    }
    report::result("\n  alone, all functions:");
    for (name, cost) in difference(&short.own, &long.own, requests).iter().take(top) {
        print_line(name, *cost);
    }
}

fn print_line(name: &str, cost: u64) {
    let name: String = name.chars().take(WIDEST).collect();
    report::result(&format!("  {:>9}  {name}", report::grouped(cost)));
}

fn difference(
    short: &std::collections::HashMap<String, u64>,
    long: &std::collections::HashMap<String, u64>,
    requests: u64,
) -> Vec<(String, u64)> {
    let mut all: Vec<_> = long
        .iter()
        .map(|(name, cost)| {
            let before = short.get(name).copied().unwrap_or_default();
            (name.clone(), cost.saturating_sub(before) / requests)
        })
        .filter(|(_, cost)| *cost > 0)
        .collect();
    all.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    all
}
