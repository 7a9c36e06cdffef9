//! From the way an attempt ended to a fault: what was reached, whose mistake it was.

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::bindings::collector::host::faults as wit;
use super::limiter::{Limiter, Reached};
use crate::limits::Limits;
use crate::model::{Blame, Fault, Name, Reason};

/// Deeper than any program that means to come back. Rust's stack lies at the bottom of linear memory, so a recursion without
/// end runs out of that before it runs out of the machine's stack, and traps as any stray access does.
pub(super) const FRAMES_OF_A_RECURSION: usize = 512;

/// What is known of an attempt whose call ended with an error.
pub(super) struct Ending<'a> {
    pub collector: &'a Name,
    pub limits: &'a Limits,
    pub limiter: &'a Limiter,
    /// What the guest wrote to stderr.
    pub last_words: &'a str,
}

/// A trap, or whatever else made wasmtime give up.
pub(super) fn fault(error: &wasmtime::Error, ending: &Ending<'_>) -> Fault {
    let Ending { collector, limits, limiter, last_words } = ending;
    let guest = |reason, what: String| Fault::new(Blame::Guest, reason, what);
    let raise = |key: &str| format!("raise {key} under [collector.{collector}.limits], or let the collector need less");
    // A growth that was refused is why a guest aborts or traps afterwards, whatever the trap is called.
    match limiter.reached {
        Some(Reached::Memory) => {
            return guest(Reason::Memory, format!("wanted more linear memory than memory ({})", limits.memory))
                .hint(raise("memory"));
        }
        Some(Reached::TableElements) => {
            let what = format!("wanted more table elements than table_elements ({})", limits.table_elements);
            return guest(Reason::Resources, what).hint(raise("table_elements"));
        }
        None => {}
    }
    let said = |what: &str| match *last_words {
        "" => what.to_owned(),
        words => format!("{what}: {words}"),
    };
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return guest(Reason::Panic, said(&format!("ended itself with exit code {code}")));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            let what = format!("used up its CPU budget, fuel ({}){}", limits.fuel, place(error));
            guest(Reason::Fuel, what).hint(raise("fuel"))
        }
        Some(Trap::StackOverflow) => guest(Reason::StackOverflow, "recursed without end".into()),
        Some(Trap::MemoryOutOfBounds) if frames(error) >= FRAMES_OF_A_RECURSION => {
            guest(Reason::StackOverflow, "recursed without end".into())
        }
        Some(Trap::UnreachableCodeReached) => guest(Reason::Panic, said("gave up")),
        Some(trap) => guest(Reason::Trap, said(&format!("trapped: {trap}{}", place(error)))),
        None => of_text(error, limits, said("")),
    }
}

/// The instruction at which it happened, as an offset into the core module: ` at 0x1a2b`.
fn place(error: &wasmtime::Error) -> String {
    let frame = error.downcast_ref::<WasmBacktrace>().and_then(|backtrace| backtrace.frames().first());
    let offset = frame.and_then(wasmtime::FrameInfo::module_offset);
    offset.map(|offset| format!(" at {offset:#x}")).unwrap_or_default()
}

fn frames(error: &wasmtime::Error) -> usize {
    error.downcast_ref::<WasmBacktrace>().map_or(0, |backtrace| backtrace.frames().len())
}

/// A component that needs more from the start than the pool has for one; none where the error is another one. Wasmtime has no
/// type for it; the hostile programs check the texts.
pub(super) fn of_pool(error: &wasmtime::Error) -> Option<Fault> {
    let text = format!("{error:#}");
    if !text.contains("pooling allocator") {
        return None;
    }
    let is_memory = text.contains("memory has a minimum byte size");
    let (reason, key) = if is_memory { (Reason::Memory, "memory") } else { (Reason::Resources, "instances") };
    let what = format!("needs more from the start than the largest {key} of the plan: {text}");
    Some(Fault::new(Blame::Guest, reason, what).hint(format!("raise {key} under [limits], or take the component out")))
}

/// Errors for which wasmtime has no type. Their texts are checked by the hostile programs.
fn of_text(error: &wasmtime::Error, limits: &Limits, said: String) -> Fault {
    // Around it stand the frames that it came through.
    let cause = error.root_cause().to_string();
    let guest = |reason, what: String| Fault::new(Blame::Guest, reason, what);
    let is_about = |parts: &[&str]| parts.iter().any(|part| cause.contains(part));
    if is_about(&["fuel allocated for hostcalls"]) {
        let what = format!("handed over more in one call than hostcall ({})", limits.hostcall);
        return guest(Reason::HostcallFuel, what);
    }
    if is_about(&["instance count too high", "table count too high", "memory count too high"]) {
        return guest(Reason::Resources, format!("{cause}; the limit is instances ({})", limits.instances));
    }
    if is_about(&["store handle limit exceeded"]) {
        return guest(Reason::Resources, format!("held more handles at once than handles ({})", limits.handles));
    }
    guest(Reason::Trap, if said.is_empty() { cause } else { format!("{cause}{said}") })
}

/// A fault that the collector returned itself.
pub(super) fn fault_of_guest(fault: wit::Fault) -> Fault {
    let blame = match fault.blame {
        wit::Blame::Guest => Blame::Guest,
        wit::Blame::Upstream => Blame::Upstream,
        wit::Blame::Settings => Blame::Settings,
    };
    let reason = match fault.reason {
        wit::Reason::Unreachable => Reason::Unreachable,
        wit::Reason::Timeout => Reason::Timeout,
        wit::Reason::UpstreamError => Reason::UpstreamError,
        wit::Reason::RateLimited => Reason::RateLimited,
        wit::Reason::Unauthorized => Reason::Unauthorized,
        wit::Reason::NotFound => Reason::NotFound,
        wit::Reason::BadAnswer => Reason::BadAnswer,
        wit::Reason::Credential => Reason::Credential,
        wit::Reason::Setting => Reason::Setting,
        wit::Reason::Denied => Reason::Denied,
        wit::Reason::Limit => Reason::Limit,
        wit::Reason::Contract => Reason::Contract,
        wit::Reason::Other => Reason::Other,
    };
    const MESSAGE_CHARS_MAX: usize = 600;
    let message = fault.message.chars().map(|c| if c.is_control() { ' ' } else { c });
    Fault::new(blame, reason, message.take(MESSAGE_CHARS_MAX).collect::<String>())
}
