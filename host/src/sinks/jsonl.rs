//! Points as lines of JSON, appended to a file.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Verdict, files};

/// A file of lines.
pub struct Jsonl {
    path: PathBuf,
}

impl Jsonl {
    pub(super) fn new(path: &Path) -> Jsonl {
        Jsonl { path: path.into() }
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        files::look(&self.path)
    }

    pub(super) async fn send(&self, lines: Bytes) -> Verdict {
        files::write(&self.path, move |path| append(path, &lines)).await
    }
}

/// Appends whole lines; when this returns, they are on the disk. What a process that was killed has left of a last line goes before: its
/// point comes again.
fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    files::is_file_or_nothing(path)?;
    let is_new = !path.try_exists()?;
    let mut file = File::options().read(true).append(true).create(true).open(path)?;
    let end = end_of_lines(&file)?;
    file.set_len(end)?;
    if let Err(e) = file.write_all(lines).and_then(|()| file.sync_data()) {
        drop(file.set_len(end));
        return Err(e);
    }
    if is_new { files::sync_folder_of(path) } else { Ok(()) }
}

/// Where the last whole line ends.
fn end_of_lines(file: &File) -> io::Result<u64> {
    const BLOCK_BYTES: u64 = 64 << 10;
    let mut end = file.metadata()?.len();
    let mut last = [0];
    if end == 0 || (file.read_at(&mut last, end - 1)? == 1 && last == *b"\n") {
        return Ok(end);
    }
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        let mut block = vec![0; usize::try_from(end - start).unwrap_or_default()];
        file.read_exact_at(&mut block, start)?;
        if let Some(at) = memchr::memrchr(b'\n', &block) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_are_appended_after_the_last_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("points.jsonl");
        let long = "x".repeat(200_000);
        for (before, after) in [
            ("", "new\n".to_owned()),
            ("a\nb\n", "a\nb\nnew\n".into()),
            ("a\ntorn", "a\nnew\n".into()),
            ("torn", "new\n".into()),
            (&format!("a\n{long}"), "a\nnew\n".into()),
            (&format!("{long}\n"), format!("{long}\nnew\n")),
        ] {
            fs::write(&path, before).unwrap();
            append(&path, b"new\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
        fs::remove_file(&path).unwrap();
        append(&path, b"new\n").unwrap();
        append(&path, b"newer\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\nnewer\n");
    }

    #[tokio::test]
    async fn a_place_that_takes_no_file_holds_the_points() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_owned(), dir.path().join("none/points.jsonl"), "/dev/null".into()] {
            let verdict = Jsonl::new(&path).send(Bytes::from_static(b"x\n")).await;
            assert!(
                matches!(&verdict, Verdict::Held { reason } if reason.contains(&*path.to_string_lossy())),
                "{verdict:?}"
            );
        }
    }
}
