//! WASI with nothing behind it: clocks, random numbers, and stdio to the log. No files, environment, arguments or sockets.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};

use crate::clock;
use crate::runtime::log::{GuestLog, Stdio};

/// The same for every attempt, so that hash maps, and with them fuel, come out the same.
const SEED: u64 = 0x5eed;

/// Random numbers repeat after so many bytes.
const RANDOM_BYTES: usize = 256;

/// The context of one attempt. Its wall clock stands at the cycle's start.
pub(in crate::runtime) fn context(now: Timestamp, log: &GuestLog) -> WasiCtx {
    WasiCtxBuilder::new()
        .stdout(Stdio(log.clone()))
        .stderr(Stdio(log.clone()))
        .wall_clock(Standing(now))
        .monotonic_clock(SinceStart(clock::instant()))
        .secure_random(random())
        .insecure_random(random())
        .insecure_random_seed(u128::from(SEED))
        .max_random_size(1 << 16)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

fn random() -> Deterministic {
    let mut random = fastrand::Rng::with_seed(SEED);
    Deterministic::new(std::iter::repeat_with(|| random.u8(..)).take(RANDOM_BYTES).collect())
}

/// A wall clock that stands.
struct Standing(Timestamp);

impl HostWallClock for Standing {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::try_from(self.0.as_duration()).unwrap_or_default()
    }
}

/// A monotonic clock that begins with the attempt.
struct SinceStart(Instant);

impl HostMonotonicClock for SinceStart {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        let elapsed = clock::instant().saturating_duration_since(self.0);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }
}
