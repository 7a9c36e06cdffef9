//! What holds of remembered answers: they come back as they were kept or not at all, and stay within their bounds.

use std::fs;

use proptest::prelude::*;
use sqlx::Connection;

use super::*;

const MAX: ByteSize = ByteSize::kib(64);

fn options(folder: &Path) -> AnswersOptions {
    AnswersOptions {
        folder: folder.into(),
        bytes_max: MAX,
        age_max: SignedDuration::from_hours(1),
        now: "2025-10-24T12:00:00Z".parse().unwrap(),
        records: true,
    }
}

async fn open(folder: &Path) -> Answers {
    Answers::open(options(folder)).await.unwrap()
}

fn key(n: u8) -> AnswerKey {
    [n; 32]
}

fn keep(answers: &Answers, n: u8, head: &[u8], body: &[u8]) {
    if let Some(room) = answers.room(head.len() + body.len()) {
        room.keep(key(n), head.into(), body.into());
    }
}

/// Head and body, where both are there.
async fn get(answers: &Answers, n: u8) -> Option<(Vec<u8>, Vec<u8>)> {
    let found = answers.find(&key(n)).await?;
    let body = answers.body(&found).await?;
    Some((found.head, body.bytes))
}

/// A folder with the answers 0, 1, …
async fn folder(answers: u8) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let open = open(dir.path()).await;
    (0..answers).for_each(|n| keep(&open, n, &[n; 100], &[n; 3000]));
    open.finish().await;
    dir
}

fn whole(n: u8) -> Option<(Vec<u8>, Vec<u8>)> {
    Some((vec![n; 100], vec![n; 3000]))
}

async fn change(folder: &Path, sql: &'static str) {
    let mut connection = file::open_to_write(&folder.join(FILE)).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn what_a_cycle_keeps_the_next_one_finds() {
    let dir = folder(2).await;
    let answers = open(dir.path()).await;
    assert_eq!((get(&answers, 0).await, get(&answers, 1).await, get(&answers, 2).await), (whole(0), whole(1), None));
    answers.confirm(key(0), b"refreshed".to_vec());
    answers.forget(key(1));
    keep(&answers, 2, b"new", b"");
    answers.finish().await;
    let answers = open(dir.path()).await;
    assert_eq!(get(&answers, 0).await, Some((b"refreshed".to_vec(), vec![0; 3000])));
    assert_eq!((get(&answers, 1).await, get(&answers, 2).await), (None, Some((b"new".to_vec(), vec![]))));
}

#[tokio::test]
async fn a_cycle_that_learns_nothing_makes_no_file() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.finish().await;
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_cycle_that_records_nothing_reads_and_writes_nothing() {
    let dir = folder(1).await;
    let before = fs::read(dir.path().join(FILE)).unwrap();
    let answers = Answers::open(AnswersOptions { records: false, ..options(dir.path()) }).await.unwrap();
    assert_eq!(get(&answers, 0).await, whole(0));
    assert!(answers.room(1).is_none());
    answers.confirm(key(0), b"x".to_vec());
    answers.forget(key(0));
    answers.finish().await;
    assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let empty = tempfile::tempdir().unwrap();
    assert!(Answers::open(AnswersOptions { records: false, ..options(empty.path()) }).await.is_none());
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder(1).await;
    assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn no_bytes_remember_nothing_and_leave_nothing() {
    let dir = folder(1).await;
    assert!(Answers::open(AnswersOptions { bytes_max: ByteSize(0), ..options(dir.path()) }).await.is_none());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_answer_that_nobody_asks_for_is_too_old_after_a_while() {
    let dir = folder(2).await;
    let later = |time: &str| AnswersOptions { now: time.parse().unwrap(), ..options(dir.path()) };
    let answers = Answers::open(later("2025-10-24T13:00:00Z")).await.unwrap();
    assert_eq!(get(&answers, 0).await, whole(0));
    answers.confirm(key(0), vec![0; 100]);
    answers.finish().await;
    let answers = Answers::open(later("2025-10-24T13:00:01Z")).await.unwrap();
    assert_eq!((get(&answers, 0).await, get(&answers, 1).await), (whole(0), None));
    answers.finish().await;
    // Gone from the file, not only passed over.
    assert_eq!(get(&open(dir.path()).await, 1).await, None);
}

#[tokio::test]
async fn a_body_over_an_eighth_of_the_bound_takes_the_old_one_with_it() {
    let dir = folder(2).await;
    let answers = open(dir.path()).await;
    let eighth = MAX.as_usize() / 8;
    keep(&answers, 0, b"", &vec![7; eighth]);
    keep(&answers, 1, b"", &vec![7; eighth + 1]);
    answers.finish().await;
    let answers = open(dir.path()).await;
    assert_eq!((get(&answers, 0).await, get(&answers, 1).await), (Some((vec![], vec![7; eighth])), None));
}

#[tokio::test]
async fn what_waits_to_be_written_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let answers = open(dir.path()).await;
    let room = answers.room(ROOM.as_usize() - 1).unwrap();
    assert!(answers.room(2).is_none());
    drop(room);
    assert!(answers.room(ROOM.as_usize()).is_some());
    assert!(answers.room(ROOM.as_usize() + 1).is_none());
}

#[tokio::test]
async fn an_entry_that_was_changed_in_any_part_is_not_there() {
    for sql in [
        "UPDATE bodies SET body = zeroblob(3000) WHERE id = 2",
        "UPDATE bodies SET body = zeroblob(0) WHERE id = 2",
        "DELETE FROM bodies WHERE id = 2",
        "UPDATE answers SET head = zeroblob(100) WHERE id = 2",
        "UPDATE answers SET digest = zeroblob(32) WHERE id = 2",
        "UPDATE answers SET body_digest = zeroblob(32) WHERE id = 2",
        "UPDATE answers SET head = (SELECT head FROM answers WHERE id = 1),
             digest = (SELECT digest FROM answers WHERE id = 1) WHERE id = 2",
        "UPDATE bodies SET body = (SELECT body FROM bodies WHERE id = 1) WHERE id = 2",
    ] {
        let dir = folder(2).await;
        change(dir.path(), sql).await;
        let answers = open(dir.path()).await;
        assert_eq!((get(&answers, 0).await, get(&answers, 1).await), (whole(0), None), "{sql}");
    }
}

#[tokio::test]
async fn a_file_that_is_good_for_nothing_is_begun_anew_by_a_cycle_that_records() {
    for damage in ["no database", "other version", "no salt"] {
        let dir = folder(1).await;
        let path = dir.path().join(FILE);
        match damage {
            "no database" => fs::write(&path, b"somebody's notes ".repeat(1000)).unwrap(),
            "other version" => change(dir.path(), "PRAGMA user_version = 2").await,
            _ => change(dir.path(), "DELETE FROM salt").await,
        }
        let before = fs::read(&path).unwrap();
        let looks = Answers::open(AnswersOptions { records: false, ..options(dir.path()) }).await;
        assert!(looks.is_none(), "{damage}");
        assert_eq!(fs::read(&path).unwrap(), before, "{damage}");
        for _ in 0..2 {
            let Some(answers) = Answers::open(options(dir.path())).await else { continue };
            assert_eq!(get(&answers, 0).await, None, "{damage}");
            keep(&answers, 1, &[1; 100], &[1; 3000]);
            answers.finish().await;
        }
        assert_eq!(get(&open(dir.path()).await, 1).await, whole(1), "{damage}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_costs_what_was_learnt_and_nothing_else() {
    let dir = folder(1).await;
    let mut other = file::open_to_write(&dir.path().join(FILE)).await.unwrap();
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let answers = open(dir.path()).await;
    assert_eq!(get(&answers, 0).await, whole(0));
    keep(&answers, 1, b"x", b"x");
    answers.finish().await;
    drop(held);
    other.close().await.unwrap();
    let answers = open(dir.path()).await;
    assert_eq!((get(&answers, 0).await, get(&answers, 1).await), (whole(0), None));
    // No folder to write into.
    let answers = open(&dir.path().join("none")).await;
    keep(&answers, 1, b"x", b"x");
    answers.finish().await;
    assert!(!dir.path().join("none").exists());
}

/// What a cycle does.
#[derive(Clone, Debug)]
enum Act {
    Keep { key: u8, head: usize, body: usize },
    Confirm { key: u8, head: usize },
    Forget { key: u8 },
    NextCycle,
}

fn act() -> impl Strategy<Value = Act> {
    let key = || 0..16u8;
    prop_oneof![
        6 => (key(), 0..600usize, 0..9000usize).prop_map(|(key, head, body)| Act::Keep { key, head, body }),
        3 => (key(), 0..600usize).prop_map(|(key, head)| Act::Confirm { key, head }),
        1 => key().prop_map(|key| Act::Forget { key }),
        1 => Just(Act::NextCycle),
    ]
}

/// What should be there, least recently used first: key, head and body.
#[derive(Default)]
struct Model(Vec<(u8, Vec<u8>, Vec<u8>)>);

impl Model {
    fn take(&mut self, key: u8) -> Option<(u8, Vec<u8>, Vec<u8>)> {
        let place = self.0.iter().position(|(k, ..)| *k == key)?;
        Some(self.0.remove(place))
    }

    fn put(&mut self, entry: (u8, Vec<u8>, Vec<u8>)) {
        self.0.push(entry);
        while self.bytes() > MAX.0 {
            self.0.remove(0);
        }
    }

    /// As the bound counts them: heads, bodies in whole pages, and half a kilobyte each.
    fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, head, body)| (head.len() + body.len().div_ceil(4096) * 4096 + 512) as u64).sum()
    }
}

async fn play(acts: &[Act]) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let mut answers = open(dir.path()).await;
    let mut model = Model::default();
    for (n, act) in acts.iter().chain([&Act::NextCycle]).enumerate() {
        let filler = n as u8;
        match *act {
            Act::Keep { key, head, body } => {
                let (head, body) = (vec![filler; head], vec![filler; body]);
                keep(&answers, key, &head, &body);
                model.take(key);
                if (head.len() + body.len()) as u64 <= MAX.0 / PART_MAX {
                    model.put((key, head, body));
                }
            }
            Act::Confirm { key, head } => {
                answers.confirm(self::key(key), vec![filler; head]);
                if let Some((_, _, body)) = model.take(key) {
                    model.put((key, vec![filler; head], body));
                }
            }
            Act::Forget { key } => {
                answers.forget(self::key(key));
                model.take(key);
            }
            Act::NextCycle => {
                answers.finish().await;
                let size = fs::metadata(dir.path().join(FILE)).map_or(0, |meta| meta.len());
                // Tables, indexes and pages that are not full come on top of what is counted.
                prop_assert!(size <= MAX.0 + 64 * 1024, "{size} bytes");
                answers = open(dir.path()).await;
                for key in 0..16 {
                    let there = model.0.iter().find(|(k, ..)| *k == key).map(|(_, h, b)| (h.clone(), b.clone()));
                    prop_assert_eq!(get(&answers, key).await, there, "{}", key);
                }
            }
        }
    }
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_bytes_never_exceed_the_bound_and_the_newest_stay(acts in proptest::collection::vec(act(), 1..80)) {
        runtime().block_on(play(&acts))?;
    }

    #[test]
    fn a_damaged_file_gives_what_was_kept_or_nothing_and_does_not_outlast_its_damage(
        damage in proptest::collection::vec((0.0..1.0f64, 1..5000usize, any::<u8>()), 1..4)
    ) {
        runtime().block_on(async {
            let dir = folder(12).await;
            let path = dir.path().join(FILE);
            let mut bytes = fs::read(&path).unwrap();
            for (place, length, value) in &damage {
                let start = (*place * bytes.len() as f64) as usize;
                let end = (start + length).min(bytes.len());
                bytes[start..end].fill(*value);
            }
            fs::write(&path, &bytes).unwrap();
            for cycle in 0..3 {
                let Some(answers) = Answers::open(options(dir.path())).await else { continue };
                for n in 0..12 {
                    let got = get(&answers, n).await;
                    prop_assert!(got.is_none() || got == whole(n), "{n} in cycle {cycle}");
                }
                keep(&answers, 20, &[20; 100], &[20; 3000]);
                answers.finish().await;
            }
            let answers = Answers::open(options(dir.path())).await;
            prop_assert!(answers.is_some());
            prop_assert_eq!(get(&answers.unwrap(), 20).await, whole(20));
            Ok(())
        })?;
    }
}
