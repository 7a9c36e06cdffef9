//! A host that runs metric collectors as sandboxed WASI components.
//!
//! ARCHITECTURE.md has the levels; a module uses only modules of lower ones.

pub mod app;
pub mod capability;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod egress;
pub mod limits;
pub mod model;
pub mod policy;
pub mod report;
pub mod runner;
pub mod runtime;
pub mod sinks;
pub mod spool;
pub mod store;

/// glibc's own grows the arenas of other threads a page at a time, and musl's takes a lock: with a thousand collectors at once
/// either is a quarter of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
