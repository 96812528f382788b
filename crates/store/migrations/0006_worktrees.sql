-- Git worktrees that were made for sessions. A row is there before git is run and until nothing is left of the worktree: it names the session by its
-- id and not by its row, which comes later and may go earlier.
CREATE TABLE worktrees (
    session TEXT NOT NULL PRIMARY KEY,
    path TEXT NOT NULL,
    repository TEXT NOT NULL,   -- the checkout that it was made from
    common TEXT NOT NULL,       -- where the repository keeps what its worktrees share
    branch TEXT NOT NULL,
    base TEXT NOT NULL,         -- the commit that it began with
    state TEXT NOT NULL,        -- planned, used, leaving or kept
    at INTEGER NOT NULL         -- since when the state is so
) STRICT, WITHOUT ROWID;
