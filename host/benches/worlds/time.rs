//! The instant of all worlds, and what was before it.

/// What the collectors take for now: 2025-10-24T12:00:00Z.
pub const NOW_S: i64 = 1_761_307_200;

/// So many seconds before it: `2025-10-24T11:00:00Z`.
pub fn seconds_ago(seconds: i64) -> String {
    jiff::Timestamp::from_second(NOW_S - seconds).expect("a time").to_string()
}

/// So many minutes before it.
pub fn minutes_ago(minutes: usize) -> String {
    seconds_ago(60 * minutes as i64)
}
