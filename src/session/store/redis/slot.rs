//! Which node of a cluster keeps a key.

pub const SLOTS: u16 = 16_384;

/// CRC-16/XMODEM of the part between the first braces, or of all of it.
pub fn of(key: &str) -> u16 {
    let bytes = key.as_bytes();
    let tag = bytes
        .iter()
        .position(|byte| *byte == b'{')
        .and_then(|open| {
            let rest = &bytes[open + 1..];
            let length = rest.iter().position(|byte| *byte == b'}')?;
            (length > 0).then(|| &rest[..length])
        });
    crc(tag.unwrap_or(bytes)) % SLOTS
}

fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the specification, and what CLUSTER KEYSLOT says.
    #[test]
    fn known_values() {
        assert_eq!(crc(b"123456789"), 0x31c3);
        for (key, slot) in [
            ("foo", 12_182),
            ("{foo}bar", 12_182),
            ("x{foo}{bar}", 12_182),
            ("{}foo", 9_500),
            ("", 0),
        ] {
            assert_eq!(of(key), slot, "{key}");
        }
    }
}
