//! Remembered answers: what upstreams said, so that they can be asked whether it still holds.
//!
//! - A SQLite file of its own (`answers.db`). All of it can be asked for again, so it may be deleted at any time, and what is wrong
//!   with it touches no history.
//! - Nothing in here knows HTTP: an entry is a key, a head and a body, each of them bytes.
//! - A lookup is one read by an index, on SQLite's own thread. What a cycle learns is one transaction, which ends with the cycle.
//! - Head and body each have a SHA-256, the head's over the key and the body's too: what does not match is as if it were not there.
//! - Bounded in bytes, least recently used first, and in age since the last use.
//! - Whatever goes wrong is told once, in the log, and the rest of the cycle goes on without: a file that cannot be read is not
//!   asked again, one that cannot be written is still read.

mod file;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use sqlx::{Connection, Row, SqliteConnection};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::limits::ByteSize;
use file::AnswersError;
use writer::{Change, Rules};

pub use file::Salt;

const FILE: &str = "answers.db";

/// What tells an answer from every other one: a hash of all that was asked.
pub type AnswerKey = [u8; 32];

/// What may wait to be written, unpacked: this is the host's memory, not a collector's.
const ROOM: ByteSize = ByteSize::mib(16);

/// A body is not kept where it would take more than this part of the bound: it would push out too many others.
const PART_MAX: u64 = 8;

/// Bodies of the file that are in memory at once.
const BODIES_AT_ONCE: usize = 2;

/// How long a request may be held up by a file that does not answer, and the cycle's end by one that is not written.
const LOOKUP_MAX: Duration = Duration::from_secs(5);
const FINISH_MAX: Duration = Duration::from_secs(10);

/// How answers are remembered in a cycle.
#[derive(Clone, Debug)]
pub struct AnswersOptions {
    /// The state folder.
    pub folder: PathBuf,
    /// 0 remembers nothing.
    pub bytes_max: ByteSize,
    /// How long an answer is kept that nobody asks for.
    pub age_max: SignedDuration,
    /// The cycle's start.
    pub now: Timestamp,
    /// Whether anything is written. What is there is read either way.
    pub records: bool,
}

/// The answers of one state folder. Clones are the same.
#[derive(Clone)]
pub struct Answers(Arc<Shared>);

struct Shared {
    path: PathBuf,
    salt: Salt,
    bytes_max: u64,
    /// Answers that were not used since then are too old.
    oldest: Timestamp,
    /// None where there is no file yet.
    reader: tokio::sync::Mutex<Option<SqliteConnection>>,
    bodies: Semaphore,
    /// None where nothing is written, and when no more is.
    changes: Mutex<Option<UnboundedSender<Change>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    room: Arc<Semaphore>,
    health: Arc<Health>,
}

/// What has been seen of the file.
#[derive(Default)]
struct Health {
    is_off: AtomicBool,
    has_told: AtomicBool,
    /// It is good for nothing, and goes when the cycle ends.
    is_lost: AtomicBool,
    has_told_damage: AtomicBool,
}

/// An answer that is remembered, without its body.
#[derive(Debug)]
pub struct Found {
    id: i64,
    /// As it was given to [`Room::keep`] or [`Answers::confirm`].
    pub head: Vec<u8>,
    body_digest: Vec<u8>,
}

/// The body of an answer, as it was given to [`Room::keep`].
pub struct Body<'a> {
    pub bytes: Vec<u8>,
    /// Few bodies are in memory at once: this one is, until it is given back.
    pub turn: SemaphorePermit<'a>,
}

/// Room for an answer that is being packed.
pub struct Room {
    changes: UnboundedSender<Change>,
    room: OwnedSemaphorePermit,
    body_bytes_max: u64,
}

impl Answers {
    /// The answers of a state folder; none where none are wanted, there, or to be had.
    pub async fn open(options: AnswersOptions) -> Option<Answers> {
        let path = options.folder.join(FILE);
        if options.bytes_max.0 == 0 {
            if options.records {
                file::remove(&path);
            }
            return None;
        }
        let opened = read(&path, options.records).await?;
        if opened.is_none() && !options.records {
            return None;
        }
        let (reader, salt) = match opened {
            Some((reader, salt)) => (Some(reader), salt),
            None => (None, new_salt().map_err(|e| tell(&path, &e, NOTHING_REMEMBERED)).ok()?),
        };
        let rules = Rules { path, salt, bytes_max: options.bytes_max.0, age_max: options.age_max, now: options.now };
        Some(Answers::start(rules, reader, options.records))
    }

    fn start(rules: Rules, reader: Option<SqliteConnection>, records: bool) -> Answers {
        let health = Arc::<Health>::default();
        let mut shared = Shared {
            path: rules.path.clone(),
            salt: rules.salt,
            bytes_max: rules.bytes_max,
            oldest: writer::oldest(rules.now, rules.age_max),
            reader: tokio::sync::Mutex::new(reader),
            bodies: Semaphore::new(BODIES_AT_ONCE),
            changes: Mutex::default(),
            writer: Mutex::default(),
            room: Arc::new(Semaphore::new(ROOM.as_usize())),
            health: health.clone(),
        };
        if records {
            let (sender, receiver) = mpsc::unbounded_channel();
            shared.changes = Mutex::new(Some(sender));
            shared.writer = Mutex::new(Some(tokio::spawn(write(rules, receiver, health))));
        }
        Answers(Arc::new(shared))
    }

    /// The salt of all keys.
    pub fn salt(&self) -> &Salt {
        &self.0.salt
    }

    /// The answer of a key, if there is one that is whole and not too old.
    pub async fn find(&self, key: &AnswerKey) -> Option<Found> {
        let mut reader = self.0.reader.lock().await;
        let connection = reader.as_mut().filter(|_| !self.0.health.is_off())?;
        let found = self.0.patiently(find(connection, key, self.0.oldest)).await?;
        drop(reader);
        let (found, head_digest) = found?;
        let is_whole = head_digest == digest_of_head(key, &found.body_digest, &found.head);
        self.0.whole(is_whole, found)
    }

    /// The body of an answer that was found; none where it is damaged, or another one's by now.
    pub async fn body(&self, found: &Found) -> Option<Body<'_>> {
        let turn = self.0.bodies.acquire().await.ok()?;
        let mut reader = self.0.reader.lock().await;
        let connection = reader.as_mut().filter(|_| !self.0.health.is_off())?;
        let bytes = self.0.patiently(body(connection, found.id)).await?;
        drop(reader);
        let bytes = bytes?;
        let is_whole = found.body_digest == digest(&bytes);
        self.0.whole(is_whole, Body { bytes, turn })
    }

    /// Room for an answer of so many bytes, unpacked; none where nothing is written, or too much waits to be.
    pub fn room(&self, bytes: usize) -> Option<Room> {
        let changes =
            lock(&self.0.changes).clone().filter(|changes| !changes.is_closed() && !self.0.health.is_off())?;
        let bytes = u32::try_from(bytes).ok()?.max(1);
        let room = self.0.room.clone().try_acquire_many_owned(bytes).ok()?;
        Some(Room { changes, room, body_bytes_max: self.0.bytes_max / PART_MAX })
    }

    /// Notes that an answer still holds, with this head.
    pub fn confirm(&self, key: AnswerKey, head: Vec<u8>) {
        if let Some(Room { changes, room, .. }) = self.room(head.len()) {
            drop(changes.send(Change::Confirm { key, head, room }));
        }
    }

    /// Forgets an answer.
    pub fn forget(&self, key: AnswerKey) {
        if let Some(Room { changes, room, .. }) = self.room(key.len()) {
            drop(changes.send(Change::Forget { key, room }));
        }
    }

    /// Writes what was learnt. Nothing is remembered from then on.
    pub async fn finish(&self) {
        drop(lock(&self.0.changes).take());
        let writer = lock(&self.0.writer).take();
        let records = writer.is_some();
        if let Some(writer) = writer
            && timeout(FINISH_MAX, writer).await.is_err()
        {
            self.0.health.note(&self.0.path, &AnswersError::Slow(FINISH_MAX), NOTHING_LEARNT);
        }
        if let Some(reader) = self.0.reader.lock().await.take() {
            // An unclean end costs the next one a moment, nothing else.
            drop(reader.close().await);
        }
        if records && self.0.health.is_lost.load(Ordering::Relaxed) {
            file::remove(&self.0.path);
        }
    }
}

impl Room {
    /// Keeps an answer in the place of the one that the key had. One that is too large for the bound is forgotten instead.
    pub fn keep(self, key: AnswerKey, head: Vec<u8>, body: Vec<u8>) {
        let Room { changes, room, body_bytes_max } = self;
        let is_too_large = (head.len() + body.len()) as u64 > body_bytes_max;
        let change = if is_too_large { Change::Forget { key, room } } else { Change::Keep { key, head, body, room } };
        // Without a writer nothing is remembered.
        drop(changes.send(change));
    }
}

/// Without keys and contents.
impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl Shared {
    /// What came of asking the file; none where it did not answer, or not well: then nobody asks it again in this cycle.
    async fn patiently<T>(&self, asking: impl Future<Output = Result<T, sqlx::Error>>) -> Option<T> {
        let answered = match timeout(LOOKUP_MAX, asking).await {
            Ok(answered) => answered.map_err(AnswersError::from),
            Err(_) => Err(AnswersError::Slow(LOOKUP_MAX)),
        };
        answered.map_err(|e| self.health.give_up(&self.path, &e)).ok()
    }

    fn whole<T>(&self, is_whole: bool, what: T) -> Option<T> {
        if !is_whole && !self.health.has_told_damage.swap(true, Ordering::Relaxed) {
            tracing::warn!("{}: a remembered answer is damaged; it is asked for anew", self.path.display());
        }
        is_whole.then_some(what)
    }
}

impl Health {
    fn is_off(&self) -> bool {
        self.is_off.load(Ordering::Relaxed)
    }

    /// The file is not asked again in this cycle.
    fn give_up(&self, path: &Path, error: &AnswersError) {
        self.is_off.store(true, Ordering::Relaxed);
        self.note(path, error, NOTHING_REMEMBERED);
    }

    fn note(&self, path: &Path, error: &AnswersError, consequence: &str) {
        if error.is_lasting() {
            self.is_lost.store(true, Ordering::Relaxed);
        }
        if !self.has_told.swap(true, Ordering::Relaxed) {
            tell(path, error, consequence);
        }
    }
}

const NOTHING_REMEMBERED: &str = "upstreams are asked as if nothing were remembered";
const NOTHING_LEARNT: &str = "what this cycle learns is not remembered";

fn tell(path: &Path, error: &AnswersError, consequence: &str) {
    tracing::warn!("{}: {error}; {consequence}", path.display());
}

/// The file, if there is one. None where it cannot be used for now; a file that is good for nothing goes, where it may.
async fn read(path: &Path, records: bool) -> Option<Option<(SqliteConnection, Salt)>> {
    if !path.exists() {
        return Some(None);
    }
    match file::open(path).await {
        Ok(opened) => Some(opened),
        Err(e) => {
            tell(path, &e, NOTHING_REMEMBERED);
            if !e.is_lasting() || !records {
                return None;
            }
            file::remove(path);
            Some(None)
        }
    }
}

/// Writes until no more comes. After an error nothing of the cycle is kept.
async fn write(rules: Rules, mut changes: UnboundedReceiver<Change>, health: Arc<Health>) {
    if let Err(e) = writer::write(&rules, &mut changes).await {
        health.note(&rules.path, &e, NOTHING_LEARNT);
    }
}

async fn find(
    connection: &mut SqliteConnection,
    key: &AnswerKey,
    oldest: Timestamp,
) -> Result<Option<(Found, Vec<u8>)>, sqlx::Error> {
    let row = sqlx::query("SELECT id, head, digest, body_digest FROM answers WHERE key = ? AND used >= ?")
        .bind(key.as_slice())
        .bind(oldest.as_second())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let found = Found { id: row.try_get("id")?, head: row.try_get("head")?, body_digest: row.try_get("body_digest")? };
    Ok(Some((found, row.try_get("digest")?)))
}

async fn body(connection: &mut SqliteConnection, id: i64) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar("SELECT body FROM bodies WHERE id = ?").bind(id).fetch_optional(connection).await
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn digest_of_head(key: &AnswerKey, body_digest: &[u8], head: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(key).chain_update(body_digest).chain_update(head).finalize().into()
}

fn new_salt() -> Result<Salt, AnswersError> {
    let mut salt = Salt::default();
    getrandom::fill(&mut salt)?;
    Ok(salt)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
