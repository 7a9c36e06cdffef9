//! The command line: one file for each command.

mod check;
mod demo;
mod exit;
mod inspect;
mod list;
mod options;
mod output;
mod progress;
mod run;
mod run_all;
mod spool;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::of_error as exit_code_of;
use options::Global;
pub use output::print_error;

/// Runs metric collectors as sandboxed WASI components, all at once, none able to hurt another.
///
/// A collector is a .wasm file in the components folder. What it may reach is in its manifest and in the plan, which is
/// made of the built-in defaults, a configuration file (host.toml) and the environment.
#[derive(Debug, Parser)]
#[command(name = "host", version, max_term_width = 110, after_long_help = exit::TABLE)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    RunAll(run_all::RunAll),
    Run(run::Run),
    List(list::List),
    Inspect(inspect::Inspect),
    Check(check::Check),
    Spool(spool::ShowSpool),
    Demo(demo::Demo),
}

impl Cli {
    /// Does what the command says; gives the process' exit code.
    ///
    /// # Errors
    /// Where the host itself failed, or the configuration cannot be what is meant.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        output::start_log(&self.global);
        match self.command {
            Command::RunAll(command) => command.run(&self.global).await,
            Command::Run(command) => command.run(&self.global).await,
            Command::List(command) => command.run(&self.global),
            Command::Inspect(command) => command.run(&self.global),
            Command::Check(command) => command.run(&self.global).await,
            Command::Spool(command) => command.run(&self.global),
            Command::Demo(command) => command.run(&self.global).await,
        }
    }
}
