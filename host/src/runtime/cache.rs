//! Compiled components on disk: derived from the component, never trusted beyond what a checksum shows.
//!
//! An entry's name says what it was compiled from and for; its first bytes are the checksum of the rest. An entry that is
//! damaged, or that others could have written, is compiled anew. Writing is by a rename, so a reader sees all or nothing.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::catalog::Digest;

/// A folder of compiled components.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
}

const MAGIC: &[u8; 8] = b"cwasm-1\n";
const HEADER_BYTES: usize = MAGIC.len() + 32;

/// Entries kept: the newest ones. Every new component or host leaves one behind.
const ENTRIES_MAX: usize = 256;

impl Cache {
    /// The cache in this folder, which is made if it is not there.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn open(dir: &Path) -> io::Result<Cache> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)?;
        Ok(Cache { dir: dir.into() })
    }

    /// The compiled bytes of a component for an engine, read into the buffer; none where there are none that can be relied on.
    pub(super) fn read<'a>(&self, component: &Digest, engine: &str, buffer: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let path = self.path(component, engine);
        let mut file = File::open(&path).ok()?;
        buffer.clear();
        file.read_to_end(buffer).ok()?;
        let is_ours = file.metadata().is_ok_and(|meta| is_private(&meta));
        let (header, payload) = buffer.split_at_checked(HEADER_BYTES)?;
        let is_whole = header.starts_with(MAGIC) && header[MAGIC.len()..] == *Sha256::digest(payload);
        if !is_ours || !is_whole {
            tracing::warn!("{}: damaged or not this user's alone; compiled anew", path.display());
            return None;
        }
        Some(payload)
    }

    /// Keeps compiled bytes. What cannot be kept is compiled again next time, so a failure is only logged.
    pub(super) fn write(&self, component: &Digest, engine: &str, compiled: &[u8]) {
        let path = self.path(component, engine);
        if let Err(e) = self.try_write(&path, compiled) {
            tracing::warn!("{}: the compiled component is not kept: {e}", path.display());
        }
    }

    fn try_write(&self, path: &Path, compiled: &[u8]) -> io::Result<()> {
        let unique = format!(".{}-{:x}.new", std::process::id(), fastrand::u64(..));
        let new = self.dir.join(unique);
        let write = || {
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&new)?;
            file.write_all(MAGIC)?;
            file.write_all(&Sha256::digest(compiled))?;
            file.write_all(compiled)?;
            fs::rename(&new, path)
        };
        let written = write();
        if written.is_err() {
            drop(fs::remove_file(&new));
        }
        self.evict();
        written
    }

    /// Removes the oldest entries beyond what is kept.
    fn evict(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let age = |entry: fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
        let mut all: Vec<_> = entries.filter_map(|entry| age(entry.ok()?)).collect();
        all.sort();
        let surplus = all.len().saturating_sub(ENTRIES_MAX);
        for (_, path) in all.into_iter().take(surplus) {
            drop(fs::remove_file(path));
        }
    }

    fn path(&self, component: &Digest, engine: &str) -> PathBuf {
        self.dir.join(format!("{}-{engine}.cwasm", component.hex()))
    }
}

/// Whether nobody but this user can have written the file.
#[cfg(unix)]
fn is_private(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    // The owner is compared with that of a file that this process certainly owns: itself.
    let own = fs::metadata("/proc/self").map(|meta| meta.uid());
    meta.mode() & 0o022 == 0 && own.map_or(true, |uid| uid == meta.uid())
}

#[cfg(not(unix))]
fn is_private(_meta: &fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cache: &Cache, component: &Digest, engine: &str) -> Option<Vec<u8>> {
        cache.read(component, engine, &mut b"what was there before".to_vec()).map(<[u8]>::to_vec)
    }

    #[test]
    fn an_entry_that_is_damaged_in_any_byte_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("cache")).unwrap();
        let component = Digest::of(b"component");
        assert_eq!(read(&cache, &component, "e"), None);
        cache.write(&component, "e", b"compiled");
        assert_eq!(read(&cache, &component, "e").as_deref(), Some(&b"compiled"[..]));
        assert_eq!(read(&cache, &component, "other"), None);
        let path = cache.path(&component, "e");
        let whole = fs::read(&path).unwrap();
        for n in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[n] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(read(&cache, &component, "e"), None, "byte {n}");
            fs::write(&path, &whole[..n]).unwrap();
            assert_eq!(read(&cache, &component, "e"), None, "cut at {n}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_entry_that_others_could_have_written_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let component = Digest::of(b"component");
        cache.write(&component, "e", b"compiled");
        fs::set_permissions(cache.path(&component, "e"), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(read(&cache, &component, "e"), None);
    }

    #[test]
    fn only_so_many_entries_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        for n in 0..ENTRIES_MAX + 5 {
            cache.write(&Digest::of(n.to_string().as_bytes()), "e", b"x");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), ENTRIES_MAX);
    }
}
