//! One cycle at a time in a state folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const FILE: &str = "lock";

/// The folder is this process' until this is dropped, or the process ends, however it ends.
#[derive(Debug)]
pub struct StateLock(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

/// Who holds a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    /// The machine's or the pod's name.
    pub host: String,
    pub since: Timestamp,
}

/// Why the folder could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("state folder {path}: another cycle is at work in it, {}", who(.holder.as_ref()))]
    Held { path: PathBuf, holder: Option<Holder> },
    #[error("state folder {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl StateLock {
    /// Takes the folder, and makes it where there is none. It is the system's lock (flock): the end of a process is the end of
    /// its lock, so nothing is ever left locked.
    ///
    /// # Errors
    /// Where another process has it, or the folder cannot be written.
    pub fn take(dir: &Path, holder: &Holder) -> Result<StateLock, LockError> {
        let io = |source| LockError::Io { path: dir.into(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(dir.join(FILE)).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = file.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str(&text).ok());
                return Err(LockError::Held { path: dir.into(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // Only for people: who cannot write it down holds it all the same.
        drop(write(&mut file, holder));
        Ok(StateLock(file))
    }
}

fn write(file: &mut File, holder: &Holder) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(serde_json::to_string(holder).unwrap_or_default().as_bytes())
}

fn who(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { pid, host, since }) => format!("process {pid} on {host}, since {since}"),
        None => "which did not say who it is".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_told_who_holds_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let first = Holder { pid: 7, host: "pod-1".into(), since: "2025-10-24T12:00:00Z".parse().unwrap() };
        let lock = StateLock::take(dir.path(), &first).unwrap();
        let refused = StateLock::take(dir.path(), &Holder { pid: 8, ..first.clone() }).unwrap_err().to_string();
        assert!(refused.ends_with("process 7 on pod-1, since 2025-10-24T12:00:00Z"), "{refused}");
        drop(lock);
        assert!(StateLock::take(dir.path(), &first).is_ok());
    }
}
