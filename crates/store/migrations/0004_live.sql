-- What a person allowed for the rest of a session; Codex forgets it when it ends. And what a daemon needs to know of turns that run in a
-- Codex that outlived the daemon before.

ALTER TABLE sessions ADD COLUMN allowed TEXT NOT NULL DEFAULT '[]';     -- a JSON array
ALTER TABLE turns ADD COLUMN ask INTEGER;                               -- the number by which Codex was asked for it
ALTER TABLE turns ADD COLUMN stopping INTEGER NOT NULL DEFAULT 0;       -- somebody has interrupted it
ALTER TABLE asks ADD COLUMN thread TEXT;                                -- the thread that was asked about
ALTER TABLE approvals ADD COLUMN reply TEXT;                            -- JSON: what Codex is told
