//! `settings`: the collector's own, already merged and checked by the plan.

use super::State;
use super::wit::settings::Host;

impl Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.settings.get(&key).cloned())
    }
}
