//! Testing a collector natively: a world that answers its requests, and fixtures with golden text.
//!
//! ```ignore
//! // tests/golden.rs, the same in every collector but for its name
//! collector_sdk::golden!(collector_rockets::Rockets);
//! ```
//!
//! `fixtures/<case>.json` holds a [`Case`]; `fixtures/<case>.txt` is the text of everything the collector said and asked,
//! written anew by `UPDATE_GOLDEN=1 cargo test`.

mod case;
mod golden;
mod outcome;
pub(crate) mod world;

pub use case::{Case, Exchange};
pub use golden::golden;
pub use outcome::Outcome;
pub use world::{World, run};

/// A test that runs every fixture of the crate and compares what came out with the golden text beside it.
#[macro_export]
macro_rules! golden {
    ($collector:ty) => {
        #[test]
        fn every_fixture_gives_its_golden_text() {
            $crate::testing::golden::<$collector>(env!("CARGO_MANIFEST_DIR"));
        }
    };
}
