//! Component files: find them, read them, know them by digest and manifest before a single instruction runs.

mod parse;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::model::{Blame, Fault, Manifest, Reason};

/// Larger files are refused unread: a Python collector has 20 MB.
const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// A component file that is a collector.
#[derive(Clone, Debug)]
pub struct ComponentFile {
    pub path: PathBuf,
    pub bytes: Bytes,
    pub digest: Digest,
    pub manifest: Arc<Manifest>,
    /// What it imports, as it stands in the component, sorted: `collector:host/http@0.1.0`.
    pub imports: Vec<String>,
}

/// The SHA-256 of a component's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The component files of a folder: everything named `*.wasm`, sorted, whatever it turns out to be.
///
/// # Errors
/// Where the folder cannot be read.
pub fn find(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a component file and its manifest.
///
/// # Errors
/// Where it is not a file, not a component, or not a collector for this host. The blame is the settings': somebody put the
/// file there.
pub fn read(path: &Path) -> Result<ComponentFile, Fault> {
    let fault = |reason, what: String| {
        Fault::new(Blame::Settings, reason, format!("{} {what}", path.display()))
            .hint("`just build-guests` builds the collectors of this repository")
    };
    let bad = |what: String| fault(Reason::BadComponent, what);
    let meta = fs::metadata(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
    if meta.is_dir() {
        return Err(bad("is a directory, not a component".into()));
    }
    if meta.len() > COMPONENT_BYTES_MAX {
        return Err(bad(format!("has {} bytes, more than {COMPONENT_BYTES_MAX}", meta.len())));
    }
    let bytes = fs::read(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
    let (manifest, imports) = parse::parse(&bytes).map_err(|(reason, what)| fault(reason, what))?;
    let digest = Digest::of(&bytes);
    Ok(ComponentFile { path: path.into(), bytes: bytes.into(), digest, manifest: Arc::new(manifest), imports })
}

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// The digest in hexadecimal, 64 characters.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_component_says_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let core = wat::parse_str("(module)").unwrap();
        let component = wat::parse_str("(component)").unwrap();
        let manifest = "name='x'\nversion='1'\ncontract='0.1.0'\n";
        let section = |text: &str| {
            wat::parse_str(format!("(component (core module (@custom \"collector-manifest\" {text:?})))")).unwrap()
        };
        fs::create_dir(dir.path().join("dir.wasm")).unwrap();
        for (path, reason, says) in [
            (dir.path().join("none.wasm"), Reason::BadComponent, "cannot be read"),
            (dir.path().join("dir.wasm"), Reason::BadComponent, "is a directory"),
            (file("empty.wasm", b""), Reason::BadComponent, "is empty"),
            (file("text.wasm", b"#!/bin/sh\n"), Reason::BadComponent, "is not WebAssembly"),
            (file("cut.wasm", &section(manifest)[..30]), Reason::BadComponent, "is cut off or damaged"),
            (file("core.wasm", &core), Reason::NotACollector, "is a core module"),
            (file("other.wasm", &component), Reason::NotACollector, "no manifest"),
            (file("bad.wasm", &section("name = 1")), Reason::NotACollector, "a manifest that cannot be read"),
            (file("world.wasm", &section(manifest)), Reason::NotACollector, "does not export `collect`"),
            (
                file("newer.wasm", &section(&manifest.replace("0.1.0", "0.2.0"))),
                Reason::NewerContract,
                "contract 0.2.0",
            ),
            (
                file("older.wasm", &section(&manifest.replace("0.1.0", "0.0.3"))),
                Reason::NotACollector,
                "contract 0.0.3",
            ),
        ] {
            let fault = read(&path).unwrap_err();
            assert_eq!((fault.reason, fault.blame), (reason, Blame::Settings), "{fault}");
            assert!(fault.message.contains(says), "{fault}");
        }
    }

    #[test]
    fn a_folder_gives_its_components_sorted_whatever_they_are() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.wasm", "a.wasm", "notes.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("c.wasm")).unwrap();
        let names: Vec<_> = find(dir.path()).unwrap().iter().map(|p| p.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.wasm", "b.wasm", "c.wasm"]);
        assert!(find(&dir.path().join("none")).is_err());
    }
}
