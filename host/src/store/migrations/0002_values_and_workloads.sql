-- The last value of every series and set of tags (joined by line breaks), for collectors that compute on others' results.
CREATE TABLE last_values (
    series TEXT    NOT NULL,
    tags   TEXT    NOT NULL,
    value  REAL    NOT NULL,
    time   INTEGER NOT NULL,
    PRIMARY KEY (series, tags)
) STRICT, WITHOUT ROWID;

-- Times of workloads are Unix milliseconds.
CREATE TABLE workload_runs (
    id       TEXT    NOT NULL PRIMARY KEY,
    job      TEXT    NOT NULL,
    schedule TEXT,
    project  TEXT    NOT NULL,
    image    TEXT,
    node     TEXT,
    gpus     REAL    NOT NULL,
    started  INTEGER,
    ended    INTEGER NOT NULL,
    ending   TEXT    NOT NULL,
    reason   TEXT
) STRICT;

CREATE INDEX workload_runs_by_end ON workload_runs (ended);

CREATE TABLE workload_failures (
    id             TEXT    NOT NULL PRIMARY KEY,
    run_id         TEXT,
    job            TEXT    NOT NULL,
    schedule       TEXT,
    project        TEXT    NOT NULL,
    failure_type   TEXT    NOT NULL,
    phase          TEXT,
    at             INTEGER NOT NULL,
    pod            TEXT,
    container      TEXT,
    node           TEXT,
    image          TEXT,
    message        TEXT,
    logs           TEXT,
    events         TEXT,
    gpus           REAL    NOT NULL,
    cpu_request    TEXT,
    memory_request TEXT,
    job_ending     TEXT
) STRICT;

CREATE INDEX workload_failures_by_time ON workload_failures (at);
