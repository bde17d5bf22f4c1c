//! Sizes and durations as users write them: `64MiB`, `2s`. Only their text forms live here.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// Text that should have been a size or a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a size.
    #[error("`{0}` is not a size: write a number and a unit, such as 512KiB, 64MiB or 2GiB")]
    Size(String),
    /// Not a duration.
    #[error("`{0}` is not a duration: write a number and a unit, such as 500ms, 2s or 5m")]
    Duration(String),
}

/// Reads a size in bytes: `64MiB` (powers of two), `64MB` (powers of ten), `4096B`. A bare number
/// is refused unless it is 0, because nobody remembers which unit it would be in.
///
/// # Errors
/// [`UnitError::Size`] when the text is anything else.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError::Size(text.to_owned());
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(0);
    }
    if !trimmed.ends_with(|last: char| last.is_ascii_alphabetic()) {
        return Err(error());
    }
    trimmed.parse::<bytesize::ByteSize>().map(|size| size.as_u64()).map_err(|_| error())
}

/// Reads a duration: `500ms`, `2s`, `1m 30s`. A bare number is refused unless it is 0.
///
/// # Errors
/// [`UnitError::Duration`] when the text is anything else.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text.trim()).map_err(|_| UnitError::Duration(text.to_owned()))
}

/// Writes a size the way [`parse_size`] reads it, in the largest unit that is exact or near.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit {
            return if bytes.is_multiple_of(unit) {
                format!("{}{name}", bytes / unit)
            } else {
                // Rounded up: what is over a limit must not read as if it were the limit.
                let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(unit));
                format!("{}.{}{name}", tenths / 10, tenths % 10)
            };
        }
    }
    format!("{bytes}B")
}

/// Writes a duration for people, in two units at most: `1.5s`, `2m 5s`, `340ms`, `12µs`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 3600 {
        format!("{}h {}m", seconds / 3600, seconds % 3600 / 60)
    } else if seconds >= 60 {
        format!("{}m {}s", seconds / 60, seconds % 60)
    } else if seconds >= 1 {
        trim_zero(format!("{}.{}", seconds, duration.subsec_millis() / 100), "s")
    } else if duration.as_millis() >= 10 {
        format!("{}ms", duration.as_millis())
    } else if duration.as_micros() >= 1000 {
        trim_zero(format!("{}.{}", duration.as_millis(), duration.as_micros() % 1000 / 100), "ms")
    } else {
        format!("{}µs", duration.as_micros())
    }
}

fn trim_zero(number: String, unit: &str) -> String {
    format!("{}{unit}", number.strip_suffix(".0").unwrap_or(&number))
}

/// `#[serde(with = "units::size")]` for a size in a configuration file.
pub mod size {
    use super::{Deserialize, Deserializer, Serializer};
    use serde::de::Error as _;

    /// Writes the size with its unit, exactly.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        let text = super::format_size(*bytes);
        let exact = super::parse_size(&text) == Ok(*bytes);
        serializer.serialize_str(&if exact { text } else { format!("{bytes}B") })
    }

    /// Reads a size with its unit.
    ///
    /// # Errors
    /// When the text is not a size.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_size(&text).map_err(D::Error::custom)
    }
}

/// `#[serde(with = "units::duration")]` for a duration in a configuration file.
pub mod duration {
    use super::{Deserialize, Deserializer, Duration, Serializer};
    use serde::de::Error as _;

    /// Writes the duration with its units, exactly.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    /// Reads a duration with its unit.
    ///
    /// # Errors
    /// When the text is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_duration(&text).map_err(D::Error::custom)
    }
}

/// A size that may be absent.
pub(crate) fn optional_size<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    let text = Option::<String>::deserialize(d)?;
    text.map(|text| parse_size(&text).map_err(D::Error::custom)).transpose()
}

/// A duration that may be absent.
pub(crate) fn optional_duration<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(d)?;
    text.map(|text| parse_duration(&text).map_err(D::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_need_their_unit() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size(" 1.5 KiB "), Ok(1536));
        assert_eq!(parse_size("2MB"), Ok(2_000_000));
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["64", "", "MiB", "-1MiB", "64 apples"] {
            assert!(parse_size(wrong).is_err(), "{wrong:?} was taken for a size");
        }
        for wrong in ["2", "", "s", "-1s", "2 apples"] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?} was taken for a duration");
        }
    }

    #[test]
    fn what_is_written_is_short() {
        assert_eq!(format_size(64 << 20), "64MiB");
        assert_eq!(format_size(1536), "1.5KiB");
        assert_eq!(format_size((32 << 20) + 1), "32.1MiB");
        assert_eq!(format_size(12), "12B");
        for (micros, text) in [
            (12, "12µs"),
            (1_500, "1.5ms"),
            (340_000, "340ms"),
            (1_000_000, "1s"),
            (1_500_000, "1.5s"),
            (125_000_000, "2m 5s"),
            (7_260_000_000, "2h 1m"),
        ] {
            assert_eq!(format_duration(Duration::from_micros(micros)), text);
        }
    }
}
