//! The file of remembered answers: opened, made, told from what is none.

use std::io;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

/// The version of `schema.sql`, which sets it. A file of another one is begun anew: everything in it can be asked for again.
const VERSION: i64 = 1;

const SCHEMA: &str = include_str!("schema.sql");

/// How long another process may hold the file: requests wait as long.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// Makes the keys of two files differ, so that one says nothing about another.
pub type Salt = [u8; 32];

/// Why answers cannot be remembered.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswersError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Sql(#[from] sqlx::Error),
    #[error("the file is of version {0}, this host's is {VERSION}")]
    Version(i64),
    #[error("the file is another one than at the cycle's start")]
    Exchanged,
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("the file does not answer within {0:?}")]
    Slow(Duration),
}

impl AnswersError {
    /// Whether it is the file itself that is wrong, and would be the next time as well; else it is the machine for now.
    pub fn is_lasting(&self) -> bool {
        // https://www.sqlite.org/rescode.html: PERM, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL.
        const OF_THE_MACHINE: [i32; 10] = [3, 5, 6, 7, 8, 9, 10, 13, 14, 15];
        use sqlx::Error as E;
        match self {
            AnswersError::Version(_) => true,
            AnswersError::Sql(E::Database(e)) => {
                let extended: Option<i32> = e.code().and_then(|code| code.parse().ok());
                extended.is_some_and(|code| !OF_THE_MACHINE.contains(&(code & 0xff)))
            }
            // Every query here is fixed: rows of another shape are another file's.
            AnswersError::Sql(e) => {
                matches!(e, E::RowNotFound | E::ColumnNotFound(_) | E::ColumnDecode { .. } | E::Decode(_))
            }
            _ => false,
        }
    }
}

/// Opens a file for reading only. None where it was made and never written.
pub(super) async fn open(path: &Path) -> Result<Option<(SqliteConnection, Salt)>, AnswersError> {
    let options = options(path).pragma("query_only", "ON");
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let tables: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_schema").fetch_one(&mut connection).await?;
    match version(&mut connection).await? {
        0 if tables == 0 => {
            connection.close().await?;
            Ok(None)
        }
        VERSION => {
            let salt = salt(&mut connection).await?;
            Ok(Some((connection, salt)))
        }
        other => Err(AnswersError::Version(other)),
    }
}

/// Opens a file for writing, and makes it where it is not there. It is this user's alone: answers are not for everybody.
pub(super) async fn open_to_write(path: &Path) -> Result<SqliteConnection, AnswersError> {
    let mut file = std::fs::OpenOptions::new();
    file.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    file.open(path)?;
    let options = options(path)
        // What is forgotten gives its room on the disk back.
        .auto_vacuum(SqliteAutoVacuum::Full)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true);
    Ok(SqliteConnection::connect_with(&options).await?)
}

/// Within the transaction that writes: the file holds this schema and this salt, or does from now on.
pub(super) async fn prepare(connection: &mut SqliteConnection, own: &Salt) -> Result<(), AnswersError> {
    match version(connection).await? {
        0 => {
            sqlx::raw_sql(SCHEMA).execute(&mut *connection).await?;
            sqlx::query("INSERT INTO salt (salt) VALUES (?)").bind(own.as_slice()).execute(connection).await?;
            Ok(())
        }
        VERSION if salt(connection).await? == *own => Ok(()),
        VERSION => Err(AnswersError::Exchanged),
        other => Err(AnswersError::Version(other)),
    }
}

/// Removes a file and what SQLite keeps beside it.
pub(super) fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        // What cannot be removed is told when it is opened the next time.
        drop(std::fs::remove_file(name));
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).disable_statement_logging()
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA user_version").fetch_one(connection).await
}

async fn salt(connection: &mut SqliteConnection) -> Result<Salt, sqlx::Error> {
    let bytes: Vec<u8> = sqlx::query_scalar("SELECT salt FROM salt").fetch_one(connection).await?;
    bytes.try_into().map_err(|_| sqlx::Error::ColumnNotFound("salt".into()))
}
