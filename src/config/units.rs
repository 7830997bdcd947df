//! Sizes.

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
}
