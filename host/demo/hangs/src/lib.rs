//! The collector of `host demo` that hangs on purpose.

use std::hint::black_box;

use collector_sdk::{Collector, Fault, Sheet, emit};

pub struct Hangs;

impl Collector for Hangs {
    async fn collect() -> Result<(), Fault> {
        let mut sheet = Sheet::default();
        sheet.count("demo.hangs.began", 1);
        emit(sheet)?;
        loop {
            black_box(0);
        }
    }
}

collector_sdk::export!(Hangs);
