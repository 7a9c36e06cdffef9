//! Writes what a cycle learns of answers: one transaction, which ends with the cycle. A crash before that leaves the file as it
//! was.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use sqlx::{Connection, Row, SqliteConnection};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedReceiver;

use super::file::{self, AnswersError, Salt};
use super::{AnswerKey, digest, digest_of_head};

/// Something that was learnt. Its permit is its share of what may wait here.
#[derive(Debug)]
pub(super) enum Change {
    /// A new answer, in the place of the one that the key had.
    Keep { key: AnswerKey, head: Vec<u8>, body: Vec<u8>, room: OwnedSemaphorePermit },
    /// The answer still holds, with this head.
    Confirm { key: AnswerKey, head: Vec<u8>, room: OwnedSemaphorePermit },
    /// The answer is not to be asked for again.
    Forget { key: AnswerKey, room: OwnedSemaphorePermit },
}

/// What holds for a cycle's writing.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub path: PathBuf,
    pub salt: Salt,
    pub bytes_max: u64,
    pub age_max: SignedDuration,
    pub now: Timestamp,
}

/// Takes changes until no more can come, then commits. Without a change and without a file it makes none.
pub(super) async fn write(rules: &Rules, changes: &mut UnboundedReceiver<Change>) -> Result<(), AnswersError> {
    let mut next = changes.recv().await;
    if next.is_none() && !rules.path.exists() {
        return Ok(());
    }
    let mut connection = file::open_to_write(&rules.path).await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    file::prepare(&mut transaction, &rules.salt).await?;
    let mut book = Book::open(&mut transaction, rules).await?;
    while let Some(change) = next {
        book.apply(change).await?;
        next = changes.recv().await;
    }
    book.expire(rules.age_max).await?;
    book.make_room().await?;
    transaction.commit().await?;
    connection.close().await?;
    Ok(())
}

/// The file within the transaction, and what it comes to.
struct Book<'a> {
    connection: &'a mut SqliteConnection,
    bytes: u64,
    bytes_max: u64,
    turn: i64,
    now: Timestamp,
}

impl<'a> Book<'a> {
    async fn open(connection: &'a mut SqliteConnection, rules: &Rules) -> Result<Book<'a>, sqlx::Error> {
        let row = sqlx::query("SELECT COALESCE(SUM(bytes), 0), COALESCE(MAX(turn), 0) FROM answers");
        let row = row.fetch_one(&mut *connection).await?;
        let bytes = unsigned(row.try_get(0)?);
        Ok(Book { connection, bytes, bytes_max: rules.bytes_max, turn: row.try_get(1)?, now: rules.now })
    }

    async fn apply(&mut self, change: Change) -> Result<(), sqlx::Error> {
        self.turn += 1;
        match change {
            Change::Keep { key, head, body, room: _room } => {
                self.forget(&key).await?;
                self.keep(&key, &head, &body).await?;
                self.make_room().await
            }
            Change::Confirm { key, head, room: _room } => {
                self.confirm(&key, &head).await?;
                self.make_room().await
            }
            Change::Forget { key, room: _room } => self.forget(&key).await,
        }
    }

    async fn keep(&mut self, key: &AnswerKey, head: &[u8], body: &[u8]) -> Result<(), sqlx::Error> {
        let bytes = charge(head.len() as u64, body.len() as u64);
        let body_digest = digest(body);
        let row = sqlx::query(
            "INSERT INTO answers (key, head, digest, body_digest, turn, used, bytes) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(key.as_slice())
        .bind(head)
        .bind(digest_of_head(key, &body_digest, head).as_slice())
        .bind(body_digest.as_slice())
        .bind(self.turn)
        .bind(self.now.as_second())
        .bind(signed(bytes))
        .fetch_one(&mut *self.connection)
        .await?;
        let id: i64 = row.try_get("id")?;
        sqlx::query("INSERT INTO bodies (id, body) VALUES (?, ?)")
            .bind(id)
            .bind(body)
            .execute(&mut *self.connection)
            .await?;
        self.bytes += bytes;
        Ok(())
    }

    async fn confirm(&mut self, key: &AnswerKey, head: &[u8]) -> Result<(), sqlx::Error> {
        let known = sqlx::query(
            "SELECT answers.id, body_digest, bytes, LENGTH(body) AS body_bytes FROM answers JOIN bodies USING (id) WHERE key = ?",
        )
        .bind(key.as_slice())
        .fetch_optional(&mut *self.connection)
        .await?;
        // It may have had to make room for newer ones.
        let Some(known) = known else { return Ok(()) };
        let bytes = charge(head.len() as u64, unsigned(known.try_get("body_bytes")?));
        let body_digest: &[u8] = known.try_get("body_digest")?;
        sqlx::query("UPDATE answers SET head = ?, digest = ?, turn = ?, used = MAX(used, ?), bytes = ? WHERE id = ?")
            .bind(head)
            .bind(digest_of_head(key, body_digest, head).as_slice())
            .bind(self.turn)
            .bind(self.now.as_second())
            .bind(signed(bytes))
            .bind(known.try_get::<i64, _>("id")?)
            .execute(&mut *self.connection)
            .await?;
        self.bytes = (self.bytes + bytes).saturating_sub(unsigned(known.try_get("bytes")?));
        Ok(())
    }

    async fn forget(&mut self, key: &AnswerKey) -> Result<(), sqlx::Error> {
        let gone: Option<i64> = sqlx::query_scalar("DELETE FROM answers WHERE key = ? RETURNING bytes")
            .bind(key.as_slice())
            .fetch_optional(&mut *self.connection)
            .await?;
        self.bytes = self.bytes.saturating_sub(gone.map_or(0, unsigned));
        Ok(())
    }

    /// Forgets what nobody has asked for within the age.
    async fn expire(&mut self, age_max: SignedDuration) -> Result<(), sqlx::Error> {
        let gone: Vec<i64> = sqlx::query_scalar("DELETE FROM answers WHERE used < ? RETURNING bytes")
            .bind(oldest(self.now, age_max).as_second())
            .fetch_all(&mut *self.connection)
            .await?;
        self.bytes = self.bytes.saturating_sub(gone.into_iter().map(unsigned).sum());
        Ok(())
    }

    /// Forgets the least recently used until the rest is within the bound.
    async fn make_room(&mut self) -> Result<(), sqlx::Error> {
        while self.bytes > self.bytes_max {
            let gone: Option<i64> = sqlx::query_scalar(
                "DELETE FROM answers WHERE id = (SELECT id FROM answers ORDER BY turn LIMIT 1) RETURNING bytes",
            )
            .fetch_optional(&mut *self.connection)
            .await?;
            let Some(gone) = gone else { break };
            self.bytes = self.bytes.saturating_sub(unsigned(gone));
        }
        Ok(())
    }
}

/// What an answer counts for: its body in whole pages of SQLite's, as no two bodies share one, its head, and its rows.
fn charge(head_bytes: u64, body_bytes: u64) -> u64 {
    const PAGE: u64 = 4096;
    const ROWS: u64 = 512;
    body_bytes.div_ceil(PAGE) * PAGE + head_bytes + ROWS
}

/// The last use that is recent enough.
pub(super) fn oldest(now: Timestamp, age_max: SignedDuration) -> Timestamp {
    now.checked_sub(age_max).unwrap_or(Timestamp::MIN)
}

/// SQLite's integers are signed; no count of bytes comes near the difference.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
