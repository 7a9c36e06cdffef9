//! How far each sink is in each segment.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const FILE: &str = "positions.json";

/// A place between two points of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Position {
    /// Where the frame begins.
    pub offset: u64,
    /// Points of that frame that are settled.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub points: u32,
}

fn is_zero(points: &u32) -> bool {
    *points == 0
}

/// By sink, then by segment. What does not stand there is at its beginning.
#[derive(Debug, Default)]
pub(super) struct Positions {
    path: Option<PathBuf>,
    all: BTreeMap<String, BTreeMap<String, Position>>,
}

impl Positions {
    /// Those of a folder. A file that cannot be read costs nothing but work: what was delivered is delivered again, and is the
    /// same points.
    pub fn open(folder: &Path) -> (Positions, Option<String>) {
        let path = folder.join(FILE);
        let read = std::fs::read(&path).map_err(|e| (e.kind() != io::ErrorKind::NotFound).then(|| e.to_string()));
        let parsed = read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| Some(e.to_string())));
        let (all, problem) = match parsed {
            Ok(all) => (all, None),
            Err(problem) => (BTreeMap::new(), problem),
        };
        let problem = problem.map(|what| format!("{}: {what}; what waits is sent from its beginning", path.display()));
        (Positions { path: Some(path), all }, problem)
    }

    pub fn get(&self, sink: &str, segment: &str) -> Position {
        self.all.get(sink).and_then(|of| of.get(segment)).copied().unwrap_or_default()
    }

    /// Moves a sink on, never back; the file is replaced as a whole.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn advance(&mut self, sink: &str, places: BTreeMap<String, Position>) -> io::Result<()> {
        let of_sink = self.all.entry(sink.to_owned()).or_default();
        for (segment, position) in places {
            let known = of_sink.entry(segment).or_default();
            *known = (*known).max(position);
        }
        self.save()
    }

    /// Forgets all segments and sinks but these.
    ///
    /// # Errors
    /// As [`Positions::advance`].
    pub fn keep(&mut self, is_kept: impl Fn(&str) -> bool) -> io::Result<()> {
        for of_sink in self.all.values_mut() {
            of_sink.retain(|segment, _| is_kept(segment));
        }
        self.all.retain(|_, of_sink| !of_sink.is_empty());
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let fresh = path.with_extension("json.new");
        std::fs::write(&fresh, serde_json::to_vec(&self.all)?)?;
        std::fs::rename(&fresh, path)
    }
}
