-- One row. The salt of all keys of this file.
CREATE TABLE salt (salt BLOB NOT NULL) STRICT;

CREATE TABLE answers (
    id          INTEGER NOT NULL PRIMARY KEY,
    key         BLOB    NOT NULL UNIQUE,
    head        BLOB    NOT NULL,
    -- SHA-256 of key, body_digest and head.
    digest      BLOB    NOT NULL,
    -- SHA-256 of the body as it stands here.
    body_digest BLOB    NOT NULL,
    -- Grows with every use: the lowest goes first.
    turn        INTEGER NOT NULL,
    -- Unix seconds: the start of the cycle that used it last.
    used        INTEGER NOT NULL,
    -- What it counts for in the bound.
    bytes       INTEGER NOT NULL
) STRICT;

-- Covers the sum of all bytes.
CREATE INDEX answers_by_turn ON answers (turn, bytes);

CREATE INDEX answers_by_use ON answers (used);

-- Apart from the heads: a head is written anew with every use, its body is not.
CREATE TABLE bodies (
    id   INTEGER NOT NULL PRIMARY KEY REFERENCES answers (id) ON DELETE CASCADE,
    body BLOB    NOT NULL
) STRICT;

PRAGMA user_version = 1;
