//! x
use std::process::ExitCode;
use clap::Args;
use super::options::Global;
/// Show it
#[derive(Debug, Args)]
pub(super) struct Demo {}
impl Demo {
    pub async fn run(self, _global: &Global) -> anyhow::Result<ExitCode> { Ok(ExitCode::SUCCESS) }
}
