//! The series of one family that one thread counts.

/// Labels are words of ours, so this is never met; if a defect lets user
/// input become a label, what comes later is counted as "other".
pub(super) const MOST_SERIES: usize = 500;
/// Of the table; more than twice the series, so that a search ends soon.
const SLOTS: usize = 1024;
const FREE: u16 = u16::MAX;

/// Cells by labels. Finding a series is what every request pays for, so it
/// hashes a few words without a seed: there are too few series for a
/// collision to matter.
#[derive(Debug)]
pub(super) struct SeriesSet<const N: usize, const CELLS: usize> {
    /// Indexes into `series`, or [`FREE`]; empty until something is counted.
    slots: Box<[u16]>,
    series: Vec<([Box<str>; N], [u64; CELLS])>,
    /// That which was asked for last, and often is again.
    last: usize,
}

impl<const N: usize, const CELLS: usize> Default for SeriesSet<N, CELLS> {
    fn default() -> Self {
        Self {
            slots: Box::default(),
            series: Vec::new(),
            last: 0,
        }
    }
}

impl<const N: usize, const CELLS: usize> SeriesSet<N, CELLS> {
    /// The cells of these labels, which are zero at first.
    pub(super) fn cells(&mut self, labels: [&str; N]) -> &mut [u64; CELLS] {
        if let Some((known, _)) = self.series.get(self.last)
            && are_same(known, labels)
        {
            return &mut self.series[self.last].1;
        }
        let at = match self.find(labels) {
            Ok(at) => at,
            Err(_) if self.series.len() >= MOST_SERIES => {
                let other = ["other"; N];
                self.find(other)
                    .unwrap_or_else(|slot| self.add(slot, other))
            }
            Err(slot) => self.add(slot, labels),
        };
        self.last = at;
        &mut self.series[at].1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[Box<str>; N], &[u64; CELLS])> {
        self.series.iter().map(|(labels, cells)| (labels, cells))
    }

    /// Its place among the series, or the slot where it belongs.
    fn find(&self, labels: [&str; N]) -> Result<usize, usize> {
        let mut slot = hash(labels) % SLOTS;
        loop {
            let at = match self.slots.get(slot) {
                None | Some(&FREE) => return Err(slot),
                Some(at) => usize::from(*at),
            };
            if are_same(&self.series[at].0, labels) {
                return Ok(at);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    fn add(&mut self, slot: usize, labels: [&str; N]) -> usize {
        if self.slots.is_empty() {
            self.slots = vec![FREE; SLOTS].into();
        }
        let at = self.series.len();
        self.slots[slot] = u16::try_from(at).expect("far fewer than 65535 series");
        self.series.push((labels.map(Box::from), [0; CELLS]));
        at
    }
}

fn are_same<const N: usize>(known: &[Box<str>; N], labels: [&str; N]) -> bool {
    let mut pairs = known.iter().zip(labels);
    pairs.all(|(known, label)| **known == *label)
}

fn hash<const N: usize>(labels: [&str; N]) -> usize {
    // An odd number without a pattern: the golden ratio in 64 bits.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = 0_u64;
    let mut mix = |word: u64| hash = (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    for label in labels {
        let bytes = label.as_bytes();
        mix(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
        if let Some(last) = bytes.last_chunk::<8>() {
            mix(u64::from_le_bytes(*last));
        } else {
            mix(rest
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }
    // The high bits of a product are the mixed ones.
    usize::try_from(hash >> 40).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_found_again() {
        let mut set = SeriesSet::<2, 1>::default();
        let names: Vec<String> = (0..MOST_SERIES).map(|n| "x".repeat(n)).collect();
        for round in 1..=3 {
            for name in &names {
                let [count] = set.cells([name, "y"]);
                *count += 1;
                assert_eq!(*count, round);
            }
        }
        *set.cells(["one", "more"]) = [7];
        assert_eq!(*set.cells(["another", ""]), [7]);
        assert_eq!(set.iter().count(), MOST_SERIES + 1);
    }

    #[test]
    fn labels_are_not_confused_with_each_other() {
        let mut set = SeriesSet::<2, 1>::default();
        for (n, labels) in [["a", "b"], ["ab", ""], ["", "ab"], ["b", "a"]]
            .into_iter()
            .enumerate()
        {
            assert_eq!(*set.cells(labels), [0], "{labels:?}");
            *set.cells(labels) = [n as u64 + 1];
        }
    }
}
