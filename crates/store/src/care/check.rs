//! Whether a store is what it should be.

use std::path::Path;

use rusqlite::{Connection, types::Value};

use super::{
    CareError, FILE, number, open,
    rules::{RULES, Rule},
    unsound, version,
};
use crate::{OpenError, migrate::MIGRATIONS, owner::Owner, worktrees};

/// So many ids of what is wrong are told.
const SHOWN: usize = 5;

/// What a check saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong, or was.
    pub problems: Vec<Problem>,
    /// What is worth knowing and not wrong.
    pub notes: Vec<String>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it is about, for programs.
    pub name: &'static str,
    /// What is wrong, for people.
    pub text: String,
    /// The first of the ids of where it is wrong, or what SQLite says.
    pub found: Vec<String>,
    /// How many there are.
    pub count: u64,
    /// It can be made again from something else.
    pub repairable: bool,
    /// It was.
    pub repaired: bool,
}

impl Checked {
    /// Nothing is wrong any more.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.problems.iter().all(|problem| problem.repaired)
    }

    fn sqlite(&mut self, name: &'static str, text: &str, found: Vec<String>, repairable: bool) {
        if !found.is_empty() {
            let count = found.len() as u64;
            let found = found.into_iter().take(SHOWN).collect();
            self.problems.push(Problem { name, text: text.to_owned(), found, count, repairable, repaired: false });
        }
    }
}

/// Checks the store of this folder, and with `repair` makes well what can be. `step` is told what is looked at. While a daemon has the
/// store it is only read. Blocks the thread.
///
/// # Errors
/// When it can't be checked at all, or is to be repaired while a daemon has it.
pub fn check(dir: &Path, repair: bool, mut step: impl FnMut(&str)) -> Result<Checked, CareError> {
    let path = dir.join(FILE);
    if !path.is_file() {
        return Err(CareError::NoStore(dir.to_owned()));
    }
    let owner = match Owner::take(dir) {
        Ok(owner) => Some(owner),
        Err(OpenError::Owned { .. }) if !repair => None,
        Err(error) => return Err(error.into()),
    };
    let conn = open(&path)?;
    let failed = CareError::sqlite(&path);
    let found = version(&conn, &path)?;
    let mut checked = Checked::default();
    if owner.is_none() {
        conn.execute_batch("PRAGMA query_only = 1").map_err(&failed)?;
    }
    step("the file");
    let lines = unsound(&conn).map_err(&failed)?;
    let indexes = !lines.is_empty() && lines.iter().all(|line| line.contains("index"));
    checked.sqlite("file", "the file is damaged", lines, indexes);
    step("what points to what");
    checked.sqlite("references", "rows point to rows that are not there", dangling(&conn).map_err(&failed)?, false);
    if found < MIGRATIONS.len() as i64 {
        checked
            .notes
            .push("an older codexd has written it; the rest can be checked once this one has served it".into());
    } else {
        for rule in RULES {
            step(rule.broken);
            checked.problems.extend(broken(&conn, rule).map_err(&failed)?);
        }
        step("the search index");
        if owner.is_some() {
            index(&conn, &mut checked).map_err(&failed)?;
        } else {
            checked.notes.push(
                "a daemon has the store: the search index is compared with the messages only while none does".into(),
            );
        }
        unsettled(&conn, owner.is_some(), &mut checked).map_err(&failed)?;
        left_behind(&conn, &mut checked).map_err(&failed)?;
    }
    if repair && !checked.problems.is_empty() {
        step("repairing");
        repaired(&conn, &mut checked).map_err(&failed)?;
    }
    conn.close().map_err(|(_, error)| failed(error))?;
    drop(owner);
    Ok(checked)
}

fn dangling(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare("PRAGMA foreign_key_check")?;
    let rows = statement.query_map([], |row| {
        let (table, n): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok(format!("{table} {}", n.map_or_else(|| "?".to_owned(), |n| n.to_string())))
    })?;
    rows.collect()
}

fn broken(conn: &Connection, rule: &Rule) -> rusqlite::Result<Option<Problem>> {
    let count = number(conn, &format!("SELECT count(*) FROM ({})", rule.find))?;
    if count == 0 {
        return Ok(None);
    }
    let mut statement = conn.prepare(&format!("SELECT * FROM ({}) LIMIT {SHOWN}", rule.find))?;
    let found = statement.query_map([], |row| row.get(0))?.map(|id| {
        Ok(match id? {
            Value::Text(text) => text,
            Value::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        })
    });
    Ok(Some(Problem {
        name: rule.name,
        text: rule.broken.to_owned(),
        found: found.collect::<rusqlite::Result<_>>()?,
        count,
        repairable: rule.repair.is_some(),
        repaired: false,
    }))
}

/// The indexes, and what they must find.
const INDEXES: [(&str, &str); 2] = [("messages_fts", "messages"), ("titles_fts", "titles")];

fn index(conn: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    for (table, what) in INDEXES {
        // With a rank of 1 it is compared with what it indexes.
        match conn.execute(&format!("INSERT INTO {table} ({table}, rank) VALUES ('integrity-check', 1)"), []) {
            Ok(_) => {}
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                let text = format!("the search index does not agree with the {what}");
                checked.sqlite("searchIndex", &text, vec![table.to_owned()], true);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Turns that are under way: right with a daemon, and without one something that the next start settles.
fn unsettled(conn: &Connection, alone: bool, checked: &mut Checked) -> rusqlite::Result<()> {
    let running = number(conn, "SELECT count(*) FROM turns WHERE status = 'running'")?;
    if alone && running > 0 {
        checked.notes.push(format!("{running} turns ran when the last daemon ended; the next start settles them"));
    }
    Ok(())
}

/// Worktrees whose sessions are gone: somebody's work may be in them.
fn left_behind(conn: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    for path in worktrees::left(conn)?.into_iter().filter(|path| Path::new(path).exists()) {
        checked.notes.push(format!(
            "the git worktree {path} is still there, and its session is not: look at what is in it, then remove it with \
             `git worktree remove` in its repository"
        ));
    }
    Ok(())
}

fn repaired(conn: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    let damaged = checked.problems.iter().any(|problem| problem.name == "file" && !problem.repairable);
    if damaged {
        // Whatever is written into a damaged file may damage it further.
        checked.notes.push("nothing is repaired in a damaged file: restore a backup with `codexd restore FILE`".into());
        return Ok(());
    }
    for problem in checked.problems.iter_mut().filter(|problem| problem.repairable) {
        let sql = match problem.name {
            "file" => "REINDEX".to_owned(),
            "searchIndex" => INDEXES
                .iter()
                .filter(|(table, _)| problem.found.iter().any(|found| found == table))
                .map(|(table, _)| format!("INSERT INTO {table} ({table}) VALUES ('rebuild');"))
                .collect(),
            name => {
                let rule = RULES.iter().find(|rule| rule.name == name);
                rule.and_then(|rule| rule.repair).unwrap_or_default().to_owned()
            }
        };
        conn.execute_batch(&format!("BEGIN IMMEDIATE; {sql}; COMMIT"))?;
        let still = match problem.name {
            "file" => !unsound(conn)?.is_empty(),
            "searchIndex" => {
                let mut again = Checked::default();
                index(conn, &mut again)?;
                again.problems.iter().any(|left| left.found == problem.found)
            }
            name => match RULES.iter().find(|rule| rule.name == name) {
                Some(rule) => broken(conn, rule)?.is_some(),
                None => true,
            },
        };
        problem.repaired = !still;
    }
    Ok(())
}
