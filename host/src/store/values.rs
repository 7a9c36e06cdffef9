//! The last value of every series without tags.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row, SqliteConnection};

use super::{KEPT_SECONDS, Store, StoreError};
use crate::model::Point;

impl Store {
    /// The last values of series without tags, and their times, that are not older than `since`.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn last_values(&mut self, since: Timestamp) -> Result<HashMap<String, (f64, Timestamp)>, StoreError> {
        let rows = sqlx::query("SELECT series, value, time FROM last_values WHERE tags = '' AND time >= ?")
            .bind(since.as_second())
            .fetch_all(&mut self.connection)
            .await;
        let rows = rows.map_err(|source| self.error(source))?;
        let pair = |row: &sqlx::sqlite::SqliteRow| {
            let time = Timestamp::from_second(row.try_get::<i64, _>("time").ok()?).ok()?;
            Some((row.try_get("series").ok()?, (row.try_get("value").ok()?, time)))
        };
        Ok(rows.iter().filter_map(pair).collect())
    }
}

/// Rows of one statement: each statement is a trip to SQLite's thread and back.
const ROWS_AT_ONCE: usize = 250;

/// Writes the values of a cycle, those without tags. An older cycle that ends later changes nothing.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    points: &[Point],
    slot: Timestamp,
) -> Result<(), sqlx::Error> {
    let points: Vec<&Point> = points.iter().filter(|point| point.tags.is_empty()).collect();
    for points in points.chunks(ROWS_AT_ONCE) {
        let mut insert = QueryBuilder::new("INSERT INTO last_values (series, tags, value, time) ");
        insert.push_values(points, |mut row, point| {
            row.push_bind(&*point.series).push_bind("").push_bind(point.value);
            row.push_bind(slot.as_second());
        });
        insert.push(
            " ON CONFLICT (series, tags) DO UPDATE SET value = excluded.value, time = excluded.time
             WHERE excluded.time >= time",
        );
        insert.build().execute(&mut *connection).await?;
    }
    sqlx::query("DELETE FROM last_values WHERE time < ?")
        .bind(slot.as_second() - KEPT_SECONDS)
        .execute(connection)
        .await?;
    Ok(())
}
