-- What a person allowed for the rest of a session. Codex forgets it when it ends.

ALTER TABLE sessions ADD COLUMN allowed TEXT NOT NULL DEFAULT '[]';     -- a JSON array
