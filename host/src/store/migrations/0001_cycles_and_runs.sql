-- Times are Unix seconds; durations are milliseconds.
CREATE TABLE cycles (
    id          TEXT    NOT NULL PRIMARY KEY,
    slot        INTEGER NOT NULL,
    start       INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    outcome     TEXT    NOT NULL
) STRICT;

CREATE INDEX cycles_by_start ON cycles (start);

CREATE TABLE runs (
    cycle             TEXT    NOT NULL REFERENCES cycles (id) ON DELETE CASCADE,
    collector         TEXT    NOT NULL,
    outcome           TEXT    NOT NULL,
    reason            TEXT,
    blame             TEXT,
    message           TEXT,
    attempts          INTEGER NOT NULL,
    points            INTEGER NOT NULL,
    gaps              INTEGER NOT NULL,
    duration_ms       INTEGER NOT NULL,
    fuel_used         INTEGER NOT NULL,
    memory_peak_bytes INTEGER NOT NULL,
    requests          INTEGER NOT NULL,
    bytes             INTEGER NOT NULL,
    throttled         INTEGER NOT NULL,
    component_digest  TEXT,
    PRIMARY KEY (cycle, collector)
) STRICT;

-- When each collector last ended well; kept when its runs are forgotten.
CREATE TABLE last_good (
    collector TEXT    NOT NULL PRIMARY KEY,
    start     INTEGER NOT NULL
) STRICT;
