//! Which language a page speaks, from Accept-Language (RFC 9110 section
//! 12.5.4).

/// The languages that pages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    #[default]
    English,
    /// Simplified.
    Chinese,
}

impl Language {
    /// The best of our languages for this header; English where nothing
    /// fits. Of equal weights the first one written wins.
    pub fn from_accept(header: Option<&[u8]>) -> Self {
        // Whoever does not read Chinese gets English, whatever the weights.
        let chinese = |bytes: &&[u8]| memchr::memchr2(b'z', b'Z', bytes).is_some();
        let text = header.filter(chinese);
        let Some(text) = text.and_then(|bytes| std::str::from_utf8(bytes).ok()) else {
            return Self::default();
        };
        let mut best: Option<(u16, Self)> = None;
        // A browser sends a handful; the cap keeps a hostile header cheap.
        for entry in text.split(',').take(32) {
            let mut parts = entry.split(';');
            let Some(language) = parts.next().and_then(Self::of_range) else {
                continue;
            };
            let weight = parts
                .find_map(|part| {
                    let (name, value) = part.split_once('=')?;
                    name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
                })
                .map_or(Some(1000), weight_in_thousandths);
            let Some(weight) = weight else { continue };
            if weight > 0 && best.is_none_or(|(held, _)| weight > held) {
                best = Some((weight, language));
            }
        }
        best.map_or_else(Self::default, |(_, language)| language)
    }

    fn of_range(range: &str) -> Option<Self> {
        let primary = range.trim().split('-').next().unwrap_or_default();
        if primary.eq_ignore_ascii_case("zh") {
            Some(Self::Chinese)
        } else if primary.eq_ignore_ascii_case("en") || primary == "*" {
            Some(Self::English)
        } else {
            None
        }
    }

    /// As it stands in `lang` and Content-Language.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-Hans",
        }
    }
}

/// `0`, `1`, `0.8`, `0.875`; anything else is not a weight.
fn weight_in_thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = match whole {
        "0" => 0,
        "1" => 1000,
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    let weight = whole + thousandths;
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_decide() {
        let cases: [(&str, Language); 12] = [
            ("", Language::English),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en-GB,en;q=0.9,zh-CN;q=0.8", Language::English),
            ("en;q=0.5, zh;q=0.7", Language::Chinese),
            ("fr, zh-Hans;q=0.3", Language::Chinese),
            ("fr,de", Language::English),
            ("zh;q=0, *;q=0.1", Language::English),
            ("zh;q=7", Language::English),
            ("zh;q=0.1234", Language::English),
            ("ZH-hant", Language::Chinese),
            ("zh ; Q=0.9 , en ; q=0.2", Language::Chinese),
            ("*", Language::English),
        ];
        for (header, expected) in cases {
            assert_eq!(
                Language::from_accept(Some(header.as_bytes())),
                expected,
                "{header}"
            );
        }
        assert_eq!(Language::from_accept(None), Language::English);
        assert_eq!(Language::from_accept(Some(b"zh\xff")), Language::English);
    }

    #[test]
    fn a_hostile_header_is_cut_off() {
        let many = "xx,".repeat(10_000) + "zh";
        assert_eq!(
            Language::from_accept(Some(many.as_bytes())),
            Language::English
        );
    }
}
