//! The spool as delivery uses it, and as a broken disk leaves it.

use std::fs;

use super::*;
use crate::model::{Kind, TagSet};

struct Folder {
    dir: tempfile::TempDir,
    options: SpoolOptions,
}

impl Folder {
    fn new(sinks: &[&str]) -> Folder {
        let dir = tempfile::tempdir().unwrap();
        let options = SpoolOptions {
            folder: dir.path().join("spool"),
            sinks: sinks.iter().map(|&sink| sink.into()).collect(),
            bytes_max: ByteSize::mib(64),
            age_max: SignedDuration::from_hours(24),
            slot: at(0),
            cycle: "first".into(),
            now: at(0),
        };
        Folder { dir, options }
    }

    /// Opens the spool for the cycle of a slot, so many minutes after the first one's.
    fn open(&self, cycle: &str, minutes: i64) -> Spool {
        Spool::open(SpoolOptions { slot: at(minutes), now: at(minutes), cycle: cycle.into(), ..self.options.clone() })
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.options.folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().unwrap() != "json").collect();
        files.sort();
        files
    }
}

fn at(minutes: i64) -> Timestamp {
    "2025-10-24T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

/// Writes points with these values, as one call.
fn write(spool: &Spool, values: std::ops::Range<u32>) {
    let series = vec![BatchSeries { name: "a.x", kind: Kind::Gauge, unit: "count" }];
    let tags: Vec<String> = values.clone().map(|n| format!("n:{n}")).collect();
    let points = values.zip(&tags).map(|(n, tags)| BatchPoint { series: 0, value: n.into(), tags }).collect();
    let time = spool.0.options.slot.as_second();
    spool.append(&Batch { time, tags: "env:test", series, points });
}

/// All that waits for a sink; settled where that is asked for.
fn read(spool: &Spool, sink: &str, settles: bool) -> Vec<u32> {
    let mut reader = spool.reader(sink);
    let mut all = Vec::new();
    while let Next::Chunk(chunk) = reader.next(10) {
        all.extend(chunk.samples.iter().map(|sample| sample.value as u32));
        if settles {
            reader.settler().settle(&chunk, chunk.samples.len());
        }
    }
    all
}

#[test]
fn what_was_written_waits_for_each_sink_by_itself_until_it_is_settled() {
    let folder = Folder::new(&["a", "b"]);
    let spool = folder.open("first", 0);
    write(&spool, 0..5);
    write(&spool, 5..30);
    assert_eq!(read(&spool, "a", true), (0..30).collect::<Vec<_>>());
    assert!(read(&spool, "a", true).is_empty());
    // A process that dies closes nothing.
    drop(spool);
    let spool = folder.open("second", 15);
    write(&spool, 30..32);
    assert_eq!(read(&spool, "a", true), [30, 31]);
    assert_eq!(read(&spool, "b", true), (0..32).collect::<Vec<_>>());
    assert!(spool.waiting().iter().all(|waiting| waiting.points.values().all(|left| *left == 0)));
}

#[test]
fn a_part_of_a_chunk_is_settled_and_the_rest_is_read_again() {
    let folder = Folder::new(&["a"]);
    let spool = folder.open("first", 0);
    write(&spool, 0..4);
    write(&spool, 4..8);
    let mut reader = spool.reader("a");
    let Next::Chunk(chunk) = reader.next(8) else { panic!() };
    reader.settler().settle(&chunk, 6);
    assert!(matches!(reader.next(8), Next::Nothing));
    let mut reader = spool.reader("a");
    let Next::Chunk(rest) = reader.next(8) else { panic!() };
    assert_eq!(rest.samples.iter().map(|s| s.value).collect::<Vec<_>>(), [6.0, 7.0]);
    assert_eq!(spool.waiting()[0].points["a"], 2);
    reader.settler().settle(&rest, 1);
    assert_eq!(read(&folder.open("second", 15), "a", false), [7]);
}

#[test]
fn a_reader_sees_the_end_only_when_no_more_comes() {
    let folder = Folder::new(&["a"]);
    let spool = folder.open("first", 0);
    let mut reader = spool.reader("a");
    assert!(matches!(reader.next(1), Next::Nothing));
    let written = reader.written();
    write(&spool, 0..1);
    assert!(written.has_changed().unwrap());
    spool.end();
    assert!(matches!(reader.next(1), Next::Chunk(_)));
    assert!(matches!(reader.next(1), Next::End));
}

/// What a reader of the newest slot gives: its values, and how many points wait for their verdict; settled where that is asked for.
fn newest(spool: &Spool, sink: &str, settles: bool) -> Option<(Vec<u32>, u64)> {
    let mut reader = spool.reader_of_newest_slot(sink);
    let Next::Chunk(chunk) = reader.next(1) else { return None };
    let count = chunk.samples.len();
    if settles {
        reader.settler().settle(&chunk, count);
    }
    assert!(matches!(reader.next(1), Next::End));
    Some((chunk.samples.iter().map(|sample| sample.value as u32).collect(), chunk.points(&(0..count))))
}

#[test]
fn the_newest_slot_is_given_whole_when_no_more_comes_and_older_ones_are_given_up() {
    const SUPERSEDED: &str = "superseded by a later slot";
    let folder = Folder::new(&["a", "snapshot"]);
    write(&folder.open("first", 0), 0..5);
    let spool = folder.open("second", 15);
    write(&spool, 10..13);
    assert!(matches!(spool.reader_of_newest_slot("snapshot").next(1), Next::Nothing));
    write(&spool, 13..20);
    spool.end();
    assert_eq!(newest(&spool, "snapshot", false), Some(((10..20).collect(), 10)));
    assert_eq!((spool.lost("snapshot")[SUPERSEDED], spool.lost("a").len()), (5, 0));
    drop(spool);
    // What was not settled comes again; of a repeated slot all comes, and what was settled is not counted twice.
    let spool = folder.open("third", 15);
    write(&spool, 20..22);
    spool.end();
    assert_eq!(newest(&spool, "snapshot", true), Some(((10..22).collect(), 12)));
    let spool = folder.open("upon-third", 15);
    write(&spool, 22..23);
    spool.end();
    assert_eq!(newest(&spool, "snapshot", true), Some(((10..23).collect(), 1)));
    assert_eq!((newest(&spool, "snapshot", true), spool.lost("snapshot").len()), (None, 0));
    // A slot that comes after a later one is superseded already.
    let spool = folder.open("late", 5);
    write(&spool, 30..33);
    spool.end();
    assert_eq!((newest(&spool, "snapshot", true), spool.lost("snapshot")[SUPERSEDED]), (None, 3));
    assert!(spool.waiting().iter().all(|waiting| waiting.points["snapshot"] == 0));
    assert_eq!(read(&spool, "a", true).len(), 5 + 10 + 3 + 3);
}

#[test]
fn what_is_damaged_in_the_newest_slot_is_passed_over_with_a_word() {
    let folder = Folder::new(&["snapshot"]);
    let spool = folder.open("first", 0);
    (0..3).for_each(|n| write(&spool, n * 10..n * 10 + 10));
    drop(spool);
    let file = folder.files()[0].clone();
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let spool = folder.open("second", 0);
    spool.end();
    let values = newest(&spool, "snapshot", true).unwrap().0;
    assert_eq!(values, (0..10).chain(20..30).collect::<Vec<_>>());
    assert!(spool.problems()[0].contains("damaged and were passed over"), "{:?}", spool.problems());
}

#[test]
fn a_frame_that_was_cut_off_is_passed_over_without_a_word_and_one_that_was_changed_with_one() {
    let folder = Folder::new(&["a"]);
    let spool = folder.open("first", 0);
    for n in 0..4 {
        write(&spool, n * 10..n * 10 + 10);
    }
    drop(spool);
    let file = folder.files()[0].clone();
    let whole = fs::read(&file).unwrap();
    // Killed while the last frame was written.
    fs::write(&file, &whole[..whole.len() - 3]).unwrap();
    let spool = folder.open("second", 15);
    assert_eq!(read(&spool, "a", false), (0..30).collect::<Vec<_>>());
    assert!(spool.problems().is_empty(), "{:?}", spool.problems());
    drop(spool);
    // A byte of the second frame went bad; the file is kept for people when it is through.
    let mut bad = whole.clone();
    bad[whole.len() / 4 + 40] ^= 1;
    fs::write(&file, &bad).unwrap();
    let spool = folder.open("third", 300);
    let rest: Vec<u32> = (0..10).chain(20..40).collect();
    assert_eq!(read(&spool, "a", true), rest);
    assert!(spool.problems()[0].contains("damaged and were passed over"), "{:?}", spool.problems());
    spool.close();
    assert_eq!(folder.files(), [file.with_extension("damaged")]);
    // Nothing but rubbish.
    fs::write(&file, b"rubbish").unwrap();
    let spool = folder.open("fourth", 300);
    assert!(read(&spool, "a", true).is_empty());
    assert_eq!((spool.problems().len(), spool.waiting()[0].points["a"]), (1, 0));
}

#[test]
fn what_is_too_much_goes_oldest_first_and_is_counted_for_each_sink() {
    let mut folder = Folder::new(&["a", "b"]);
    for n in 0..4_u32 {
        let spool = folder.open("cycle", i64::from(n) * 15);
        write(&spool, n * 50..n * 50 + 50);
        if n == 0 {
            assert_eq!(read(&spool, "b", true).len(), 50);
        }
    }
    let bytes = fs::metadata(&folder.files()[3]).unwrap().len();
    // Two of the four fit.
    folder.options.bytes_max = ByteSize(bytes * 5 / 2);
    let spool = folder.open("last", 60);
    assert_eq!(read(&spool, "a", false), (100..200).collect::<Vec<_>>());
    assert_eq!((spool.lost("a")["spool full"], spool.lost("b")["spool full"]), (100, 50));
}

#[test]
fn what_is_too_old_goes_and_is_counted() {
    let folder = Folder::new(&["a"]);
    write(&folder.open("first", 0), 0..7);
    let spool = folder.open("second", 25 * 60);
    assert_eq!(spool.lost("a"), BTreeMap::from([("expired".into(), 7)]));
    assert!(folder.files().is_empty());
}

#[test]
fn settled_segments_stay_while_their_slot_may_be_repeated() {
    let folder = Folder::new(&["a"]);
    let spool = folder.open("first", 0);
    write(&spool, 0..2);
    assert_eq!(read(&spool, "a", true).len(), 2);
    spool.close();
    let values = folder.open("again", 0).values_of_slot();
    let tags = |n: u32| TagSet::new(["env:test", format!("n:{n}").as_str()]);
    assert_eq!((values.len(), values.get("a.x", &tags(0)), values.get("a.x", &tags(1))), (2, Some(0.0), Some(1.0)));
    assert!(folder.open("next", 15).values_of_slot().is_empty());
    folder.open("later", 180).close();
    assert!(folder.files().is_empty());
}

#[test]
fn a_folder_that_cannot_be_written_leaves_points_in_memory_and_says_so() {
    let folder = Folder::new(&["a"]);
    fs::write(folder.dir.path().join("spool"), "in the way").unwrap();
    let spool = folder.open("first", 0);
    write(&spool, 0..3);
    assert_eq!(read(&spool, "a", true), [0, 1, 2]);
    assert!(spool.problems().iter().any(|what| what.contains("wait in memory only")), "{:?}", spool.problems());
}

#[test]
fn positions_that_cannot_be_read_mean_that_everything_is_sent_again() {
    let folder = Folder::new(&["a"]);
    let spool = folder.open("first", 0);
    write(&spool, 0..3);
    assert_eq!(read(&spool, "a", true).len(), 3);
    fs::write(folder.options.folder.join("positions.json"), "{\"a\": 7}").unwrap();
    let spool = folder.open("second", 15);
    assert_eq!(read(&spool, "a", true).len(), 3);
    assert!(spool.problems()[0].contains("what waits is sent from its beginning"), "{:?}", spool.problems());
}
