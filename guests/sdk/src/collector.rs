//! The trait that a collector implements, and the macro that makes a component of it.

use crate::Fault;

/// One attempt at collecting: ask the upstreams, measure, emit.
///
/// The host calls it in a fresh instance each time, so nothing is kept from one call to the next.
pub trait Collector {
    /// Emits everything that could be measured, a gap for everything that could not, and then returns.
    ///
    /// # Errors
    /// A [`Fault`] says that something went wrong; what was emitted before it is kept, and the run is `partial`.
    fn collect() -> impl Future<Output = Result<(), Fault>>;
}

/// Makes the crate a component: exports the collector, and puts `collector.toml` into it as a custom section.
#[macro_export]
macro_rules! export {
    ($collector:ident) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            const TEXT: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/collector.toml"));

            // A custom section of the core module, and so of the component around it. No `#[used]`: with it the bytes
            // land in linear memory instead.
            #[allow(unsafe_code, reason = "naming a link section is unsafe; these are bytes that no code reads")]
            #[unsafe(link_section = "collector-manifest")]
            pub static MANIFEST: [u8; TEXT.len()] =
                *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/collector.toml"));
        };

        #[cfg(target_family = "wasm")]
        $crate::bindings::export_component!($collector);
    };
}
