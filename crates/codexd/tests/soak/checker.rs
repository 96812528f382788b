//! Compares the records of everybody: what the daemon acknowledged, what the model was asked, what Codex wrote into its own files and
//! remembers, what is in the store's file, and what watchers saw.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::wire::Call;
use tokio::time::sleep;

use crate::{
    ledger::{self, Ledger},
    machine::{Machine, mark_of},
    people::Given,
    watchers::Seen,
};

/// How long what was begun may take to end.
const PATIENCE: Duration = Duration::from_secs(180);

/// Asks Codex for all that was said.
const RECALL: &str = "RECALL";

/// Waits until every turn has ended. What is held is let go on.
pub(crate) async fn settle(machine: &Machine, given: &[Given]) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    for given in given {
        loop {
            let turn = machine.get(&format!("/v1/turns/{}?wait=1", given.turn)).await?;
            if turn["endedAt"].is_string() {
                break;
            }
            ensure!(Instant::now() < until, "{} does not end: {turn}", given.mark);
            machine.call(&Call::json(&format!("/v1/sessions/{}/resume", given.session), &json!({}))).await?;
        }
    }
    // What Codex still writes after the end of a turn is written in a moment.
    sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// What became of a prompt, by each record.
#[derive(Debug)]
struct Fate {
    given: Given,
    status: String,
    delivery: String,
    answer: Option<String>,
    /// How often the model was asked it.
    asked: u32,
    /// In how many of Codex's files its message is, and the most often in one of them.
    files: usize,
    most_in_a_file: usize,
    /// How often Codex says it when it is asked for all that was said.
    recalled: usize,
    /// Its status in the store's own file.
    stored: Option<String>,
}

/// What everybody has written down.
pub(crate) struct Records {
    /// For each prompt how often the model was asked it.
    pub(crate) asked: HashMap<String, u32>,
    /// For each session what Codex says when it is asked for all that was said.
    pub(crate) recalled: HashMap<String, String>,
    /// For each of Codex's files how often each prompt is in it.
    pub(crate) files: Vec<HashMap<String, usize>>,
    /// What the daemon tells of each turn.
    pub(crate) told: HashMap<String, Value>,
    pub(crate) ledger: Ledger,
}

impl Records {
    pub(crate) async fn collect(machine: &Machine, all: &[Given]) -> Result<Self> {
        let asked = machine.asked();
        let mut recalled = HashMap::<String, String>::new();
        for given in all {
            if !recalled.contains_key(given.session.as_str()) {
                let call = Call::json("/continue", &json!({"sessionId": given.session, "prompt": RECALL}));
                let reply = machine.call(&call).await?;
                ensure!(reply.status == 200 && reply.body["isError"] != true, "{}: {reply:?}", given.session);
                let text = reply.body["content"][0]["text"].as_str().context("no text")?.to_owned();
                recalled.insert(given.session.clone(), text);
            }
        }
        let files = messages_in_files(&machine.lab.codex_home.join("sessions"))?;
        let mut told = HashMap::new();
        for given in all {
            told.insert(given.turn.clone(), machine.get(&format!("/v1/turns/{}", given.turn)).await?);
        }
        let ledger = ledger::read(&machine.lab.store.join("store.db"))?;
        Ok(Self { asked, recalled, files, told, ledger })
    }
}

/// All of it.
pub(crate) struct Findings {
    fates: Vec<Fate>,
    ledger: Ledger,
}

impl Findings {
    pub(crate) fn of(all: &[Given], records: Records) -> Self {
        let Records { asked, recalled, files, told, ledger } = records;
        let fate = |given: &Given| {
            let text = |name: &str| told.get(&given.turn)?[name].as_str().map(str::to_owned);
            let counts: Vec<usize> = files.iter().filter_map(|file| file.get(&given.mark).copied()).collect();
            Fate {
                status: text("status").unwrap_or_default(),
                delivery: text("delivery").unwrap_or_default(),
                answer: text("answer"),
                asked: asked.get(&given.mark).copied().unwrap_or(0),
                files: counts.len(),
                most_in_a_file: counts.into_iter().max().unwrap_or(0),
                recalled: recalled.get(&given.session).map_or(0, |text| text.matches(&given.mark).count()),
                stored: ledger.turns.get(&given.turn).cloned(),
                given: given.clone(),
            }
        };
        Self { fates: all.iter().map(fate).collect(), ledger }
    }

    /// How many turns there were of each kind.
    pub(crate) fn summary(&self) -> String {
        let mut kinds = BTreeMap::<(&str, &str), usize>::new();
        for fate in &self.fates {
            *kinds.entry((&fate.status, &fate.delivery)).or_default() += 1;
        }
        let kinds: Vec<String> = kinds
            .into_iter()
            .map(|((status, delivery), count)| format!("{count} {status}, delivery {delivery}"))
            .collect();
        format!("{} turns: {}; {} events", self.fates.len(), kinds.join("; "), self.ledger.events.len())
    }

    pub(crate) fn check(&self, seen: &[Seen]) -> Result<()> {
        let mut wrong = Vec::new();
        for fate in &self.fates {
            for (what, holds) in fate.rules() {
                if !holds {
                    wrong.push(format!("{what}: {fate:?}"));
                }
            }
        }
        wrong.extend(self.ledger.wrong.iter().cloned());
        let known: HashSet<&str> = self.fates.iter().map(|fate| fate.given.turn.as_str()).collect();
        let strange =
            self.ledger.prompts.iter().filter(|(turn, text)| *text != RECALL && !known.contains(turn.as_str()));
        wrong.extend(strange.map(|(turn, text)| format!("a turn that nobody was told of: {turn}, {text:?}")));
        for seen in seen {
            wrong.extend(seen.torn.iter().map(|torn| format!("{}: {torn}", seen.who)));
            // What came after the last one looked is not theirs, and what came after the file was read is in no record.
            let stored = &self.ledger.events;
            let (last, end) = (seen.events.keys().last().copied(), stored.keys().last().copied().unwrap_or(0));
            let last = last.unwrap_or(0);
            let missed: Vec<_> = stored.range(..=last).filter(|(id, _)| !seen.events.contains_key(id)).collect();
            let strange: Vec<_> =
                seen.events.range(..=end).filter(|(id, name)| stored.get(id) != Some(*name)).collect();
            if !missed.is_empty() || !strange.is_empty() {
                wrong.push(format!("{} missed {missed:?} and saw {strange:?}", seen.who));
            }
            if last < end {
                wrong.push(format!("{} saw nothing behind {last} of {end}", seen.who));
            }
        }
        if !wrong.is_empty() {
            bail!("{} findings:\n{}", wrong.len(), wrong.join("\n"));
        }
        Ok(())
    }
}

impl Fate {
    /// What holds of every prompt.
    fn rules(&self) -> [(&'static str, bool); 9] {
        let completed = self.status == "completed";
        let (yes, no) = (self.delivery == "yes", self.delivery == "no");
        [
            ("it has ended", completed || ["failed", "interrupted"].contains(&self.status.as_str())),
            ("the store's file says the same", self.stored.as_deref() == Some(self.status.as_str())),
            ("nobody asked the model twice", self.asked <= 1),
            ("completed means that the model was asked", !completed || self.asked == 1),
            ("completed means delivered", !completed || yes),
            ("delivered is in a file of Codex's, once", !yes || (self.files >= 1 && self.most_in_a_file == 1)),
            // A prompt that was taken out of a thread stays in the file that it was written into, and Codex goes on in another one.
            ("not delivered is at most once in Codex's files", !no || (self.files <= 1 && self.most_in_a_file <= 1)),
            (
                "Codex remembers what was delivered once, and nothing else",
                match self.delivery.as_str() {
                    "yes" => self.recalled == 1,
                    "no" => self.recalled == 0,
                    _ => self.recalled <= 1,
                },
            ),
            (
                "the answer is the model's",
                !completed || self.given.answer.as_ref().is_none_or(|answer| self.answer.as_ref() == Some(answer)),
            ),
        ]
    }
}

/// For each of Codex's files how often each prompt is in it as a message of the user.
pub(crate) fn messages_in_files(folder: &Path) -> Result<Vec<HashMap<String, usize>>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(messages_in_files(&path)?);
            continue;
        }
        let mut counts = HashMap::new();
        for line in std::fs::read_to_string(&path)?.lines() {
            // The last line of a process that was killed may be half of one.
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let payload = &line["payload"];
            if line["type"] == "response_item"
                && payload["type"] == "message"
                && payload["role"] == "user"
                && let Some(mark) = mark_of(&payload["content"].to_string())
            {
                *counts.entry(mark).or_default() += 1;
            }
        }
        files.push(counts);
    }
    Ok(files)
}
