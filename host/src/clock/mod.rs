//! The only reader of time.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The wall clock, cut to whole seconds: what a cycle calls "now" is a time that every upstream can be asked about.
pub fn wall() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The monotonic clock.
pub fn instant() -> Instant {
    Instant::now()
}

/// Milliseconds since an instant.
pub fn ms_since(start: Instant) -> u64 {
    u64::try_from(instant().saturating_duration_since(start).as_millis()).unwrap_or(u64::MAX)
}

/// The slot that a cycle belongs to: its start, floored to the schedule. All cycles of one slot write the same points.
pub fn slot(start: Timestamp, schedule: Duration) -> Timestamp {
    let step = i64::try_from(schedule.as_secs()).unwrap_or(i64::MAX).max(1);
    let second = start.as_second();
    Timestamp::from_second(second - second.rem_euclid(step)).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_the_start_floored_to_the_schedule() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let quarter = Duration::from_secs(900);
        assert_eq!(slot(at("2025-10-24T12:14:59Z"), quarter), at("2025-10-24T12:00:00Z"));
        assert_eq!(slot(at("2025-10-24T12:15:00Z"), quarter), at("2025-10-24T12:15:00Z"));
        assert_eq!(slot(at("1969-12-31T23:59:59Z"), quarter), at("1969-12-31T23:45:00Z"));
        assert_eq!(slot(at("2025-10-24T12:14:59Z"), Duration::ZERO), at("2025-10-24T12:14:59Z"));
    }
}
