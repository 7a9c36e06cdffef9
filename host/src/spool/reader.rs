//! What waits for one sink, chunk by chunk.

use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::model::Sample;

use super::positions::Position;
use super::segment::{Found, Segment};
use super::{Shared, lock, slot_of};

/// Reads for one sink. It may read ahead of what is settled.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    sink: String,
    gives: Gives,
    written: watch::Receiver<Option<u64>>,
    /// Where reading goes on, in the segments where that is beyond what is settled.
    ahead: BTreeMap<String, Position>,
}

/// What a reader gives of what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    /// All of it, chunk by chunk.
    All,
    /// The newest slot as one chunk, when no more comes.
    NewestSlot,
    /// Nothing more: the newest slot was given.
    Nothing,
}

/// Why points are given up where a sink holds one slot at a time.
const SUPERSEDED: &str = "superseded by a later slot";

/// Notes what a sink has settled.
#[derive(Clone, Debug)]
pub struct Settler {
    shared: Arc<Shared>,
    sink: String,
}

/// Points that go together: of one time, in the order in which they were emitted.
#[derive(Debug, Default)]
pub struct Chunk {
    pub samples: Vec<Sample>,
    spans: Vec<Span>,
    /// How many points wait for their verdict in it, where those are not its samples: a newest slot's that were settled before are in it
    /// once more.
    waiting: Option<u64>,
}

/// The part of a chunk that one frame is.
#[derive(Debug)]
struct Span {
    segment: String,
    /// Where its first sample stands.
    start: Position,
    /// Its samples.
    count: usize,
    /// Where the next frame begins.
    next: Position,
}

/// What a reader has.
#[derive(Debug)]
pub enum Next {
    Chunk(Chunk),
    /// Nothing yet: [`Reader::written`] says when to look again.
    Nothing,
    /// Nothing, and nothing more comes.
    End,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, sink: &str, gives: Gives) -> Reader {
        let written = shared.written.subscribe();
        Reader { shared, sink: sink.into(), gives, written, ahead: BTreeMap::new() }
    }

    /// The next points, in whole frames: as many as there are, up to the first frame with which there are `points_max`. All of
    /// them are on the disk; blocks until they are.
    pub fn next(&mut self, points_max: usize) -> Next {
        // What is written after this look is seen by the next one.
        let is_end = self.written.borrow_and_update().is_none();
        match self.gives {
            Gives::All => self.next_of_all(points_max, is_end),
            Gives::NewestSlot if !is_end => Next::Nothing,
            Gives::NewestSlot => self.newest_slot(),
            Gives::Nothing => Next::End,
        }
    }

    fn next_of_all(&mut self, points_max: usize, is_end: bool) -> Next {
        let segments = lock(&self.shared.segments).clone();
        let mut chunk = Chunk::default();
        for (name, segment) in &segments {
            match self.read(name, segment, points_max, &mut chunk) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(e) => self.shared.problem(format!("spool file {name}: {e}")),
            }
        }
        if let (true, Some(first)) = (chunk.samples.is_empty(), chunk.spans.first())
            && first.start == lock(&self.shared.positions).get(&self.sink, &first.segment)
        {
            // Nothing but gaps, after what is settled: nobody has to be asked about them.
            self.settler().settle(&chunk, 0);
        }
        match (chunk.samples.is_empty(), is_end) {
            (false, _) => Next::Chunk(chunk),
            (true, true) => Next::End,
            (true, false) => Next::Nothing,
        }
    }

    /// All points of the newest slot, where any of them waits; those that were settled before as well, as it is a whole. What waits of
    /// older slots is given up.
    fn newest_slot(&mut self) -> Next {
        self.gives = Gives::Nothing;
        let segments = lock(&self.shared.segments).clone();
        let newest = segments.keys().filter_map(|name| slot_of(name)).max();
        let (mut chunk, mut waiting, mut superseded) = (Chunk::default(), 0, BTreeMap::new());
        for (name, segment) in &segments {
            let end = Position { offset: segment.len(), points: 0 };
            let left = self.shared.left_for(&self.sink, name, segment);
            if slot_of(name) != newest {
                self.shared.lose(&self.sink, SUPERSEDED, left);
                superseded.insert(name.clone(), end);
                continue;
            }
            waiting += left;
            chunk.spans.push(Span { segment: name.clone(), start: Position::default(), count: 0, next: end });
            let read = segment.sync().and_then(|end| {
                self.shared.for_each_sample(name, segment, end, &mut |sample| chunk.samples.push(sample))
            });
            if let Err(e) = read {
                self.shared.problem(format!("spool file {name}: {e}"));
            }
        }
        self.settler().advance(superseded);
        // It is settled as a whole: with its last sample.
        if let Some(last) = chunk.spans.last_mut() {
            last.count = chunk.samples.len();
        }
        chunk.waiting = Some(waiting);
        match waiting > 0 && !chunk.samples.is_empty() {
            true => Next::Chunk(chunk),
            false => Next::End,
        }
    }

    /// Changes when a frame was written, and is none when no more come.
    pub fn written(&self) -> watch::Receiver<Option<u64>> {
        self.written.clone()
    }

    /// What notes settled points while this reads on.
    pub fn settler(&self) -> Settler {
        Settler { shared: self.shared.clone(), sink: self.sink.clone() }
    }

    /// Adds frames of a segment to the chunk; breaks where the chunk is full.
    fn read(
        &mut self,
        name: &str,
        segment: &Segment,
        points_max: usize,
        chunk: &mut Chunk,
    ) -> io::Result<ControlFlow<()>> {
        let settled = lock(&self.shared.positions).get(&self.sink, name);
        let mut at = self.ahead.get(name).copied().unwrap_or_default().max(settled);
        if at.offset >= segment.len() {
            return Ok(ControlFlow::Continue(()));
        }
        let end = segment.sync()?;
        loop {
            let (next, samples) = match segment.read(at.offset, end)? {
                Found::End => return Ok(ControlFlow::Continue(())),
                Found::Gap { next, is_damage } => {
                    if is_damage {
                        self.shared.damaged(name, segment, at.offset, next);
                    }
                    (next, Vec::new())
                }
                Found::Frame { header, batch, next } => {
                    let batch = header.batch(&batch);
                    (next, batch.map(|b| b.samples().skip(at.points as usize).collect()).unwrap_or_default())
                }
            };
            let is_of_chunk = |first: &Sample| chunk.time().is_none_or(|time| time == first.time);
            if !samples.first().is_none_or(is_of_chunk) {
                return Ok(ControlFlow::Break(()));
            }
            let next = Position { offset: next, points: 0 };
            chunk.spans.push(Span { segment: name.into(), start: at, count: samples.len(), next });
            chunk.samples.extend(samples);
            self.ahead.insert(name.into(), next);
            at = next;
            if chunk.samples.len() >= points_max {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
}

impl Settler {
    /// Notes that the first `count` samples of a chunk are settled. Chunks are settled in the order in which they were read.
    pub fn settle(&self, chunk: &Chunk, count: usize) {
        let mut places = BTreeMap::new();
        let mut left = count;
        for span in &chunk.spans {
            if left < span.count {
                let points = span.start.points.saturating_add(u32::try_from(left).unwrap_or(u32::MAX));
                places.insert(span.segment.clone(), Position { points, ..span.start });
                break;
            }
            left -= span.count;
            places.insert(span.segment.clone(), span.next);
        }
        self.advance(places);
    }

    fn advance(&self, places: BTreeMap<String, Position>) {
        if let Err(e) = lock(&self.shared.positions).advance(&self.sink, places) {
            let folder = self.shared.options.folder.display();
            self.shared.problem(format!("spool {folder}: {e}; what was sent is sent again by the next cycle"));
        }
    }
}

impl Chunk {
    /// How many points get their verdict with these samples.
    pub fn points(&self, samples: &Range<usize>) -> u64 {
        self.waiting.unwrap_or(samples.len() as u64)
    }

    /// The time of its points.
    pub fn time(&self) -> Option<Timestamp> {
        self.samples.first().map(|sample| sample.time)
    }
}
