//! The only reader of time.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The wall clock, cut to whole seconds: what a cycle calls "now" is a time that every upstream can be asked about.
pub fn wall() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// A cycle's clock: its start, which may be given, and what has passed since.
#[derive(Clone, Copy, Debug)]
pub struct CycleClock {
    start: Timestamp,
    began: Instant,
}

impl CycleClock {
    /// It is `start` at `began`.
    pub fn new(start: Timestamp, began: Instant) -> CycleClock {
        CycleClock { start, began }
    }

    /// What time it is for the cycle.
    pub fn now(&self) -> Timestamp {
        let passed = instant().saturating_duration_since(self.began);
        self.start.saturating_add(passed).unwrap_or(self.start)
    }
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

/// The scheduled time in the name of a CronJob's Job: `<cronjob>-<minutes since 1970>`, as Kubernetes' controller makes it
/// (getJobName in kubernetes/pkg/controller/cronjob). None for a Job that somebody named.
pub fn slot_of_job(name: &str) -> Option<Timestamp> {
    let (_, minutes) = name.rsplit_once('-')?;
    let minutes: i64 =
        minutes.parse().ok().filter(|_| minutes.len() == 8 && minutes.bytes().all(|b| b.is_ascii_digit()))?;
    Timestamp::from_second(minutes * 60).ok()
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
        assert_eq!(slot_of_job("dashboard-29355120"), Some(at("2025-10-24T12:00:00Z")));
        for named in ["dashboard", "dashboard-1", "dashboard-x9355120", "dashboard-293551200"] {
            assert_eq!(slot_of_job(named), None, "{named}");
        }
        assert_eq!(slot(at("2025-10-24T12:14:59Z"), Duration::ZERO), at("2025-10-24T12:14:59Z"));
    }
}
