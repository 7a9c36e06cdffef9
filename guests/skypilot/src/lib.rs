//! x
use collector_sdk::{Collector, Fault, Sheet, emit};
pub struct Skypilot;
impl Collector for Skypilot {
    async fn collect() -> Result<(), Fault> {
        let mut s = Sheet::default();
        s.count("skypilot.x", 1);
        emit(s)
    }
}
collector_sdk::export!(Skypilot);
