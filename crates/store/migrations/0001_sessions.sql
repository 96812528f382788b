-- The first schema: sessions, threads, turns, items, events, asks, and the search over titles and messages.
-- A migration that was released is never modified: a later one changes what this one made.
--
-- Rows point to each other by `n`, a number that is never used twice (AUTOINCREMENT); `id` is what callers see.
-- Times are milliseconds since 1970 in UTC.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Readers that come back with an event id of another store see by this that it means nothing here.
INSERT INTO meta (key, value) VALUES ('epoch', lower(hex(randomblob(16))));

CREATE TABLE sessions (
    n                      INTEGER PRIMARY KEY AUTOINCREMENT,
    id                     TEXT NOT NULL UNIQUE,
    updated_at             INTEGER NOT NULL,
    archived_at            INTEGER,
    title                  TEXT NOT NULL,
    title_source           TEXT NOT NULL,
    title_locked           INTEGER NOT NULL,
    cwd                    TEXT NOT NULL,
    model                  TEXT,
    sandbox                TEXT NOT NULL,
    approval_policy        TEXT NOT NULL,
    thread_id              TEXT,                        -- the current one; former ones are in `threads`
    backend                TEXT,                        -- of the current thread
    forked_from            TEXT,                        -- may outlive the session it names
    labels                 TEXT NOT NULL,               -- a JSON object
    turn_count             INTEGER NOT NULL DEFAULT 0,  -- kept in the commit that makes the turn
    resumed_how            TEXT,
    resumed_at             INTEGER,
    created_at             INTEGER NOT NULL,
    principal              TEXT NOT NULL,
    origin                 TEXT NOT NULL,
    developer_instructions TEXT,
    seen_agent             TEXT,                        -- the process of Codex ...
    seen_seq               INTEGER                      -- ... and its last line that means nothing new any more
) STRICT;

-- Lists: newest activity first, without the archived ones.
CREATE INDEX sessions_recent ON sessions (updated_at) WHERE archived_at IS NULL;

CREATE TABLE threads (
    n         INTEGER PRIMARY KEY AUTOINCREMENT,
    thread_id TEXT NOT NULL UNIQUE,
    session   INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
    backend   TEXT,
    at        INTEGER NOT NULL
) STRICT;

CREATE INDEX threads_session ON threads (session);

CREATE TABLE turns (
    n            INTEGER PRIMARY KEY AUTOINCREMENT,     -- also the order of the queue
    id           TEXT NOT NULL UNIQUE,
    session      INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
    status       TEXT NOT NULL,
    held         INTEGER NOT NULL DEFAULT 0,
    delivery     TEXT NOT NULL,
    origin       TEXT NOT NULL,
    principal    TEXT NOT NULL,
    agent        TEXT,
    codex_thread TEXT,
    codex_turn   TEXT,
    usage        TEXT,                                  -- JSON
    error        TEXT,                                  -- JSON
    declined     TEXT NOT NULL DEFAULT '[]',            -- a JSON array of approval ids
    created_at   INTEGER NOT NULL,
    started_at   INTEGER,
    ended_at     INTEGER
) STRICT;

CREATE INDEX turns_session ON turns (session);
-- The queue of a session, and at boot the sessions that have one. Stays as small as what is under way.
CREATE INDEX turns_unfinished ON turns (session) WHERE status IN ('queued', 'running');

-- What happened in a turn, in the order of `n`; the first one is the prompt. What is asked for often stands before what
-- may be large, so that it is read without the pages of the rest.
CREATE TABLE items (
    n        INTEGER PRIMARY KEY AUTOINCREMENT,
    turn     INTEGER NOT NULL REFERENCES turns (n) ON DELETE CASCADE,
    session  INTEGER NOT NULL,                          -- that of the turn, again, for search
    id       TEXT NOT NULL UNIQUE,
    kind     TEXT NOT NULL,
    status   TEXT NOT NULL,
    at       INTEGER NOT NULL,
    codex_id TEXT,
    text     TEXT,                                      -- of user and agent messages, and of nothing else
    body     TEXT                                       -- JSON: the whole of other kinds, what is left of a user message
) STRICT;

CREATE INDEX items_turn ON items (turn);
CREATE INDEX items_message ON items (turn) WHERE text IS NOT NULL;

-- Events point to what they are about. Only the session is a foreign key: it takes its events with it.
CREATE TABLE events (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    session INTEGER REFERENCES sessions (n) ON DELETE CASCADE,
    turn    INTEGER,
    item    INTEGER,
    detail  TEXT                                        -- JSON
) STRICT;

CREATE INDEX events_session ON events (session) WHERE session IS NOT NULL;

-- Requests to Codex without an answer: a handful of rows. The highest id ever is kept by AUTOINCREMENT.
CREATE TABLE asks (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    agent   TEXT NOT NULL,
    session INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
    turn    TEXT,
    meaning TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

-- Search. The indexes hold only which trigram is in which row (detail=none, a fraction of the full index); they name
-- candidates, and search.rs reads these. Two line ends behind each text give its last characters a trigram that begins
-- with them, so that words of one and two characters are found by the trigrams that they begin.
CREATE VIEW messages_indexed AS SELECT n, text || char(10, 10) AS text FROM items WHERE text IS NOT NULL;
CREATE VIEW titles_indexed AS SELECT n, title || char(10, 10) AS title FROM sessions;

CREATE VIRTUAL TABLE messages_fts USING fts5 (
    text, content = 'messages_indexed', content_rowid = 'n', tokenize = 'trigram', detail = 'none', columnsize = 0
);
CREATE VIRTUAL TABLE titles_fts USING fts5 (
    title, content = 'titles_indexed', content_rowid = 'n', tokenize = 'trigram', detail = 'none', columnsize = 0
);
CREATE VIRTUAL TABLE messages_terms USING fts5vocab (messages_fts, 'row');
CREATE VIRTUAL TABLE titles_terms USING fts5vocab (titles_fts, 'row');

CREATE TRIGGER items_inserted AFTER INSERT ON items WHEN new.text IS NOT NULL BEGIN
    INSERT INTO messages_fts (rowid, text) VALUES (new.n, new.text || char(10, 10));
END;
CREATE TRIGGER items_text_changed AFTER UPDATE OF text ON items WHEN old.text IS NOT new.text BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, text)
        SELECT 'delete', old.n, old.text || char(10, 10) WHERE old.text IS NOT NULL;
    INSERT INTO messages_fts (rowid, text) SELECT new.n, new.text || char(10, 10) WHERE new.text IS NOT NULL;
END;
CREATE TRIGGER items_deleted AFTER DELETE ON items WHEN old.text IS NOT NULL BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, text) VALUES ('delete', old.n, old.text || char(10, 10));
END;

CREATE TRIGGER sessions_inserted AFTER INSERT ON sessions BEGIN
    INSERT INTO titles_fts (rowid, title) VALUES (new.n, new.title || char(10, 10));
END;
CREATE TRIGGER sessions_retitled AFTER UPDATE OF title ON sessions WHEN old.title IS NOT new.title BEGIN
    INSERT INTO titles_fts (titles_fts, rowid, title) VALUES ('delete', old.n, old.title || char(10, 10));
    INSERT INTO titles_fts (rowid, title) VALUES (new.n, new.title || char(10, 10));
END;
CREATE TRIGGER sessions_deleted AFTER DELETE ON sessions BEGIN
    INSERT INTO titles_fts (titles_fts, rowid, title) VALUES ('delete', old.n, old.title || char(10, 10));
END;
