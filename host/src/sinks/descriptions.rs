//! What series mean, for intakes that are told.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::Manifest;

/// Descriptions by series. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Descriptions(Arc<HashMap<String, String>>);

impl Descriptions {
    /// Those of manifests; where several have a series, the last one's.
    pub fn of<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> Descriptions {
        let series = manifests.into_iter().flat_map(|manifest| &manifest.series);
        Descriptions(Arc::new(series.map(|series| (series.name.clone(), series.description.clone())).collect()))
    }

    /// What a series means; nothing where nobody has said so: its collector may be gone since it was emitted.
    pub fn of_series(&self, series: &str) -> &str {
        self.0.get(series).map(String::as_str).unwrap_or_default()
    }
}
