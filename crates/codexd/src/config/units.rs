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

/// A bound that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrOff<T>(pub(crate) Option<T>);

/// As [`parse_time`], or `off`, or 0 for the same.
pub(crate) fn parse_time_or_off(text: &str) -> Result<OrOff<Duration>, String> {
    or_off(text, parse_time)
}

/// As [`parse_size`], or `off`, or 0 for the same.
pub(crate) fn parse_size_or_off(text: &str) -> Result<OrOff<usize>, String> {
    or_off(text, parse_size)
}

fn or_off<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<OrOff<T>, String> {
    if matches!(text.trim(), "off" | "0") {
        return Ok(OrOff(None));
    }
    parse(text).map(|value| OrOff(Some(value))).map_err(|why| format!("{why}, or off"))
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

    #[test]
    fn some_can_be_switched_off() {
        assert_eq!(parse_time_or_off("12h"), Ok(OrOff(Some(Duration::from_secs(43_200)))));
        assert_eq!(parse_size_or_off("2GiB"), Ok(OrOff(Some(2 << 30))));
        for off in ["off", "0", " off "] {
            assert_eq!((parse_time_or_off(off), parse_size_or_off(off)), (Ok(OrOff(None)), Ok(OrOff(None))), "{off}");
        }
        for wrong in ["", "-1", "never", "1y"] {
            assert!(parse_time_or_off(wrong).unwrap_err().ends_with(", or off"), "{wrong}");
            assert!(parse_size_or_off(wrong).is_err(), "{wrong}");
        }
    }
}
