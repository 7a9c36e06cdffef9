//! The binary `host`.

use std::process::ExitCode;

use clap::Parser;
use host::cli::{Cli, exit_code_of, print_error};

/// Threads for connections, timers and reports. Collectors run on threads of their own.
const CONTROL_THREADS: usize = 2;

fn main() -> ExitCode {
    // Before anything could ask for TLS: with several providers linked, rustls would not know which to take.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("warning: another TLS provider was installed before");
    }
    // Rounded up to huge pages, heaps and guests hold 70 MiB where they need 40. A kernel that cannot is none the worse.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let cli = Cli::parse();
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build();
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("error: no threads: {e}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli.run()).unwrap_or_else(|error| {
        print_error(&error);
        exit_code_of(&error)
    });
    // Without waiting: what still runs is a component being compiled that nobody waits for.
    runtime.shutdown_background();
    code
}
