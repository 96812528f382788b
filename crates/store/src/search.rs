//! Search: all words of the query, each as a case-insensitive substring of the session's title or of one of its messages.
//!
//! The words need not stand in the same message. Sessions whose title has all words come first, then the others, each
//! group by its latest activity; archived sessions are left out. There is no query language: every character of a query
//! is looked for as it is, and only white space separates.
//!
//! How: the trigram indexes name candidates, and what is on disk decides. For each word the newest messages and titles
//! whose trigrams may hold it are listed; the word with the fewest of them leads; its sessions are looked at from the most
//! recent on, until enough are found. So a search costs what it returns, not what is stored, and it is bounded:
//! - A word that more than [`CANDIDATES`] messages have is looked for in the newest of those. It is exact beside a rarer
//!   word, and for all-common words the newest messages that have them together are listed too.
//! - Words of one or two characters go by the trigrams that begin with them. A single ASCII character is in nearly every
//!   message: it leads only when there is nothing else, and then over the newest messages.
//! - At most [`MESSAGES_READ`] messages are read, and of a query only its first words and characters looked at (`words.rs`).

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};
use types::{SessionId, Timestamp, TurnId};

use crate::{
    Found, StoreError,
    read::{all, one},
    rows,
    words::{Word, expression, fold, has_all, longest_piece, snippet, trigrams, words_of},
};

/// The most messages, and the most titles, that a word may name as candidates.
const CANDIDATES: u32 = 2_000;
/// The most messages that one search reads.
const MESSAGES_READ: usize = 10_000;
/// The most results.
const RESULTS: u32 = 200;
/// So few sessions are looked at without asking the index for further words.
const FEW: usize = 64;
/// The most trigrams that a short word is followed into.
const TERMS: u32 = 512;
/// The rows at the end of the history that are looked through when nothing can be looked up.
const NEWEST_ROWS: u32 = 20_000;

/// Sessions by their row, each with the rows of its messages that may have a word; none where its title may.
type Rows = HashMap<i64, HashSet<i64>>;

/// Where a word may be.
struct Candidates<'a> {
    word: &'a Word,
    rows: Rows,
    /// False when there may be more.
    complete: bool,
}

/// A session that may be a result.
struct Candidate {
    row: i64,
    id: SessionId,
    title: String,
    updated_at: Timestamp,
}

/// Where a session was hit outside its title.
struct Hit {
    turn: TurnId,
    text: String,
    words: usize,
}

/// What was read of a session so far.
struct Reading<'a> {
    words: &'a [Word],
    missing: Vec<&'a Word>,
    best: Option<Hit>,
}

impl Reading<'_> {
    /// Takes a message; true when no word is missing any more.
    fn read(&mut self, turn: TurnId, text: String) -> bool {
        let folded = fold(&text);
        let words = self.words.iter().filter(|word| word.is_in(&folded)).count();
        self.missing.retain(|word| !word.is_in(&folded));
        if words > self.best.as_ref().map_or(0, |best| best.words) {
            self.best = Some(Hit { turn, text, words });
        }
        self.missing.is_empty() && self.best.is_some()
    }
}

/// The sessions that have all words of a query, best first.
pub(crate) fn search(conn: &Connection, query: &str, limit: u32) -> Result<Vec<Found>, StoreError> {
    let words = words_of(query);
    let limit = limit.min(RESULTS) as usize;
    if words.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let (mut lead, others) = candidates(conn, &words)?;
    let (in_title, mut rest): (Vec<_>, Vec<_>) = sessions(conn, lead.rows.keys().copied())?
        .into_iter()
        .partition(|candidate| has_all(&fold(&candidate.title), &words));
    rest.retain(|candidate| others.iter().all(|other| other.contains(&candidate.row)));

    let mut results = Vec::new();
    for candidate in in_title.into_iter().take(limit) {
        results.extend(found(conn, &candidate.id, None, &candidate.title, &words, 1.0)?);
    }
    let mut budget = MESSAGES_READ;
    for candidate in rest {
        if results.len() >= limit || budget == 0 {
            break;
        }
        let rows = lead.rows.remove(&candidate.row).unwrap_or_default();
        if let Some(hit) = examine(conn, &candidate, lead.word, &rows, &words, &mut budget)? {
            results.extend(found(conn, &candidate.id, Some(hit.turn), &hit.text, &words, 0.5)?);
        }
    }
    Ok(results)
}

/// The word that has the fewest sessions, and for each other word that could be listed whole the sessions that it leaves.
fn candidates<'a>(conn: &Connection, words: &'a [Word]) -> Result<(Candidates<'a>, Vec<HashSet<i64>>), StoreError> {
    let mut listed = Vec::new();
    for word in words {
        let word = list(conn, word)?;
        let enough = word.complete && word.rows.len() <= FEW;
        listed.push(word);
        if enough {
            break;
        }
    }
    // The sort is stable: of equals the longest word leads.
    listed.sort_by_key(|word| if word.complete { word.rows.len() } else { usize::MAX });
    let mut listed = listed.into_iter();
    let Some(mut lead) = listed.next() else { return Err(StoreError::Io("a search without words".to_owned())) };
    if lead.complete {
        let whole = listed.filter(|word| word.complete);
        return Ok((lead, whole.map(|word| word.rows.into_keys().collect()).collect()));
    }
    // All are common. The newest places of one, and the newest places of all together.
    let together: Vec<String> = words.iter().flat_map(|word| trigrams(&word.spelled)).collect();
    if words.len() > 1 && !together.is_empty() {
        matching(conn, &expression(&together), CANDIDATES, &mut lead.rows)?;
    }
    Ok((lead, Vec::new()))
}

/// Where a word may be, newest first when there is more than is listed.
fn list<'a>(conn: &Connection, word: &'a Word) -> Result<Candidates<'a>, StoreError> {
    let mut rows = Rows::new();
    let trigrams = trigrams(&word.spelled);
    if !trigrams.is_empty() {
        let complete = matching(conn, &expression(&trigrams), CANDIDATES, &mut rows)?;
        return Ok(Candidates { word, rows, complete });
    }
    let begin = longest_piece(&word.spelled);
    if begin.is_empty() || (begin.len() == 1 && begin.is_ascii()) {
        newest(conn, &mut rows)?;
        return Ok(Candidates { word, rows, complete: false });
    }
    // The index has its terms folded, but for the letters that it doesn't know: each of the one or two is one or the other.
    let mut begins = HashSet::from([String::new()]);
    for letter in begin.chars() {
        let letters = [letter.to_string(), fold(&letter.to_string())];
        begins = begins.iter().flat_map(|begin| letters.iter().map(move |letter| format!("{begin}{letter}"))).collect();
    }
    let mut complete = true;
    for (table, begin) in
        ["messages_terms", "titles_terms"].iter().flat_map(|table| begins.iter().map(move |b| (table, b)))
    {
        let sql = format!("SELECT term FROM {table} WHERE term >= ?1 AND term <= ?2 LIMIT ?3");
        let terms =
            all(conn, &sql, params![begin, format!("{begin}\u{10FFFF}"), TERMS], |row| row.get::<_, String>(0))?;
        complete &= terms.len() < TERMS as usize;
        // The newest of each trigram hold the newest of all.
        let each = (4 * CANDIDATES).checked_div(terms.len() as u32).unwrap_or(0).clamp(100, CANDIDATES);
        for term in terms {
            complete &= matching(conn, &expression(&[term]), each, &mut rows)?;
        }
    }
    Ok(Candidates { word, rows, complete })
}

/// Adds the newest messages and titles that match an expression; true when these are all.
fn matching(conn: &Connection, expression: &str, limit: u32, rows: &mut Rows) -> Result<bool, StoreError> {
    let sql = "SELECT i.session, i.n FROM (SELECT rowid AS n FROM messages_fts WHERE messages_fts MATCH ?1 \
        ORDER BY rowid DESC LIMIT ?2) h CROSS JOIN items i ON i.n = h.n";
    let messages = all(conn, sql, params![expression, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = "SELECT rowid FROM titles_fts WHERE titles_fts MATCH ?1 ORDER BY rowid DESC LIMIT ?2";
    let titles = all(conn, sql, params![expression, limit], |row| row.get(0))?;
    let complete = messages.len().max(titles.len()) < limit as usize;
    for (session, message) in messages {
        rows.entry(session).or_default().insert(message);
    }
    for session in titles {
        rows.entry(session).or_default();
    }
    Ok(complete)
}

/// Adds the newest messages, and the sessions that were active last, whatever they hold.
fn newest(conn: &Connection, rows: &mut Rows) -> Result<(), StoreError> {
    let sql = "SELECT session, n FROM (SELECT session, n, text IS NOT NULL AS message FROM items ORDER BY n DESC LIMIT ?1) \
        WHERE message LIMIT ?2";
    for (session, message) in all(conn, sql, [NEWEST_ROWS, CANDIDATES], |row| Ok((row.get(0)?, row.get(1)?)))? {
        rows.entry(session).or_default().insert(message);
    }
    let sql = "SELECT n FROM sessions WHERE archived_at IS NULL ORDER BY updated_at DESC LIMIT ?1";
    for session in all(conn, sql, [CANDIDATES], |row| row.get(0))? {
        rows.entry(session).or_default();
    }
    Ok(())
}

/// The sessions of these rows that are not archived, latest activity first.
fn sessions(conn: &Connection, rows: impl Iterator<Item = i64>) -> Result<Vec<Candidate>, StoreError> {
    let sql = "SELECT id, title, updated_at FROM sessions WHERE n = ?1 AND archived_at IS NULL";
    let mut candidates = Vec::new();
    for n in rows {
        candidates.extend(one(conn, sql, [n], |row| {
            Ok(Candidate {
                row: n,
                id: rows::id(row, 0, SessionId::parse)?,
                title: row.get(1)?,
                updated_at: Timestamp::from_millis(row.get(2)?),
            })
        })?);
    }
    candidates.sort_by_key(|candidate| std::cmp::Reverse((candidate.updated_at, candidate.row)));
    Ok(candidates)
}

/// Reads a session's messages until all words are found, first those that may have the leading one. The hit is the one with
/// the most words, the newest of equals; none when a word is missing.
fn examine(
    conn: &Connection,
    candidate: &Candidate,
    lead: &Word,
    rows: &HashSet<i64>,
    words: &[Word],
    budget: &mut usize,
) -> Result<Option<Hit>, StoreError> {
    let title = fold(&candidate.title);
    let missing = words.iter().filter(|word| !word.is_in(&title)).collect();
    let mut reading = Reading { words, missing, best: None };

    let sql = "SELECT t.id, i.text FROM items i JOIN turns t ON t.n = i.turn WHERE i.n = ?1";
    let mut newest_first: Vec<i64> = rows.iter().copied().collect();
    newest_first.sort_unstable_by_key(|n| std::cmp::Reverse(*n));
    for n in newest_first {
        if *budget == 0 {
            return Ok(None);
        }
        *budget -= 1;
        let message = one(conn, sql, [n], |row| Ok((rows::id(row, 0, TurnId::parse)?, row.get(1)?)))?;
        if message.is_some_and(|(turn, text)| reading.read(turn, text)) {
            return Ok(reading.best);
        }
    }
    // The other words may be in messages that don't have the leading one; that one is nowhere else.
    if words.len() == 1 || reading.missing.contains(&lead) {
        return Ok(None);
    }
    let mut statement = conn.prepare_cached(
        "SELECT t.id, i.text, i.n FROM turns t JOIN items i ON i.turn = t.n AND i.text IS NOT NULL \
         WHERE t.session = ?1 ORDER BY t.n DESC, i.n DESC",
    )?;
    let mut messages = statement.query([candidate.row])?;
    while *budget > 0
        && let Some(row) = messages.next()?
    {
        if !rows.contains(&row.get(2)?) {
            *budget -= 1;
            if reading.read(rows::id(row, 0, TurnId::parse)?, row.get(1)?) {
                return Ok(reading.best);
            }
        }
    }
    Ok(None)
}

/// A result, unless its session went away.
fn found(
    conn: &Connection,
    id: &SessionId,
    turn: Option<TurnId>,
    text: &str,
    words: &[Word],
    score: f64,
) -> Result<Option<Found>, StoreError> {
    let Some(stored) = crate::read::session(conn, id)? else { return Ok(None) };
    Ok(Some(Found { session: stored.session, turn, snippet: snippet(text, words), score }))
}
