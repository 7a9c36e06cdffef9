//! What sinks that write files have in common.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Verdict;

/// Writes on a thread that may wait for the disk. Who cannot write keeps the points: nothing but a person mends a disk.
pub(super) async fn write(path: &Path, work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static) -> Verdict {
    let file = path.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&file)).await;
    match done.unwrap_or_else(|e| Err(io::Error::other(e))) {
        Ok(()) => Verdict::Delivered,
        Err(e) => Verdict::Held { reason: format!("{}: {e}", path.display()) },
    }
}

/// Whether a file could be written there. Leaves nothing behind.
///
/// # Errors
/// Why it could not.
pub(super) fn look(path: &Path) -> Result<(), String> {
    let tried = || {
        is_file_or_nothing(path)?;
        let beside = beside(path, ".check");
        File::create(&beside)?;
        fs::remove_file(&beside)?;
        match path.exists() {
            true => File::options().append(true).open(path).map(drop),
            false => Ok(()),
        }
    };
    tried().map_err(|e: io::Error| e.to_string())
}

/// An error where something else than a file is at a path.
pub(super) fn is_file_or_nothing(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(there) if !there.is_file() => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// The path with something at its end, in the same folder.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.into();
    name.push(ending);
    name.into()
}

/// Makes sure that a new name in its folder is there after a power cut.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_says_what_is_in_the_way_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.prom");
        assert_eq!(look(&path), Ok(()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::write(&path, "x").unwrap();
        assert_eq!(look(&path), Ok(()));
        assert_eq!(fs::read(&path).unwrap(), b"x");
        assert!(look(dir.path()).unwrap_err().contains("no regular file"));
        assert!(look(&path.join("b")).is_err() && look(&dir.path().join("none/a.prom")).is_err());
    }
}
