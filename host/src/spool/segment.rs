//! A segment: frames one after another, in a file, or in memory where the disk does not take them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::frame::{self, HEADER_BYTES, Header};

/// Frames one after another.
#[derive(Debug)]
pub(super) struct Segment {
    bytes: Bytes,
    /// How much is written in whole frames.
    end: AtomicU64,
    /// How much of it is surely on the disk.
    synced: AtomicU64,
    is_damaged: AtomicBool,
}

#[derive(Debug)]
enum Bytes {
    File { file: File, path: PathBuf },
    Memory(Mutex<Vec<u8>>),
}

/// What stands at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole frame: its header, its batch, and where the next one begins.
    Frame { header: Header, batch: Vec<u8>, next: u64 },
    /// No frame; the next whole one begins there, or that is the end. Without damage it is a frame that was not written to its
    /// end: nobody was told that its points were taken.
    Gap { next: u64, is_damage: bool },
    /// Nothing more.
    End,
}

impl Segment {
    /// A new file.
    pub fn create(path: &Path) -> io::Result<Segment> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        // So that the file is there after a power cut, not only what is in it.
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(Segment::new(Bytes::File { file, path: path.into() }, 0))
    }

    /// A file of an earlier cycle. It is only read.
    pub fn open(path: &Path) -> io::Result<Segment> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        Ok(Segment::new(Bytes::File { file, path: path.into() }, end))
    }

    /// Without a disk.
    pub fn in_memory() -> Segment {
        Segment::new(Bytes::Memory(Mutex::default()), 0)
    }

    fn new(bytes: Bytes, end: u64) -> Segment {
        // What an earlier process wrote may still be on its way to the disk.
        Segment { bytes, end: AtomicU64::new(end), synced: AtomicU64::new(0), is_damaged: AtomicBool::new(false) }
    }

    pub fn len(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub fn path(&self) -> Option<&Path> {
        match &self.bytes {
            Bytes::File { path, .. } => Some(path),
            Bytes::Memory(_) => None,
        }
    }

    /// Whether something in it could not be read.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// Notes that something in it cannot be read.
    pub fn set_damaged(&self) {
        self.is_damaged.store(true, Ordering::Relaxed);
    }

    /// Adds a frame. Only one caller at a time.
    ///
    /// # Errors
    /// Where the disk does not take it; then nothing of it is in the segment.
    pub fn append(&self, frame: &[u8]) -> io::Result<()> {
        let end = self.len();
        match &self.bytes {
            Bytes::File { file, .. } => file.write_all_at(frame, end).inspect_err(|_| {
                // A torn end is seen by whoever reads it; without it there is less to see.
                drop(file.set_len(end));
            })?,
            Bytes::Memory(bytes) => lock(bytes).extend_from_slice(frame),
        }
        self.end.store(end + frame.len() as u64, Ordering::Release);
        Ok(())
    }

    /// Returns how much is surely on the disk: everything that was written when it was called.
    ///
    /// # Errors
    /// Where the disk says that it is not.
    pub fn sync(&self) -> io::Result<u64> {
        let written = self.len();
        if let Bytes::File { file, .. } = &self.bytes
            && self.synced.load(Ordering::Acquire) < written
        {
            file.sync_data()?;
            self.synced.fetch_max(written, Ordering::AcqRel);
        }
        Ok(written)
    }

    /// What stands at `offset`, in the bytes before `end`.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn read(&self, offset: u64, end: u64) -> io::Result<Found> {
        if offset >= end {
            return Ok(Found::End);
        }
        match self.frame_at(offset, end)? {
            Some(found) => Ok(found),
            None => self.gap_at(offset, end),
        }
    }

    /// How many points stand from `offset` on, by the frames' headers.
    ///
    /// # Errors
    /// As [`Segment::read`].
    pub fn points_from(&self, mut offset: u64) -> io::Result<u64> {
        let (end, mut points) = (self.len(), 0);
        while let Some(header) = self.header_at(offset, end)? {
            points += u64::from(header.points);
            offset += (HEADER_BYTES + header.batch_bytes) as u64;
        }
        Ok(points)
    }

    fn header_at(&self, offset: u64, end: u64) -> io::Result<Option<Header>> {
        if offset + HEADER_BYTES as u64 > end {
            return Ok(None);
        }
        let header = Header::read(&self.bytes_at(offset, HEADER_BYTES)?);
        Ok(header.filter(|header| offset + (HEADER_BYTES + header.batch_bytes) as u64 <= end))
    }

    fn frame_at(&self, offset: u64, end: u64) -> io::Result<Option<Found>> {
        let Some(header) = self.header_at(offset, end)? else { return Ok(None) };
        let start = offset + HEADER_BYTES as u64;
        let batch = self.bytes_at(start, header.batch_bytes)?;
        let next = start + header.batch_bytes as u64;
        Ok(header.is_of(&batch).then_some(Found::Frame { header, batch, next }))
    }

    /// What is no frame, up to the next one that is.
    fn gap_at(&self, offset: u64, end: u64) -> io::Result<Found> {
        let rest = self.bytes_at(offset, usize::try_from(end - offset).unwrap_or(usize::MAX))?;
        let mut at = 1;
        while let Some(place) = frame::next_magic(&rest, at) {
            let next = offset + place as u64;
            if self.frame_at(next, end)?.is_some() {
                return Ok(Found::Gap { next, is_damage: true });
            }
            at = place + 1;
        }
        Ok(Found::Gap { next: end, is_damage: !frame::is_beginning(&rest) })
    }

    fn bytes_at(&self, offset: u64, count: usize) -> io::Result<Vec<u8>> {
        match &self.bytes {
            Bytes::File { file, .. } => {
                let mut bytes = vec![0; count];
                file.read_exact_at(&mut bytes, offset)?;
                Ok(bytes)
            }
            Bytes::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let bytes = lock(bytes);
                bytes.get(start..start + count).map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing in here panics while it holds the lock.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
