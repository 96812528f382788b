-- What the v1 API keeps besides: options of turns, values of Codex's configuration, tokens of a session, labels that lists
-- can be filtered by, idempotency keys, grants.

ALTER TABLE sessions ADD COLUMN config TEXT NOT NULL DEFAULT '{}';      -- a JSON object
ALTER TABLE sessions ADD COLUMN usage TEXT;                             -- JSON: the sum of its turns
ALTER TABLE sessions ADD COLUMN base TEXT;                              -- JSON: what a turn with a model of its own stands in for
ALTER TABLE turns ADD COLUMN kind TEXT NOT NULL DEFAULT 'prompt';
ALTER TABLE turns ADD COLUMN options TEXT;                              -- JSON; none when the turn is a plain prompt
ALTER TABLE turns ADD COLUMN retry_of TEXT;                             -- the id of another turn

CREATE INDEX sessions_archived ON sessions (updated_at) WHERE archived_at IS NOT NULL;

-- The labels of sessions, again, so that a list by label reads no other session.
CREATE TABLE labels (
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    session INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
    PRIMARY KEY (key, value, session)
) STRICT, WITHOUT ROWID;

CREATE INDEX labels_session ON labels (session);

CREATE TRIGGER sessions_labelled AFTER INSERT ON sessions WHEN new.labels <> '{}' BEGIN
    INSERT INTO labels (key, value, session) SELECT key, value, new.n FROM json_each(new.labels);
END;
CREATE TRIGGER sessions_relabelled AFTER UPDATE OF labels ON sessions WHEN old.labels IS NOT new.labels BEGIN
    DELETE FROM labels WHERE session = new.n;
    INSERT INTO labels (key, value, session) SELECT key, value, new.n FROM json_each(new.labels);
END;

-- Requests that started work under a key of the caller's. The ids are kept also when what they name is gone: the same
-- request again is then told so, and starts nothing anew.
CREATE TABLE idempotency (
    principal TEXT NOT NULL,
    method    TEXT NOT NULL,
    path      TEXT NOT NULL,
    key       TEXT NOT NULL,
    body      BLOB NOT NULL,                            -- a hash of it
    session   TEXT NOT NULL,
    turn      TEXT,
    at        INTEGER NOT NULL,
    PRIMARY KEY (principal, method, path, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_at ON idempotency (at);

-- Named tokens. Of the token itself only a hash is here.
CREATE TABLE grants (
    name         TEXT PRIMARY KEY,
    hash         BLOB NOT NULL UNIQUE,
    scopes       TEXT NOT NULL,                         -- a JSON array
    roots        TEXT NOT NULL,                         -- a JSON array
    max_sandbox  TEXT,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

-- Lists that have archived sessions among the others.
CREATE INDEX sessions_all ON sessions (updated_at);

-- What older stores have already.
INSERT INTO labels (key, value, session) SELECT j.key, j.value, s.n FROM sessions s, json_each(s.labels) j;
UPDATE sessions SET usage = (
    SELECT json_object(
        'inputTokens', sum(t.usage ->> 'inputTokens'), 'cachedInputTokens', sum(t.usage ->> 'cachedInputTokens'),
        'outputTokens', sum(t.usage ->> 'outputTokens'), 'reasoningTokens', sum(t.usage ->> 'reasoningTokens'))
    FROM turns t WHERE t.session = sessions.n AND t.usage IS NOT NULL
) WHERE EXISTS (SELECT 1 FROM turns t WHERE t.session = sessions.n AND t.usage IS NOT NULL);
