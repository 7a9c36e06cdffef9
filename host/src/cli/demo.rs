//! x
use super::options::Global;
use clap::Args;
use std::process::ExitCode;
/// Show it
#[derive(Debug, Args)]
pub(super) struct Demo {}
impl Demo {
    pub async fn run(self, _global: &Global) -> anyhow::Result<ExitCode> {
        Ok(ExitCode::SUCCESS)
    }
}
