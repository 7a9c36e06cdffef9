//! The contract as wasmtime sees it, generated from `wit/`.

// `metrics` is linked by hand (`imports/metrics.rs`), so its generated trait stays unimplemented.
wasmtime::component::bindgen!({
    world: "collector",
    path: "../wit",
    imports: { default: trappable },
    exports: { default: async },
});
