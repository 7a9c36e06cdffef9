//! x
use collector_sdk::{Collector, Fault, Sheet, emit};
pub struct Wandb;
impl Collector for Wandb {
    async fn collect() -> Result<(), Fault> {
        let mut s = Sheet::default();
        s.count("wandb.x", 1);
        emit(s)
    }
}
collector_sdk::export!(Wandb);
