//! Times and lengths as people read them. UTC only: without script a page
//! cannot know the reader's zone, and says so.

use std::time::Duration;

use super::Language;
use crate::base::calendar::Date;
use crate::base::clock::Timestamp;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// "20 Nov 2026, 19:55 UTC".
pub(super) fn moment(language: Language, at: Timestamp) -> String {
    let seconds = at.as_secs();
    let Date { year, month, day } = Date::of_day(seconds / 86_400);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    match language {
        Language::English => {
            let name = MONTHS[month as usize - 1];
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

#[cfg(test)]
mod tests {
    use super::*;

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
