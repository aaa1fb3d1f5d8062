//! Times and lengths as people read them. UTC only: without script a page
//! cannot know the reader's zone, and says so.

use std::time::Duration;

use super::Language;
use crate::base::clock::Timestamp;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// "20 Nov 2026, 19:55 UTC".
pub(super) fn moment(language: Language, at: Timestamp) -> String {
    let seconds = at.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    match language {
        Language::English => {
            let name = MONTHS[month - 1];
            format!("{day} {name} {year}, {hour:02}:{minute:02} UTC")
        }
        Language::Chinese => format!("{year}年{month}月{day}日 {hour:02}:{minute:02}（UTC）"),
    }
}

/// "19:55 UTC", for what began today.
pub(super) fn time(language: Language, at: Timestamp) -> String {
    let seconds = at.as_secs();
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    match language {
        Language::English => format!("{hour:02}:{minute:02} UTC"),
        Language::Chinese => format!("{hour:02}:{minute:02}（UTC）"),
    }
}

/// "29 days", rounded to the largest unit that says enough.
pub(super) fn length(language: Language, length: Duration) -> String {
    let seconds = length.as_secs();
    let (count, english, chinese) = match seconds {
        0..120 => (seconds, "second", "秒"),
        120..7200 => (seconds / 60, "minute", "分钟"),
        7200..172_800 => (seconds / 3600, "hour", "小时"),
        _ => (seconds / 86_400, "day", "天"),
    };
    match language {
        Language::English if count == 1 => format!("1 {english}"),
        Language::English => format!("{count} {english}s"),
        Language::Chinese => format!("{count} {chinese}"),
    }
}

/// Year, month (1..=12) and day of a count of days since 1970-01-01, after
/// the proleptic Gregorian calendar.
fn civil(days: u64) -> (u64, usize, u64) {
    // Counted from 1 March of the year 0, so that the leap day comes last.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, usize::try_from(month).unwrap_or(1), day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_777), (2026, 11, 20));
        assert_eq!(civil(47_541), (2100, 3, 1));
    }

    #[test]
    fn both_languages() {
        let at = Timestamp::from_secs(20_777 * 86_400 + 19 * 3600 + 5 * 60);
        assert_eq!(moment(Language::English, at), "20 Nov 2026, 19:05 UTC");
        assert_eq!(moment(Language::Chinese, at), "2026年11月20日 19:05（UTC）");
        let text = |seconds| length(Language::English, Duration::from_secs(seconds));
        assert_eq!(text(1), "1 second");
        assert_eq!(text(119), "119 seconds");
        assert_eq!(text(150), "2 minutes");
        assert_eq!(text(86_400), "24 hours");
        assert_eq!(text(30 * 86_400 - 1), "29 days");
    }
}
