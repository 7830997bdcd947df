//! Sizes and shares.

use crate::model::number_and_unit;

/// Reads `"512B"`, `"64KiB"`, `"10MiB"`, `"1GiB"`, and `KB`, `MB`, `GB` for powers of 1000.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor: f64 = match unit {
        "B" => 1.0,
        "KiB" => 1_024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };
    let bytes = number * factor;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    (0.0..9e15).contains(&bytes).then_some(bytes as u64)
}

/// A share of all, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Everything.
    pub const ALL: Self = Self(1_000_000);

    /// One out of a hundred.
    pub const ONE_PERCENT: Self = Self(10_000);

    /// How many out of a million: a million at most.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// Reads `"0%"`, `"0.05%"`, `"1%"` to `"100%"`; four digits after the point at most.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !(digits(whole) && digits(part) && whole.len() <= 3 && part.len() <= 4) {
            return None;
        }
        let millionths = whole.parse::<u32>().ok()? * 10_000 + format!("{part:0<4}").parse::<u32>().ok()?;
        (millionths <= Self::ALL.0).then_some(Self(millionths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("512B", 512), ("64KiB", 65_536), ("10MiB", 10_485_760), ("1.5GB", 1_500_000_000), ("0B", 0)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "64", "64kib", "-1B", "99999999999GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn shares() {
        for (text, millionths) in [
            ("0%", 0),
            ("1%", 10_000),
            ("0.05%", 500),
            ("0.0001%", 1),
            ("12.5%", 125_000),
            ("100%", 1_000_000),
            ("100.0%", 1_000_000),
        ] {
            assert_eq!(Share::parse(text).map(Share::millionths), Some(millionths), "{text}");
        }
        for text in ["", "%", "1", "101%", "100.1%", "-1%", "1.%", ".5%", "0.00001%", "1e1%", " 1%", "+1%"] {
            assert_eq!(Share::parse(text), None, "{text}");
        }
    }
}
