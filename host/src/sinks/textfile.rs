//! A file in Prometheus' text format that always holds the newest slot: for node_exporter's textfile collector.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Descriptions, Payload, Verdict, exposition, files};
use crate::model::Sample;

/// The file.
pub struct Textfile {
    path: PathBuf,
    descriptions: Descriptions,
}

impl Textfile {
    pub(super) fn new(path: &Path, descriptions: &Descriptions) -> Textfile {
        Textfile { path: path.into(), descriptions: descriptions.clone() }
    }

    pub(super) fn encode(&self, samples: &[Sample]) -> Payload {
        exposition::encode(samples, &self.descriptions, None)
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        files::look(&self.path)
    }

    pub(super) async fn send(&self, text: Bytes) -> Verdict {
        files::write(&self.path, move |path| replace(path, &text)).await
    }
}

/// Writes the file beside its place and puts it there at once: whoever reads it sees the old one or the new one. The name beside ends in no
/// `.prom`, so that nobody takes it for a file of its own.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    files::is_file_or_nothing(path)?;
    let fresh = files::beside(path, ".new");
    let mut file = File::create(&fresh)?;
    file.write_all(text).and_then(|()| file.sync_all())?;
    fs::rename(&fresh, path)?;
    files::sync_folder_of(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.prom");
        replace(&path, b"first, and long\n").unwrap();
        let old = File::open(&path).unwrap();
        replace(&path, b"second\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second\n");
        // Who reads the old one reads all of it.
        assert_eq!(io::read_to_string(old).unwrap(), "first, and long\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
