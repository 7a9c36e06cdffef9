//! x
use collector_sdk::{Collector, Fault, Sheet, emit};
pub struct Github;
impl Collector for Github {
    async fn collect() -> Result<(), Fault> {
        let mut s = Sheet::default();
        s.count("github.x", 1);
        emit(s)
    }
}
collector_sdk::export!(Github);
