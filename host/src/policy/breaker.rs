//! When a collector that keeps faulting is left alone for a while.

use crate::model::Streak;

/// Cycles that a collector is left alone at most, before it is tried again.
const PAUSE_MAX: u32 = 4;

/// For how many cycles, this one included, a collector is still left alone; none where it is to run. It is left alone for one cycle
/// after `limit` faults in a row, for two after one more, and so on, doubling up to four; a limit of 0 never leaves it alone, and a new
/// component is given its chance.
pub fn pause(streak: &Streak, limit: u32, component_digest: Option<&str>) -> Option<u32> {
    let beyond = streak.faults.checked_sub(limit).filter(|_| limit > 0)?;
    let length = 1_u32.checked_shl(beyond).unwrap_or(PAUSE_MAX).min(PAUSE_MAX);
    let left = length.checked_sub(streak.paused).filter(|left| *left > 0)?;
    (streak.component_digest.as_deref() == component_digest).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_four_cycles_and_end() {
        let streak =
            |faults, paused| Streak { faults, paused, component_digest: Some("a".into()), last: String::new() };
        let after_three = |faults, paused| pause(&streak(faults, paused), 3, Some("a"));
        assert_eq!([(0, 0), (2, 0), (3, 0), (3, 1)].map(|(f, p)| after_three(f, p)), [None, None, Some(1), None]);
        assert_eq!([(4, 0), (4, 1), (4, 2)].map(|(f, p)| after_three(f, p)), [Some(2), Some(1), None]);
        assert_eq!([(5, 0), (90, 0), (90, 4)].map(|(f, p)| after_three(f, p)), [Some(4), Some(4), None]);
        assert_eq!((pause(&streak(90, 0), 0, Some("a")), pause(&streak(90, 0), 3, Some("b"))), (None, None));
    }
}
