//! Times as both logs show them (RFC 3339).

use crate::base::calendar::Date;

/// Milliseconds since 1970, shown as UTC with milliseconds.
pub struct Rfc3339(pub u64);

impl std::fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (days, in_day) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let Date { year, month, day } = Date::of_day(days);
        let (seconds, millis) = (in_day / 1000, in_day % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
        )
    }
}

/// Writes times of about now: the text of the last second is used again.
#[derive(Debug, Default)]
pub(super) struct Second {
    /// Seconds since 1970.
    number: u64,
    /// `2026-11-20T19:54:56`; empty before the first time.
    text: String,
}

impl Second {
    /// Appends what [`Rfc3339`] shows for these milliseconds.
    pub(super) fn append(&mut self, out: &mut Vec<u8>, millis: u64) {
        let number = millis / 1000;
        if number != self.number || self.text.is_empty() {
            self.text = Rfc3339(millis).to_string();
            self.text.truncate(self.text.len() - ".000Z".len());
            self.number = number;
        }
        out.extend_from_slice(self.text.as_bytes());
        let digit = |divisor: u64| b'0' + (millis / divisor % 10) as u8;
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1), b'Z']);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Rfc3339(millis).to_string(), text);
        }
    }

    #[test]
    fn a_second_that_is_used_again_shows_the_same() {
        let mut second = Second::default();
        for millis in [
            0,
            999,
            1_000,
            1_795_204_496_789,
            1_795_204_496_001,
            1_795_204_497_010,
            1_795_204_496_999,
            4_107_542_400_000,
        ] {
            let mut out = Vec::new();
            second.append(&mut out, millis);
            assert_eq!(String::from_utf8(out).unwrap(), Rfc3339(millis).to_string());
        }
    }
}
