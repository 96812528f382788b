//! Times and sizes, as people write them.

use std::time::Duration;

/// `600s`, `10m`, `24h`, or seconds.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("{text:?} is no time; write seconds, or such as 600s, 10m, 24h")),
    };
    let seconds =
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).filter(|seconds| *seconds > 0);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} is no time; write seconds, or such as 600s, 10m, 24h"))
}

/// `262144`, `256KiB`, `1MiB`.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let (number, unit) = split_unit(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1024,
        "m" | "mb" | "mib" => 1024 * 1024,
        "g" | "gb" | "gib" => 1024 * 1024 * 1024,
        _ => return Err(format!("{text:?} is no size; write bytes, or such as 256KiB, 1MiB")),
    };
    let bytes = number.parse::<usize>().ok().and_then(|number| number.checked_mul(factor)).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| format!("{text:?} is no size; write bytes, or such as 256KiB, 1MiB"))
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        assert_eq!(parse_time("600s"), Ok(Duration::from_secs(600)));
        assert_eq!(parse_time("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(parse_time("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(parse_time("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_size("262144"), Ok(262_144));
        assert_eq!(parse_size("256KiB"), Ok(262_144));
        for wrong in ["", "0", "x", "-1", "1y", "99999999999999999999"] {
            assert!(parse_time(wrong).is_err() && parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
