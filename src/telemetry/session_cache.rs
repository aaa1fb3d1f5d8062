//! What the cache of sessions tells about itself. It counts; this gives the
//! numbers their names.

use std::fmt::Write;

/// Since the start, but for the last three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionCacheFigures {
    /// Sessions that were known.
    pub hits: u64,
    /// Tickets that were known to lead to no session.
    pub gone_hits: u64,
    /// The store was asked, or somebody was waited for who asked it.
    pub misses: u64,
    /// Reads whose session was kept.
    pub kept: u64,
    /// Reads that a change overtook: answered, not kept.
    pub tainted: u64,
    /// Entries that a change took away.
    pub changed: u64,
    /// Entries that went for want of room.
    pub evicted: u64,
    pub entries: u64,
    pub bytes: u64,
    /// Whether the store tells of changes now; if not, nothing is kept.
    pub watching: bool,
}

impl SessionCacheFigures {
    pub(super) fn render(&self, out: &mut String) {
        let mut family = |name: &str, kind: &str, help: &str, rows: &[(&str, u64)]| {
            let mut text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for (labels, value) in rows {
                writeln!(text, "{name}{labels} {value}").expect("memory takes every write");
            }
            out.push_str(&text);
        };
        family(
            "vestibule_session_cache_lookups_total",
            "counter",
            "Tickets that were looked up in the cache of sessions.",
            &[
                ("{outcome=\"hit\"}", self.hits),
                ("{outcome=\"gone\"}", self.gone_hits),
                ("{outcome=\"miss\"}", self.misses),
            ],
        );
        family(
            "vestibule_session_cache_fills_total",
            "counter",
            "Sessions that were read for the cache; tainted ones changed meanwhile.",
            &[
                ("{outcome=\"kept\"}", self.kept),
                ("{outcome=\"tainted\"}", self.tainted),
            ],
        );
        family(
            "vestibule_session_cache_removals_total",
            "counter",
            "Entries that a change took away, or want of room.",
            &[
                ("{reason=\"changed\"}", self.changed),
                ("{reason=\"evicted\"}", self.evicted),
            ],
        );
        family(
            "vestibule_session_cache_entries",
            "gauge",
            "Sessions in the cache.",
            &[("", self.entries)],
        );
        family(
            "vestibule_session_cache_bytes",
            "gauge",
            "About what these take in memory.",
            &[("", self.bytes)],
        );
        family(
            "vestibule_session_cache_watching",
            "gauge",
            "1 while the session store tells of changes, without which nothing is cached.",
            &[("", u64::from(self.watching))],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_name() {
        let figures = SessionCacheFigures {
            hits: 1,
            gone_hits: 2,
            misses: 3,
            kept: 4,
            tainted: 5,
            changed: 6,
            evicted: 7,
            entries: 8,
            bytes: 9,
            watching: true,
        };
        let mut out = String::new();
        figures.render(&mut out);
        for line in [
            "# TYPE vestibule_session_cache_lookups_total counter\n",
            "vestibule_session_cache_lookups_total{outcome=\"hit\"} 1\n",
            "vestibule_session_cache_lookups_total{outcome=\"gone\"} 2\n",
            "vestibule_session_cache_lookups_total{outcome=\"miss\"} 3\n",
            "vestibule_session_cache_fills_total{outcome=\"kept\"} 4\n",
            "vestibule_session_cache_fills_total{outcome=\"tainted\"} 5\n",
            "vestibule_session_cache_removals_total{reason=\"changed\"} 6\n",
            "vestibule_session_cache_removals_total{reason=\"evicted\"} 7\n",
            "vestibule_session_cache_entries 8\n",
            "vestibule_session_cache_bytes 9\n",
            "vestibule_session_cache_watching 1\n",
        ] {
            assert!(out.contains(line), "{line}{out}");
        }
    }
}
