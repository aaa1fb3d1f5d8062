//! Lengths of time and sizes: an integer and a unit, `15m`, `32KiB`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::problems::Findings;

/// As written: `500ms`, `10s`, `15m`, `8h` or `30d`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct RawDuration(pub(super) String);

/// As written: `512B`, `32KiB`, `4MiB` or `1GiB`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct RawSize(pub(super) String);

/// The names of the definitions in the schema; `shape` gives a cure of its
/// own where one of them meets a bare number.
pub(super) const DURATION: &str = "Duration";
pub(super) const SIZE: &str = "Size";

impl JsonSchema for RawDuration {
    fn schema_name() -> Cow<'static, str> {
        DURATION.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })
    }
}

impl JsonSchema for RawSize {
    fn schema_name() -> Cow<'static, str> {
        SIZE.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+(B|KiB|MiB|GiB)|unlimited)$" })
    }
}

const TIME_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const SIZE_UNITS: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A positive length of time, or `default` where nothing was written.
pub(super) fn duration(
    raw: Option<&RawDuration>,
    key: &str,
    default: Duration,
    findings: &mut Findings,
) -> Duration {
    let Some(RawDuration(text)) = raw else {
        return default;
    };
    match multiplied(text, &TIME_UNITS) {
        Some(0) => findings.error(key, "is zero", "write how long, such as \"30s\""),
        Some(millis) => return Duration::from_millis(millis),
        None => findings.error(
            key,
            format!("\"{text}\" is not an integer with a unit"),
            "write an integer and one of ms, s, m, h, d, such as \"30s\" or \"15m\"",
        ),
    }
    default
}

/// A length of time that may be zero, which is also the default: off.
pub(super) fn duration_or_zero(
    raw: Option<&RawDuration>,
    key: &str,
    findings: &mut Findings,
) -> Duration {
    let zero = |RawDuration(text): &RawDuration| multiplied(text, &TIME_UNITS) == Some(0);
    duration(raw.filter(|raw| !zero(raw)), key, Duration::ZERO, findings)
}

/// A positive number of bytes, or `default` where nothing was written.
pub(super) fn size(
    raw: Option<&RawSize>,
    key: &str,
    default: usize,
    findings: &mut Findings,
) -> usize {
    let Some(RawSize(text)) = raw else {
        return default;
    };
    match multiplied(text, &SIZE_UNITS).and_then(|bytes| usize::try_from(bytes).ok()) {
        Some(0) => findings.error(key, "is zero", "write a size, such as \"32KiB\""),
        Some(bytes) => return bytes,
        None => findings.error(key, not_a_size(text), SIZE_CURE),
    }
    default
}

/// A size or `"unlimited"`, which is also the default.
pub(super) fn size_or_unlimited(
    raw: Option<&RawSize>,
    key: &str,
    findings: &mut Findings,
) -> Option<u64> {
    let RawSize(text) = raw?;
    if text == "unlimited" {
        return None;
    }
    let bytes = multiplied(text, &SIZE_UNITS);
    match bytes {
        Some(0) => findings.error(
            key,
            "is zero",
            "write \"unlimited\", or a size such as \"100MiB\"",
        ),
        Some(_) => {}
        None => findings.error(
            key,
            not_a_size(text),
            format!("{SIZE_CURE}, or \"unlimited\""),
        ),
    }
    bytes
}

const SIZE_CURE: &str = "write an integer and one of B, KiB, MiB, GiB, such as \"32KiB\"";

fn not_a_size(text: &str) -> String {
    format!("\"{text}\" is not an integer with a unit")
}

fn multiplied(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_and_a_unit_and_nothing_else() {
        for (text, expected) in [
            ("500ms", Some(500)),
            ("15m", Some(900_000)),
            ("30d", Some(2_592_000_000)),
            ("15", None),
            ("m", None),
            ("1.5h", None),
            ("-1s", None),
            ("1 s", None),
            ("1H", None),
            ("99999999999999999999d", None),
            ("9999999999999999d", None),
        ] {
            assert_eq!(multiplied(text, &TIME_UNITS), expected, "{text}");
        }
        assert_eq!(multiplied("32KiB", &SIZE_UNITS), Some(32 * 1024));
        assert_eq!(multiplied("32KB", &SIZE_UNITS), None);
    }
}
