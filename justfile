# The recipes of this repository. `./just` runs them on a machine that has no `just`.

set shell := ["bash", "-euo", "pipefail", "-c"]

target := env("CARGO_TARGET_DIR", justfile_directory() / "target")
tools := env("XDG_CACHE_HOME", env("HOME") / ".cache") / "collector-host/tools"
wasm := "wasm32-wasip2"

# Nothing of this machine's folders goes into a component, so that the same source gives the same digest everywhere.
cargo_home := env("CARGO_HOME", env("HOME") / ".cargo")
export CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS := "--remap-path-prefix=" + cargo_home + "=/cargo --remap-path-prefix=" + justfile_directory() + "=/src"

# List the recipes
default:
    @just --justfile {{ justfile() }} --list

# Build collectors into ./components: all of them, or those that are named
build-guests *names: _wasm
    #!/usr/bin/env bash
    set -euo pipefail
    cd {{ justfile_directory() }}
    all=$(cd guests && ls -d */ | tr -d / | grep -vx sdk)
    names="{{ names }}"
    packages=$(for name in ${names:-$all}; do printf -- '-p collector-%s ' "$name"; done)
    [ -n "$names" ] || packages="$packages -p demo-hangs"
    cargo build --profile guest --target {{ wasm }} $packages
    mkdir -p components/demo
    for name in ${names:-$all}; do
        # A running host may have the old file open: it keeps it, and the next run takes the new one.
        cp "{{ target }}/{{ wasm }}/guest/collector_${name//-/_}.wasm" "components/.$name.new"
        mv "components/.$name.new" "components/$name.wasm"
    done
    if [ -z "$names" ]; then cp "{{ target }}/{{ wasm }}/guest/demo_hangs.wasm" components/demo/hangs.wasm; fi
    ls -l components/*.wasm

# Build the host, optimised, into target/release/host
build:
    cargo build --release -p host

# Build everything and show a whole cycle: no network, no credentials
demo: build-guests
    cargo run --quiet -p host -- demo

# Run every test; builds the guests first
test: build-guests _hostile
    cargo test

# Formatting and clippy, warnings as errors
lint: _wasm
    cargo fmt --all --check
    cargo clippy --all-targets -- -D warnings
    cargo clippy --target {{ wasm }} --workspace --exclude host --exclude host-ec2 -- -D warnings

# Licences, duplicates and sources of dependencies
deny: (_tool "cargo-deny" "0.20.2")
    {{ tools }}/bin/cargo-deny --all-features check bans licenses sources

# Known vulnerabilities of dependencies; needs the advisory database from the network
audit: (_tool "cargo-deny" "0.20.2")
    {{ tools }}/bin/cargo-deny check advisories

# Write the generated parts of the documentation anew
generate: build-guests
    UPDATE_GENERATED=1 cargo test -p host --test suite generated_text

# Benchmarks: criterion for the boundary, whole processes for the rest. Takes some minutes
bench: build-guests _hostile
    cargo bench -p host --bench boundary
    cargo bench -p host --bench whole
    cargo bench -p host --bench worlds

# Run against real parts, and say aloud what is skipped
e2e: build-guests build
    host/tests/e2e/run

# What continuous integration runs
ci: test lint deny

# The guests that the tests and benchmarks need
_hostile: _wasm
    cargo build --profile guest --target {{ wasm }} -p hostile -p greedy

# Adds the wasm target to the pinned toolchain
_wasm:
    #!/usr/bin/env bash
    set -euo pipefail
    cd {{ justfile_directory() }}
    lib=$(rustc --print target-libdir --target {{ wasm }} 2>/dev/null || true)
    if [ -n "$lib" ] && [ -d "$lib" ]; then exit 0; fi
    if command -v rustup >/dev/null && rustup target add {{ wasm }}; then exit 0; fi
    cat >&2 <<'TEXT'
    The compiler has no standard library for {{ wasm }}, and rustup could not add it.
    With network: rustup target add {{ wasm }}
    Without rustup: install rustc with that target from your distribution (Fedora: rust-std-static-{{ wasm }}), or build the
    components on another machine (`./just build-guests` there) and copy its components/ folder here.
    TEXT
    exit 1

# Installs a cargo tool into the user's cache, once
_tool name version:
    #!/usr/bin/env bash
    set -euo pipefail
    if [ ! -x "{{ tools }}/bin/{{ name }}" ] || ! "{{ tools }}/bin/{{ name }}" --version | grep -qF "{{ version }}"; then
        echo "installing {{ name }} {{ version }} into {{ tools }} (once)" >&2
        CARGO_TARGET_DIR={{ tools }}/target cargo install {{ name }} --version {{ version }} --locked --quiet --root {{ tools }}
        rm -rf {{ tools }}/target
    fi
