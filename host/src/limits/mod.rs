//! Every ceiling of an attempt: one place, a unit, a reason, a configuration key.

mod bytes;
mod memory;

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

pub use bytes::{ByteSize, ParseByteSizeError};
pub use memory::{HOST_BYTES, MemoryBudget};

/// A wall-clock duration as people write it: `120s`, `10m`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Wall(#[serde(with = "jiff::fmt::serde::unsigned_duration::required")] pub Duration);

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::SignedDuration::try_from(self.0) {
            Ok(duration) => f.pad(&format!("{duration:#}")),
            Err(_) => f.pad("for ever"),
        }
    }
}

/// One row of the table of limits, for documentation.
#[derive(Clone, Debug)]
pub struct LimitInfo {
    /// The configuration key, under `[limits]` or `[collector.NAME.limits]`.
    pub key: &'static str,
    pub default: String,
    /// Why there is such a limit, and what ends an attempt that reaches it.
    pub why: String,
}

macro_rules! limits {
    ($( $(#[doc = $why:literal])+ $key:ident: $type:ty = $default:expr; )+) => {
        /// The ceilings of one attempt.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Limits {
            $( $(#[doc = $why])+ pub $key: $type, )+
        }

        /// Some of the ceilings: what a manifest asks for, or a section of the configuration sets.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct LimitsPatch {
            $( $(#[doc = $why])+ pub $key: Option<$type>, )+
        }

        impl Default for Limits {
            fn default() -> Limits {
                Limits { $( $key: $default, )+ }
            }
        }

        impl Limits {
            /// The same ceilings, but for those that the patch sets.
            #[must_use]
            pub fn with(&self, patch: &LimitsPatch) -> Limits {
                Limits { $( $key: patch.$key.unwrap_or(self.$key), )+ }
            }

            /// The same ceilings, but for those that the patch sets lower.
            #[must_use]
            pub fn lowered(&self, patch: &LimitsPatch) -> Limits {
                Limits { $( $key: patch.$key.map_or(self.$key, |asked| asked.min(self.$key)), )+ }
            }

            /// The first ceiling that `asked` sets higher than these and that `given` does not set: key and value.
            pub fn exceeded_by(&self, asked: &LimitsPatch, given: &LimitsPatch) -> Option<(&'static str, String)> {
                $( match asked.$key {
                    Some(value) if value > self.$key && given.$key.is_none() => {
                        return Some((stringify!($key), value.to_string()));
                    }
                    _ => {}
                } )+
                None
            }

            /// Every limit with its value, in order.
            pub fn values(&self) -> Vec<(&'static str, String)> {
                vec![ $( (stringify!($key), self.$key.to_string()), )+ ]
            }

            /// Every limit with its default and its reason, in order.
            pub fn table() -> Vec<LimitInfo> {
                let defaults = Limits::default();
                vec![ $( LimitInfo {
                    key: stringify!($key),
                    default: defaults.$key.to_string(),
                    why: concat!($($why),+).trim().to_owned(),
                }, )+ ]
            }
        }
    };
}

limits! {
    /// Wall time of an attempt, start-up and host calls included: a hanging upstream must not hold the cycle. A clock
    /// around the whole call ends it.
    deadline: Wall = Wall(Duration::from_secs(120));

    /// CPU of the guest alone, in wasmtime's units (5 to 10 for a nanosecond); waiting costs none. Measured: a project of
    /// 26,000 W&B runs takes 0.1 billion (0.8 with the optional series), a week of 2,000 workflow runs 1, a cluster of 10,000 pods 3,
    /// 10 MB of JSON half a billion. An out-of-fuel trap ends it, at the same instruction every time.
    fuel: u64 = 10_000_000_000;

    /// Linear memory, all memories together. Growth beyond it is refused, and a guest that does not cope is ended.
    memory: ByteSize = ByteSize::mib(64);

    /// Elements of all tables together: each is host memory. Growth beyond it is refused.
    table_elements: u32 = 20_000;

    /// Core instances, and tables: every component of one language's tool chain needs few. Memories are at most two.
    instances: u32 = 32;

    /// Handles to host resources that live at once. One more traps.
    handles: u32 = 1_000;

    /// Bytes that one call may make the host allocate. More traps; wasmtime's own bound is 128 MiB.
    hostcall: ByteSize = ByteSize::mib(4);

    /// Requests of an attempt. One more is answered with an error.
    requests: u32 = 500;

    /// Requests in flight. One more is answered with an error.
    requests_at_once: u32 = 32;

    /// Body and headers of one request. More is answered with an error.
    request_bytes: ByteSize = ByteSize::mib(1);

    /// Body of one answer, compressed and decompressed, counted while reading: a body of 5 GB or a gzip bomb ends here.
    response_body: ByteSize = ByteSize::mib(16);

    /// Headers of one answer.
    response_headers: ByteSize = ByteSize::kib(64);

    /// Bodies that are being read at once, all together: this is the host's memory, not the guest's.
    response_buffer: ByteSize = ByteSize::mib(16);

    /// Bodies of all answers of an attempt, decompressed.
    response_total: ByteSize = ByteSize::mib(512);

    /// Points of an attempt: of each series, a name with its tags, there is one at most. More are refused.
    points: u32 = 10_000;

    /// Series of a collector within an hour, names with their tags: each may become a paid custom metric, and a tag whose values come and
    /// go makes new ones in every cycle. New ones beyond are refused; those that were there go on.
    series: u32 = 20_000;

    /// Tags of one point. A point with more is refused.
    tags: u32 = 16;

    /// Bytes of one tag, `key:value` (Datadog cuts at 200). A point with a longer one is refused.
    tag_bytes: u32 = 200;

    /// Reports of workloads, runs and failures together: each is a row of the failure database. More are refused.
    reports: u32 = 20_000;

    /// Text of those reports, names, messages, logs and events, and 512 bytes for each: the host holds them until the cycle is
    /// recorded. More are refused.
    report_bytes: ByteSize = ByteSize::mib(16);

    /// Log lines and whatever is written to stdout and stderr. More is dropped and counted.
    log: ByteSize = ByteSize::kib(64);
}

impl fmt::Display for LimitInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| `{}` | {} | {} |", self.key, self.default, self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_sets_what_it_names_and_nothing_else() {
        let patch: LimitsPatch = toml::from_str("deadline = '3s'\nmemory = '128MiB'\nfuel = 7").unwrap();
        let limits = Limits::default().with(&patch);
        assert_eq!(limits.deadline.0, Duration::from_secs(3));
        assert_eq!((limits.memory, limits.fuel), (ByteSize::mib(128), 7));
        assert_eq!(limits.points, Limits::default().points);
    }

    #[test]
    fn a_manifest_may_ask_for_less_and_more_has_to_be_given() {
        let asked: LimitsPatch = toml::from_str("deadline = '300s'\nfuel = 7").unwrap();
        let (plan, none) = (Limits::default(), LimitsPatch::default());
        assert_eq!(plan.lowered(&asked), Limits { fuel: 7, ..Limits::default() });
        assert_eq!(plan.exceeded_by(&asked, &none), Some(("deadline", "5m".into())));
        let given: LimitsPatch = toml::from_str("deadline = '200s'").unwrap();
        assert_eq!(plan.exceeded_by(&asked, &given), None);
    }

    #[test]
    fn a_limit_that_does_not_exist_is_refused() {
        assert!(toml::from_str::<LimitsPatch>("memmory = '1MiB'").is_err());
    }

    #[test]
    fn every_limit_says_why() {
        let table = Limits::table();
        assert!(table.len() >= 18 && table.iter().all(|limit| limit.why.ends_with('.') || limit.why.len() > 20));
    }
}
