//! Counters and histograms with labels, in the Prometheus text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::handle::micros;
use super::series::SeriesSet;
use super::shard::Sharded;

/// Upper bounds in microseconds.
const BUCKETS: [(u64, &str); 14] = [
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (10_000_000, "10"),
    (60_000_000, "60"),
];

/// All series of one metric name. `CELLS` numbers belong to a series.
#[derive(Debug)]
struct Family<const N: usize, const CELLS: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    shards: Sharded<SeriesSet<N, CELLS>>,
}

/// `N` labels and one number.
#[derive(Debug)]
pub struct Counter<const N: usize>(Family<N, 1>);

/// `N` labels; a number per bucket, one beyond the last, and the sum.
#[derive(Debug)]
pub struct Histogram<const N: usize>(Family<N, 16>);

impl<const N: usize, const CELLS: usize> Family<N, CELLS> {
    fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self {
            name,
            help,
            labels,
            shards: Sharded::default(),
        }
    }

    fn update(&self, labels: [&str; N], change: impl FnOnce(&mut [u64; CELLS])) {
        change(self.shards.own().cells(labels));
    }

    fn collect(&self) -> BTreeMap<[Box<str>; N], [u64; CELLS]> {
        let mut all = BTreeMap::new();
        for shard in self.shards.each() {
            for (labels, more) in shard.iter() {
                let cells = all.entry(labels.clone()).or_insert([0; CELLS]);
                for (cell, more) in cells.iter_mut().zip(more) {
                    *cell += more;
                }
            }
        }
        all
    }

    fn head(&self, out: &mut String, kind: &str) {
        let (name, help) = (self.name, self.help);
        put(
            out,
            format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"),
        );
    }

    /// `{a="x",b="y"`, without the closing brace.
    fn open(&self, values: &[Box<str>; N]) -> String {
        let mut out = String::from("{");
        for (label, value) in self.labels.iter().zip(values) {
            if out.len() > 1 {
                out.push(',');
            }
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            put(&mut out, format_args!("{label}=\"{value}\""));
        }
        out
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("memory takes every write");
}

impl<const N: usize> Counter<N> {
    pub fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self(Family::new(name, help, labels))
    }

    pub fn add(&self, labels: [&str; N]) {
        self.0.update(labels, |[count]| *count += 1);
    }

    pub fn render(&self, out: &mut String) {
        self.0.head(out, "counter");
        for (labels, [count]) in self.0.collect() {
            let (name, open) = (self.0.name, self.0.open(&labels));
            let labels = if N == 0 {
                String::new()
            } else {
                format!("{open}}}")
            };
            put(out, format_args!("{name}{labels} {count}\n"));
        }
    }
}

impl<const N: usize> Histogram<N> {
    pub fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self(Family::new(name, help, labels))
    }

    pub fn observe(&self, labels: [&str; N], length: Duration) {
        let micros = micros(length);
        let bucket = BUCKETS.partition_point(|(bound, _)| *bound < micros);
        self.0.update(labels, |cells| {
            cells[bucket] += 1;
            cells[BUCKETS.len() + 1] = cells[BUCKETS.len() + 1].saturating_add(micros);
        });
    }

    pub fn render(&self, out: &mut String) {
        self.0.head(out, "histogram");
        for (labels, cells) in self.0.collect() {
            let (name, open) = (self.0.name, self.0.open(&labels));
            let comma = if N == 0 { "" } else { "," };
            let mut count = 0;
            let bounds = BUCKETS.iter().map(|(_, text)| *text).chain(["+Inf"]);
            for (bound, cell) in bounds.zip(cells) {
                count += cell;
                let line = format_args!("{name}_bucket{open}{comma}le=\"{bound}\"}} {count}\n");
                put(out, line);
            }
            let sum = cells[BUCKETS.len() + 1];
            let (whole, rest) = (sum / 1_000_000, sum % 1_000_000);
            let labels = if N == 0 {
                String::new()
            } else {
                format!("{open}}}")
            };
            put(out, format_args!("{name}_sum{labels} {whole}.{rest:06}\n"));
            put(out, format_args!("{name}_count{labels} {count}\n"));
        }
    }
}

/// `N` labels and a number that is set. Few and seldom, so behind one lock.
/// Labels are names from the configuration.
#[derive(Debug)]
pub struct Gauge<const N: usize> {
    family: Family<N, 1>,
    values: Mutex<BTreeMap<[Box<str>; N], u64>>,
}

impl<const N: usize> Gauge<N> {
    pub fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self {
            family: Family::new(name, help, labels),
            values: Mutex::default(),
        }
    }

    pub fn set(&self, labels: [&str; N], value: u64) {
        self.values().insert(labels.map(Box::from), value);
    }

    pub fn render(&self, out: &mut String) {
        self.family.head(out, "gauge");
        for (labels, value) in &*self.values() {
            let (name, open) = (self.family.name, self.family.open(labels));
            put(out, format_args!("{name}{open}}} {value}\n"));
        }
    }

    fn values(&self) -> MutexGuard<'_, BTreeMap<[Box<str>; N], u64>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::MOST_SERIES;
    use super::*;

    #[test]
    fn counters_of_all_threads_are_added() {
        let counter = Counter::new("x_total", "Help.", ["a", "b"]);
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..100).for_each(|_| counter.add(["1", "2"])));
            }
        });
        counter.add(["\"\\\n", ""]);
        let mut out = String::new();
        counter.render(&mut out);
        assert_eq!(
            out,
            "# HELP x_total Help.\n# TYPE x_total counter\n\
             x_total{a=\"\\\"\\\\\\n\",b=\"\"} 1\nx_total{a=\"1\",b=\"2\"} 2000\n"
        );
    }

    #[test]
    fn sec_log_04_series_are_bounded() {
        let counter = Counter::new("x_total", "Help.", ["a"]);
        for n in 0..5000 {
            counter.add([&n.to_string()]);
        }
        let series = counter.0.collect();
        assert_eq!(series.len(), MOST_SERIES + 1);
        assert_eq!(series[&["other".into()]], [4500]);
    }

    #[test]
    fn buckets_are_cumulative_and_bounds_inclusive() {
        let histogram = Histogram::new("t_seconds", "Help.", []);
        for micros in [1, 500, 501, 2_000_000, 90_000_000] {
            histogram.observe([], Duration::from_micros(micros));
        }
        let mut out = String::new();
        histogram.render(&mut out);
        for line in [
            "t_seconds_bucket{le=\"0.0005\"} 2\n",
            "t_seconds_bucket{le=\"0.001\"} 3\n",
            "t_seconds_bucket{le=\"1\"} 3\n",
            "t_seconds_bucket{le=\"2.5\"} 4\n",
            "t_seconds_bucket{le=\"60\"} 4\n",
            "t_seconds_bucket{le=\"+Inf\"} 5\n",
            "t_seconds_sum 92.001002\n",
            "t_seconds_count 5\n",
        ] {
            assert!(out.contains(line), "{line}{out}");
        }
    }
}
