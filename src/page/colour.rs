//! Colours and their contrast (WCAG 2.2 section 1.4.3), so that any accent
//! stays readable in light and dark.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour([u8; 3]);

pub(super) const WHITE: Colour = Colour([255, 255, 255]);
/// Full black: with anything lighter some accents read well on neither.
pub(super) const INK: Colour = Colour([0, 0, 0]);
/// The card in dark mode, as in the stylesheet.
pub(super) const DARK_CARD: Colour = Colour([0x1b, 0x1f, 0x27]);
/// What text needs against its ground.
pub(super) const READABLE: f64 = 4.5;

impl Colour {
    pub(super) const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self([red, green, blue])
    }

    /// `#rrggbb` only.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let value = u32::from_str_radix(digits, 16).ok()?;
        let [_, red, green, blue] = value.to_be_bytes();
        Some(Self([red, green, blue]))
    }

    fn luminance(self) -> f64 {
        let linear = |channel: u8| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.040_45 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        let [red, green, blue] = self.0;
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    /// 1 to 21.
    pub(super) fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// White or ink, whichever reads better on this ground.
    pub(super) fn text_on(self) -> Self {
        if self.contrast(WHITE) >= READABLE || self.contrast(WHITE) >= self.contrast(INK) {
            WHITE
        } else {
            INK
        }
    }

    /// `percent` of the way to `other`.
    pub(super) fn toward(self, other: Self, percent: u16) -> Self {
        let mix = |from: u8, to: u8| {
            let mixed = (u16::from(from) * (100 - percent) + u16::from(to) * percent + 50) / 100;
            u8::try_from(mixed).unwrap_or(u8::MAX)
        };
        let mut channels = [0; 3];
        for (channel, (from, to)) in channels.iter_mut().zip(self.0.into_iter().zip(other.0)) {
            *channel = mix(from, to);
        }
        Self(channels)
    }

    /// This colour, moved toward white or ink until it reads on `ground`.
    pub(super) fn readable_on(self, ground: Self) -> Self {
        let goal = ground.text_on();
        (0..=100)
            .step_by(4)
            .map(|percent| self.toward(goal, percent))
            .find(|colour| colour.contrast(ground) >= READABLE)
            .unwrap_or(goal)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_of_known_pairs() {
        let black = Colour::new(0, 0, 0);
        assert!((black.contrast(WHITE) - 21.0).abs() < 0.01);
        let grey = Colour::parse("#767676").unwrap();
        assert!((grey.contrast(WHITE) - 4.54).abs() < 0.01);
    }

    #[test]
    fn every_accent_stays_readable() {
        for red in (0..=255u8).step_by(51) {
            for green in (0..=255u8).step_by(51) {
                for blue in (0..=255u8).step_by(51) {
                    let accent = Colour::new(red, green, blue);
                    assert!(accent.contrast(accent.text_on()) >= READABLE, "{accent}");
                    for ground in [WHITE, DARK_CARD] {
                        let text = accent.readable_on(ground);
                        assert!(text.contrast(ground) >= READABLE, "{accent} on {ground}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_six_hex_digits_are_a_colour() {
        assert_eq!(Colour::parse("#0a0B0c"), Some(Colour::new(10, 11, 12)));
        for bad in [
            "", "#fff", "red", "#12345g", "#1234567", "#+12345", "123456",
        ] {
            assert_eq!(Colour::parse(bad), None, "{bad}");
        }
    }
}
