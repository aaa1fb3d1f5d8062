//! The date of a day: the proleptic Gregorian calendar, in UTC.

/// A day as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    pub year: u64,
    /// From 1 to 12.
    pub month: u64,
    /// From 1 to 31.
    pub day: u64,
}

impl Date {
    /// Of a count of days since 1970-01-01.
    pub const fn of_day(days: u64) -> Self {
        // Counted from 1 March of the year 0, so that the leap day comes last;
        // 146097 days are 400 years.
        let days = days + 719_468;
        let (era, in_era) = (days / 146_097, days % 146_097);
        let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
        let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * in_year + 2) / 153;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        Self {
            year: era * 400 + year_of_era + (month <= 2) as u64,
            month,
            day: in_year - (153 * shifted + 2) / 5 + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (days, year, month, day) in [
            (0, 1970, 1, 1),
            (11_016, 2000, 2, 29),
            (11_017, 2000, 3, 1),
            (19_781, 2024, 2, 28),
            (20_777, 2026, 11, 20),
            (47_540, 2100, 2, 28),
            (47_541, 2100, 3, 1),
        ] {
            assert_eq!(Date::of_day(days), Date { year, month, day });
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut last = Date::of_day(0);
        for days in 1..200_000 {
            let next = Date::of_day(days);
            let leap = (last.year.is_multiple_of(4) && !last.year.is_multiple_of(100))
                || last.year.is_multiple_of(400);
            let length = match last.month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let expected = match (last.day == length, last.month) {
                (true, 12) => (last.year + 1, 1, 1),
                (true, month) => (last.year, month + 1, 1),
                (false, month) => (last.year, month, last.day + 1),
            };
            assert_eq!((next.year, next.month, next.day), expected);
            last = next;
        }
    }
}
