//! The one "now" of a cycle.

use jiff::Timestamp;

/// The start of the cycle: the same instant for all collectors of a cycle, and for the whole attempt. Windows and ages are
/// measured from it.
pub fn now() -> Timestamp {
    crate::boundary::now()
}
