//! What must hold in a store beyond what SQLite knows, each as a query for the ids of what breaks it, and, where it can be made
//! again from something else, the way to do so.

/// A rule.
pub(super) struct Rule {
    /// What it is about, for programs.
    pub(super) name: &'static str,
    /// What is wrong when there is something.
    pub(super) broken: &'static str,
    /// Finds it.
    pub(super) find: &'static str,
    /// Makes it well.
    pub(super) repair: Option<&'static str>,
}

/// All of them.
pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "epoch",
        broken: "the store has no epoch",
        find: "SELECT 'meta' WHERE NOT EXISTS (SELECT 1 FROM meta WHERE key = 'epoch' AND length(value) > 0)",
        repair: Some("INSERT OR REPLACE INTO meta (key, value) VALUES ('epoch', lower(hex(randomblob(16))))"),
    },
    Rule {
        name: "eventNumbers",
        broken: "numbers of events would be given again",
        find: "SELECT e.id FROM (SELECT coalesce(max(id), 0) AS id FROM events) e \
            WHERE e.id > (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events')",
        repair: Some(
            "DELETE FROM sqlite_sequence WHERE name = 'events'; \
             INSERT INTO sqlite_sequence (name, seq) SELECT 'events', max(id) FROM events",
        ),
    },
    Rule {
        name: "turnCount",
        broken: "sessions count their turns wrongly",
        find: "SELECT s.id FROM sessions s WHERE s.turn_count <> (SELECT count(*) FROM turns t WHERE t.session = s.n)",
        repair: Some("UPDATE sessions SET turn_count = (SELECT count(*) FROM turns t WHERE t.session = sessions.n)"),
    },
    Rule {
        name: "labels",
        broken: "lists by label don't agree with the sessions' labels",
        find: "SELECT s.id FROM sessions s WHERE json_valid(s.labels) \
            AND (SELECT json_group_array(key || char(0) || value ORDER BY key) FROM labels WHERE session = s.n) \
             IS NOT (SELECT json_group_array(key || char(0) || value ORDER BY key) FROM json_each(s.labels))",
        repair: Some(
            "DELETE FROM labels; INSERT INTO labels (key, value, session) \
             SELECT j.key, j.value, s.n FROM sessions s, json_each(s.labels) j WHERE json_valid(s.labels)",
        ),
    },
    Rule {
        name: "itemSession",
        broken: "items are filed under another session than their turns",
        find: "SELECT i.id FROM items i JOIN turns t ON t.n = i.turn WHERE i.session <> t.session",
        repair: Some(
            "UPDATE items SET session = t.session FROM turns t WHERE t.n = items.turn AND items.session <> t.session",
        ),
    },
    Rule {
        name: "endedAt",
        broken: "turns have ended and don't say when",
        find: "SELECT id FROM turns WHERE status IN ('completed', 'failed', 'interrupted') AND ended_at IS NULL",
        repair: Some(
            "UPDATE turns SET ended_at = max(created_at, coalesce(started_at, 0), \
             coalesce((SELECT max(at) FROM items i WHERE i.turn = turns.n), 0)) \
             WHERE status IN ('completed', 'failed', 'interrupted') AND ended_at IS NULL",
        ),
    },
    Rule {
        name: "notEnded",
        broken: "turns that wait or run say when they ended",
        find: "SELECT id FROM turns WHERE status IN ('queued', 'running') AND ended_at IS NOT NULL",
        repair: None,
    },
    Rule {
        name: "openQuestions",
        broken: "questions are open whose turns have ended",
        find: "SELECT a.id FROM approvals a JOIN turns t ON t.n = a.turn WHERE a.status = 'pending' \
            AND t.status IN ('completed', 'failed', 'interrupted')",
        repair: Some(
            "UPDATE approvals SET status = 'cancelled', resolved_by = 'policy', \
             resolved_at = (SELECT coalesce(t.ended_at, t.created_at) FROM turns t WHERE t.n = approvals.turn) \
             WHERE status = 'pending' AND turn IN \
             (SELECT n FROM turns WHERE status IN ('completed', 'failed', 'interrupted'))",
        ),
    },
    Rule {
        name: "oneRuns",
        broken: "sessions have more than one turn that runs",
        find: "SELECT s.id FROM sessions s JOIN turns t ON t.session = s.n WHERE t.status = 'running' \
            GROUP BY s.n HAVING count(*) > 1",
        repair: None,
    },
    Rule {
        name: "prompt",
        broken: "turns have lost their prompts",
        find: "SELECT t.id FROM turns t WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.turn = t.n)",
        repair: None,
    },
    Rule {
        name: "thread",
        broken: "sessions name a thread that they have never had",
        find: "SELECT s.id FROM sessions s WHERE s.thread_id IS NOT NULL AND NOT EXISTS \
            (SELECT 1 FROM threads t WHERE t.session = s.n AND t.thread_id = s.thread_id)",
        repair: None,
    },
    Rule {
        name: "eventTurn",
        broken: "events point to turns that are not there",
        find: "SELECT e.id FROM events e WHERE e.turn IS NOT NULL AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.n = e.turn)",
        repair: None,
    },
    Rule {
        name: "words",
        broken: "states are in no word that codexd knows",
        find: "SELECT id FROM turns WHERE status NOT IN ('queued', 'running', 'completed', 'failed', 'interrupted') \
            OR delivery NOT IN ('no', 'yes', 'unknown') UNION ALL SELECT id FROM approvals \
            WHERE status NOT IN ('pending', 'accepted', 'declined', 'cancelled', 'expired')",
        repair: None,
    },
    Rule {
        name: "json",
        broken: "what should be JSON is none",
        find: "SELECT id FROM sessions WHERE NOT json_valid(labels) OR NOT json_valid(config) \
            OR NOT json_valid(coalesce(usage, '0')) OR NOT json_valid(coalesce(base, '0')) UNION ALL \
            SELECT id FROM turns WHERE NOT json_valid(declined) OR NOT json_valid(coalesce(usage, '0')) \
            OR NOT json_valid(coalesce(error, '0')) OR NOT json_valid(coalesce(options, '0')) UNION ALL \
            SELECT id FROM items WHERE NOT json_valid(coalesce(body, '0')) UNION ALL \
            SELECT id FROM approvals WHERE NOT json_valid(body) UNION ALL \
            SELECT CAST(id AS TEXT) FROM events WHERE NOT json_valid(coalesce(detail, '0'))",
        repair: None,
    },
];
