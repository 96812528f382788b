-- What Codex asked before it acted, and what became of it.

CREATE TABLE approvals (
    n            INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    session      INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
    turn         INTEGER NOT NULL REFERENCES turns (n) ON DELETE CASCADE,
    status       TEXT NOT NULL,
    body         TEXT NOT NULL,                         -- JSON: what was asked
    agent        TEXT NOT NULL,                         -- the process of Codex that asked ...
    request      TEXT NOT NULL,                         -- ... and by which its answer finds it
    requested_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    resolved_by  TEXT,
    resolved_at  INTEGER
) STRICT;

CREATE INDEX approvals_turn ON approvals (turn);
CREATE INDEX approvals_session ON approvals (session);
-- What is open: a handful of rows.
CREATE INDEX approvals_pending ON approvals (session) WHERE status = 'pending';
