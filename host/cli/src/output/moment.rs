//! Moments and durations as people and programs read them, and moments as people type them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sandmill::core::Timestamp;
use sandmill::core::units::{format_duration, parse_duration};

/// Now, by the system's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The time from one moment to another; nothing where the second comes first.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_micros(to.as_micros().saturating_sub(from.as_micros()))
}

/// A moment as a date and a time of day, in UTC, to the second: `2026-11-21 10:52:40Z`.
pub(crate) fn utc(at: Timestamp) -> String {
    match system(at) {
        Some(time) => humantime::format_rfc3339_seconds(time).to_string().replacen('T', " ", 1),
        None => format!("{}µs", at.as_micros()),
    }
}

/// The same with milliseconds, for lines that come close together.
pub(crate) fn utc_millis(at: Timestamp) -> String {
    match system(at) {
        Some(time) => humantime::format_rfc3339_millis(time).to_string().replacen('T', " ", 1),
        None => format!("{}µs", at.as_micros()),
    }
}

/// How long ago a moment is: `3m 5s ago`, or `in 5s`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        return format!("in {}", format_duration(whole_seconds(between(now, at))));
    }
    let past = between(at, now);
    match past.as_secs() {
        0 => "just now".to_owned(),
        seconds if seconds >= 2 * 86_400 => format!("{} days ago", seconds / 86_400),
        _ => format!("{} ago", format_duration(whole_seconds(past))),
    }
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs().max(1))
}

/// What the formatter can say: years up to 9999.
fn system(at: Timestamp) -> Option<SystemTime> {
    const LAST: u64 = 253_402_300_799_000_000;
    (at.as_micros() <= LAST).then(|| UNIX_EPOCH + Duration::from_micros(at.as_micros()))
}

/// A moment as it is typed: a duration that lies back so far (`2h`), a date (`2026-11-21`), or a
/// date with a time in UTC (`2026-11-21T10:52:40Z`).
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    let trimmed = text.trim();
    if let Ok(back) = parse_duration(trimmed) {
        let back = u64::try_from(back.as_micros()).unwrap_or(u64::MAX);
        return Ok(Timestamp::from_micros(now().as_micros().saturating_sub(back)));
    }
    let with_time = format!("{trimmed}T00:00:00Z");
    let time = humantime::parse_rfc3339_weak(trimmed)
        .or_else(|_| humantime::parse_rfc3339_weak(&with_time))
        .map_err(|_| {
            format!(
                "`{text}` is no moment: write how long ago (30m, 2h, 7days), a date (2026-11-21), \
                 or a time in UTC (2026-11-21T10:52:40Z)"
            )
        })?;
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_micros(1_795_258_360_250_000);

    #[test]
    fn moments_read_back_as_they_are_written() {
        assert_eq!(utc(AT), "2026-11-21 10:52:40Z");
        assert_eq!(utc_millis(AT), "2026-11-21 10:52:40.250Z");
        let second = Timestamp::from_micros(AT.as_micros() / 1_000_000 * 1_000_000);
        assert_eq!(parse("2026-11-21 10:52:40Z"), Ok(second));
        assert_eq!(parse("2026-11-21T10:52:40Z"), Ok(second));
        assert_eq!(parse("2026-11-21").map(utc), Ok("2026-11-21 00:00:00Z".to_owned()));
        let hour = between(parse("1h").unwrap(), now()).as_secs();
        assert!((3600..3660).contains(&hour), "{hour}");
        for wrong in ["", "yesterday", "2026-13-01", "12"] {
            assert!(parse(wrong).is_err(), "{wrong} was taken");
        }
        assert!(utc(Timestamp::from_micros(u64::MAX)).ends_with("µs"));
    }

    #[test]
    fn moments_are_told_from_here() {
        let later = |seconds: u64| Timestamp::from_micros(AT.as_micros() + seconds * 1_000_000);
        assert_eq!(ago(AT, AT), "just now");
        assert_eq!(ago(AT, later(65)), "1m 5s ago");
        assert_eq!(ago(later(5), AT), "in 5s");
        assert_eq!(ago(AT, later(86_400 * 3)), "3 days ago");
    }
}
