//! The spool: points on disk from the moment a collector is told that they were taken until every sink has settled them.
//!
//! - A folder of segments, one or more for each cycle; a segment is frames ([`frame`]), a frame the points of one call.
//! - A frame is in its file before `emit` answers, so the death of the process loses nothing; the file is on the disk
//!   (fdatasync) before anything of it is sent, so a power cut loses nothing that somebody has seen.
//! - Each sink has its own place in every segment (`positions.json`). A segment goes when all sinks are through and its slot can be
//!   repeated no more: a repeated slot writes the values of the first time.
//! - Bounded in bytes and in age. What has to go unsent goes oldest first, and is counted for each sink under its reason.
//! - Where the disk does not take points they wait in memory, and the cycle says so.

mod frame;
mod history;
mod lock;
mod positions;
mod reader;
mod retention;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::limits::ByteSize;

pub use frame::{Batch, BatchPoint, BatchSeries};
pub use history::SlotValues;
pub use lock::{Holder, LockError, StateLock};
pub use reader::{Chunk, Next, Reader, Settler};

use positions::Positions;
use reader::Gives;
use segment::Segment;

const SUFFIX: &str = "points";
/// What could not be read whole is kept aside under this ending until it is too old.
const DAMAGED_SUFFIX: &str = "damaged";

/// What is known of a spool before it is opened.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    pub folder: PathBuf,
    /// Names of the sinks that points wait for.
    pub sinks: Vec<String>,
    /// What all segments may take.
    pub bytes_max: ByteSize,
    /// How old a segment may get.
    pub age_max: SignedDuration,
    /// The slot of this cycle's points, and what tells this cycle apart.
    pub slot: Timestamp,
    pub cycle: String,
    pub now: Timestamp,
}

/// The points that wait. Clones are the same spool.
#[derive(Clone, Debug)]
pub struct Spool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: SpoolOptions,
    /// By name, which begins with the slot: the oldest is first.
    segments: Mutex<BTreeMap<String, Arc<Segment>>>,
    writer: Mutex<Writer>,
    positions: Mutex<Positions>,
    /// Frames written so far; none when no more come.
    written: watch::Sender<Option<u64>>,
    /// Points that were given up, by sink and reason.
    lost: Mutex<BTreeMap<String, BTreeMap<String, u64>>>,
    problems: Mutex<Vec<String>>,
}

/// Where the next frame goes.
#[derive(Debug, Default)]
struct Writer {
    segment: Option<Arc<Segment>>,
    parts: u32,
    /// The disk refused a frame: the rest of the cycle is in memory.
    is_in_memory: bool,
}

impl Spool {
    /// Opens the spool of a folder, and gives up what is beyond its bounds. What is wrong with the folder is a problem
    /// ([`Spool::problems`]), never an end: then points wait in memory.
    pub fn open(options: SpoolOptions) -> Spool {
        let made = std::fs::create_dir_all(&options.folder);
        let spool = Spool::look(options);
        if let Err(e) = made {
            let folder = spool.0.options.folder.display();
            spool.0.problem(format!("spool {folder}: {e}; points of this cycle wait in memory only"));
        }
        spool.0.expire();
        spool.0.make_room();
        spool
    }

    /// The spool of a folder as it is; changes nothing.
    pub fn look(options: SpoolOptions) -> Spool {
        let mut problems = Vec::new();
        let segments = segments_of(&options.folder, &mut problems);
        let (positions, problem) = Positions::open(&options.folder);
        problems.extend(problem);
        Spool(Arc::new(Shared {
            options,
            segments: Mutex::new(segments),
            writer: Mutex::default(),
            positions: Mutex::new(positions),
            written: watch::channel(Some(0)).0,
            lost: Mutex::default(),
            problems: Mutex::new(problems),
        }))
    }

    /// Writes a batch. When this returns, the death of the process does not lose it.
    pub fn append(&self, batch: &Batch<'_>) {
        if batch.points.is_empty() {
            return;
        }
        match batch.to_frame() {
            Ok(frame) => self.0.append(&frame),
            // A batch of this length is cut in two; one point always fits.
            Err(_) if batch.points.len() > 1 => {
                let (first, second) = batch.points.split_at(batch.points.len() / 2);
                for points in [first, second] {
                    self.append(&Batch { points: points.to_vec(), series: batch.series.clone(), ..*batch });
                }
            }
            Err(e) => self.0.problem(format!("a point that no frame holds: {e}")),
        }
    }

    /// No more batches come in this cycle.
    pub fn end(&self) {
        self.0.written.send_replace(None);
    }

    /// Reads what waits for a sink, oldest first.
    pub fn reader(&self, sink: &str) -> Reader {
        Reader::new(self.0.clone(), sink, Gives::All)
    }

    /// Reads the newest slot as a whole, when no more comes, and gives up what waits of older ones: for a sink that holds one slot at a time.
    pub fn reader_of_newest_slot(&self, sink: &str) -> Reader {
        Reader::new(self.0.clone(), sink, Gives::NewestSlot)
    }

    /// Forgets what all sinks are through with, but for the slots that may still be repeated.
    pub fn close(&self) {
        self.0.close();
    }

    /// What went wrong with folder and files, a line each.
    pub fn problems(&self) -> Vec<String> {
        lock(&self.0.problems).clone()
    }

    /// Points given up for a sink, by reason.
    pub fn lost(&self, sink: &str) -> BTreeMap<String, u64> {
        lock(&self.0.lost).get(sink).cloned().unwrap_or_default()
    }

    /// What waits: by segment, its bytes and the points that are left for each sink.
    pub fn waiting(&self) -> Vec<Waiting> {
        self.0.waiting()
    }
}

/// What is left of a segment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    pub segment: String,
    pub bytes: ByteSize,
    /// By sink: points that are not settled.
    pub points: BTreeMap<String, u64>,
}

/// The segments of a folder.
fn segments_of(folder: &Path, problems: &mut Vec<String>) -> BTreeMap<String, Arc<Segment>> {
    let mut all = BTreeMap::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) => {
            if e.kind() != io::ErrorKind::NotFound {
                problems.push(format!("spool {}: {e}", folder.display()));
            }
            return all;
        }
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_none_or(|ending| ending != SUFFIX) {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match Segment::open(&path) {
            Ok(segment) => drop(all.insert(name, Arc::new(segment))),
            Err(e) => problems.push(format!("spool file {}: {e}; it is left as it is", path.display())),
        }
    }
    all
}

/// How a segment's name begins.
fn slot_text(slot: Timestamp) -> String {
    slot.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The slot that a segment's name begins with.
fn slot_of(name: &str) -> Option<Timestamp> {
    let text = name.split('-').next()?;
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|z| z.timestamp())
}

impl Shared {
    fn append(&self, frame: &[u8]) {
        let mut writer = lock(&self.writer);
        if let Err(e) = self.append_to(&mut writer, frame) {
            let folder = self.options.folder.display();
            self.problem(format!("spool {folder}: {e}; from here on points of this cycle wait in memory only"));
            *writer = Writer { is_in_memory: true, segment: None, parts: writer.parts };
            // Memory takes it.
            drop(self.append_to(&mut writer, frame));
        }
        drop(writer);
        self.written.send_modify(|written| *written = written.map(|frames| frames + 1));
    }

    fn append_to(&self, writer: &mut Writer, frame: &[u8]) -> io::Result<()> {
        let segment_bytes_max = (self.options.bytes_max.0 / 8).max(1 << 20);
        let current = writer.segment.clone().filter(|segment| segment.len() < segment_bytes_max);
        let segment = match current {
            Some(segment) => segment,
            None => {
                let name = format!("{}-{}-{:03}", slot_text(self.options.slot), self.options.cycle, writer.parts);
                let segment = Arc::new(match writer.is_in_memory {
                    true => Segment::in_memory(),
                    false => Segment::create(&self.options.folder.join(format!("{name}.{SUFFIX}")))?,
                });
                writer.parts += 1;
                writer.segment = Some(segment.clone());
                lock(&self.segments).insert(name, segment.clone());
                self.make_room();
                segment
            }
        };
        segment.append(frame)
    }

    /// Points of a segment that a sink has not settled.
    fn left_for(&self, sink: &str, name: &str, segment: &Segment) -> u64 {
        let position = lock(&self.positions).get(sink, name);
        let points = segment.points_from(position.offset).unwrap_or_default();
        points.saturating_sub(u64::from(position.points))
    }

    fn lose(&self, sink: &str, reason: &str, points: u64) {
        if points > 0 {
            let mut lost = lock(&self.lost);
            *lost.entry(sink.to_owned()).or_default().entry(reason.to_owned()).or_default() += points;
        }
    }

    /// Notes that a part of a segment cannot be read; its file is kept for people.
    fn damaged(&self, name: &str, segment: &Segment, from: u64, to: u64) {
        segment.set_damaged();
        let what =
            format!("bytes {from} to {to} are damaged and were passed over; it is kept as {name}.{DAMAGED_SUFFIX}");
        self.problem(format!("spool file {}/{name}.{SUFFIX}: {what}", self.options.folder.display()));
    }

    fn keep_positions(&self) {
        let segments = lock(&self.segments).clone();
        let kept = lock(&self.positions).keep(|segment| segments.contains_key(segment));
        if let Err(e) = kept {
            self.problem(format!("spool {}: {e}", self.options.folder.display()));
        }
    }

    fn waiting(&self) -> Vec<Waiting> {
        let segments = lock(&self.segments).clone();
        let of = |(name, segment): (&String, &Arc<Segment>)| Waiting {
            segment: name.clone(),
            bytes: ByteSize(segment.len()),
            points: self.options.sinks.iter().map(|s| (s.clone(), self.left_for(s, name, segment))).collect(),
        };
        segments.iter().map(of).collect()
    }

    fn problem(&self, what: String) {
        let mut problems = lock(&self.problems);
        if !problems.contains(&what) {
            problems.push(what);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics while it holds a lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
