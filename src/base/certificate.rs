//! What stands in an X.509 certificate (RFC 5280 section 4.1), for messages
//! and warnings. Decides nothing; verification is the TLS library's.

use std::time::Duration;

use super::clock::Timestamp;

/// So long before its end a certificate should have been renewed, also one
/// that lives for a few days only.
pub const ENDS_SOON: Duration = Duration::from_hours(48);

/// From when until when a certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub begins: Timestamp,
    pub ends: Timestamp,
}

/// `None`: this is no certificate, or its times are not written as they must.
pub fn validity(certificate: &[u8]) -> Option<Validity> {
    let (_, certificate, _) = element(certificate)?;
    let (_, signed, _) = element(certificate)?;
    let (tag, _, rest) = element(signed)?;
    // The version is the one member that may be left out.
    let after_version = if tag == 0xa0 { rest } else { signed };
    let (_, _serial, rest) = element(after_version)?;
    let (_, _algorithm, rest) = element(rest)?;
    let (_, _issuer, rest) = element(rest)?;
    let (_, validity, _) = element(rest)?;
    let (begins_tag, begins, rest) = element(validity)?;
    let (ends_tag, ends, _) = element(rest)?;
    Some(Validity {
        begins: time(begins_tag, begins)?,
        ends: time(ends_tag, ends)?,
    })
}

/// A time as messages show it.
pub fn date(at: Timestamp) -> httpdate::HttpDate {
    (std::time::UNIX_EPOCH + Duration::from_millis(at.as_millis())).into()
}

/// Tag, content and what follows of the first DER element.
pub fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        let add = |sum: usize, digit: &u8| sum << 8 | usize::from(*digit);
        (digits.iter().fold(0, add), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// UTCTime (0x17, two digits of the year) or GeneralizedTime (0x18), both
/// with seconds and in UTC (RFC 5280 section 4.1.2.5).
fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        0x17 => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = year.parse::<i64>().ok()?;
            (year + if year < 50 { 2000 } else { 1900 }, rest)
        }
        0x18 => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let pair = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (pair(0)?, pair(2)?);
    let (hour, minute, second) = (pair(4)?, pair(6)?, pair(8)?);
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day);
    let fits = fits && hour < 24 && minute < 60 && second < 61;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    let millis = u64::try_from(seconds).unwrap_or(0).checked_mul(1000)?;
    fits.then_some(Timestamp(millis))
}

/// Days since 1970-01-01 in the Gregorian calendar, counted in years that
/// begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(from: (i32, u8, u8), to: (i32, u8, u8)) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(vec!["id.test".into()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        parameters.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
        let key = rcgen::KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_times_of_a_certificate_are_read() {
        for (from, to, begins, ends) in [
            (
                (1975, 1, 1),
                (2026, 11, 20),
                157_766_400_000,
                1_795_132_800_000,
            ),
            (
                (2000, 2, 29),
                (2068, 12, 31),
                951_782_400_000,
                3_124_137_600_000,
            ),
        ] {
            let times = validity(&certificate(from, to)).unwrap();
            assert_eq!((times.begins.0, times.ends.0), (begins, ends), "{to:?}");
        }
    }

    #[test]
    fn whatever_is_written_is_read_without_a_panic() {
        let der = certificate((2020, 1, 1), (2060, 1, 1));
        for end in 0..der.len() {
            let _ = validity(&der[..end]);
        }
        for at in 0..der.len().min(300) {
            let mut broken = der.clone();
            for byte in [0x00, 0x7f, 0x80, 0x84, 0xff] {
                broken[at] = byte;
                let _ = validity(&broken);
            }
        }
        for text in ["", "Z", "991332000000Z", "9911000000Z", "99112000+100Z"] {
            assert_eq!(time(0x17, text.as_bytes()), None, "{text}");
        }
        assert_eq!(validity(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
