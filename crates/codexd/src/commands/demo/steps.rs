//! The steps. Each does something, checks what came of it, and only then tells it.

use anyhow::{Context as _, bail, ensure};
use client::{Client, NewSession, NewTurn};
use types::{
    SessionId, Turn, TurnStatus,
    agent::{AgentInfo, AgentStatus},
};

use super::{
    stage::{self, Stage},
    teller::Teller,
};

/// How long a turn of the scripted model may take. It takes a tenth of a second.
const TURN_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

const TITLE: &str = "Where things are";
const FIRST: &str = "The spare key is under the blue pot.";
const THIRD: &str = "And the ladder is in the shed.";
const OTHER: &str = "Tea at four, and scones.";

/// A word that only the first session has.
const WORD: &str = "ladder";

/// What the command in the sandbox writes.
const NOTE: &str = "written-by-codex";

/// The word at which the scripted model repeats all that it was given.
const RECALL: &str = "RECALL";

/// Plays all of them. Returns Codex's version.
pub(super) async fn all(stage: &mut Stage, teller: &mut Teller) -> anyhow::Result<String> {
    let (client, agent) = serve(stage, teller).await?;
    let version = agent.version.clone().unwrap_or_else(|| "of an unknown version".to_owned());
    let mut talk = Talk::start(client, stage, teller).await?;
    talk.run_a_command(stage, teller).await?;
    talk.go_on(teller).await?;
    let agent = talk.client.agent().await?.value;
    talk.survive_a_crash(stage, teller, &agent).await?;
    talk.survive_a_restart(stage, teller).await?;
    talk.search(stage, teller).await?;
    Ok(version)
}

async fn serve(stage: &mut Stage, teller: &mut Teller) -> anyhow::Result<(Client, AgentInfo)> {
    teller.begin("Start the daemon", "codexd serve")?;
    let (client, agent) = stage.start_daemon().await?;
    let pid = agent.pid.context("the daemon does not tell the process of its Codex")?;
    let by = agent.backend.map(|backend| format!(" by {}", backend.as_str())).unwrap_or_default();
    let version = agent.version.as_deref().unwrap_or("unknown");
    teller.saw(&format!("Codex {version}{by}, pid {pid}"), "one warm Codex waits for prompts")?;
    Ok((client, agent))
}

/// The session that the demo is about, and the first lines of what was said to it.
struct Talk {
    client: Client,
    session: SessionId,
    said: Vec<String>,
}

impl Talk {
    async fn start(client: Client, stage: &Stage, teller: &mut Teller) -> anyhow::Result<Self> {
        teller.begin("Start a session", format!("codexd start --title \"{TITLE}\" \"{FIRST}\""))?;
        let (session, text) = begin(&client, stage, FIRST, Some(TITLE)).await?;
        expect(&text, &format!("echo: {FIRST}"))?;
        teller.saw(&text, &format!("session {session}: this id never changes"))?;
        Ok(Self { client, session, said: vec![FIRST.to_owned()] })
    }

    async fn run_a_command(&mut self, stage: &Stage, teller: &mut Teller) -> anyhow::Result<()> {
        let forbidden = stage.outside().join("never.txt");
        let confined = !stage.outside_is_temporary() && cfg!(unix);
        let mut prompt = format!("Write a note.\nRUN:echo {NOTE} > note.txt; cat note.txt");
        if confined {
            prompt.push_str("\nRUN:echo no > ../outside/never.txt");
        }
        teller.begin(
            "Let Codex run commands, in its sandbox",
            format!("codexd continue {} \"Write a note. …\"", self.session),
        )?;
        let text = self.say(&prompt).await?;
        let note = stage.project().join("note.txt");
        let written = std::fs::read_to_string(&note);
        ensure!(
            written.is_ok() && text.starts_with(&format!("ran: {NOTE}")),
            "the command did not run: Codex answered `{text}` and left {} in `{}`. If this machine gives Codex no sandbox \
             (a container without user namespaces, say), its commands can't run here",
            written.map_or_else(|error| format!("nothing ({error})"), |text| format!("{text:?}")),
            note.display()
        );
        let meaning = if confined {
            ensure!(!forbidden.exists(), "the command wrote `{}`, outside of its folder", forbidden.display());
            // The words of bubblewrap, of landlock, and of the shell.
            let refused = ["Read-only file system", "ermission denied", "ran (exit "];
            ensure!(
                refused.iter().any(|word| text.contains(word)),
                "writing outside of the folder did not fail: `{text}`"
            );
            "the note is in the session's folder; the sandbox refused what would have been outside of it"
        } else {
            "the note is in the session's folder"
        };
        teller.saw(&text, meaning)?;
        Ok(())
    }

    async fn go_on(&mut self, teller: &mut Teller) -> anyhow::Result<()> {
        teller.begin("Continue the session", format!("codexd continue {} \"{THIRD}\"", self.session))?;
        let text = self.say(THIRD).await?;
        expect(&text, &format!("echo: {THIRD}"))?;
        teller.saw(&text, "the same conversation goes on")?;
        Ok(())
    }

    async fn survive_a_crash(
        &mut self,
        stage: &mut Stage,
        teller: &mut Teller,
        agent: &AgentInfo,
    ) -> anyhow::Result<()> {
        let old = agent.pid.context("the daemon does not tell the process of its Codex")?;
        teller.begin(
            "Kill Codex, then ask what it remembers",
            format!("kill -9 {old}; codexd continue {} RECALL", self.session),
        )?;
        stage::kill(old).await?;
        let is_new = |agent: &AgentInfo| agent.status == AgentStatus::Ready && agent.pid.is_some_and(|pid| pid != old);
        let agent = stage.agent_that(&self.client, is_new).await?;
        let memory = self.recall().await?;
        let new = agent.pid.unwrap_or_default();
        teller
            .saw(&memory, &format!("Codex came back as pid {new}, and the model was given all that was said, once"))?;
        Ok(())
    }

    async fn survive_a_restart(&mut self, stage: &mut Stage, teller: &mut Teller) -> anyhow::Result<()> {
        teller.begin(
            "Stop the daemon, start it again, ask again",
            format!("codexd serve; codexd continue {} RECALL", self.session),
        )?;
        stage.stop_daemon().await?;
        if let Ok(answered) = self.client.agent().await {
            bail!("codexd was stopped and still answers: {answered:?}");
        }
        (self.client, _) = stage.start_daemon().await?;
        let memory = self.recall().await?;
        teller.saw(&memory, "nothing is forgotten: sessions belong to the store, not to a process")?;
        Ok(())
    }

    async fn search(&mut self, stage: &Stage, teller: &mut Teller) -> anyhow::Result<()> {
        teller.begin("Find it again, with another session beside it", format!("codexd sessions search {WORD}"))?;
        begin(&self.client, stage, OTHER, None).await?;
        let found = self.client.search(WORD, None).await?.value.results;
        let first = &found.first().context("the search found nothing")?.session;
        ensure!(
            first.id == self.session,
            "the search put session {} first, not {}, which has the word",
            first.id,
            self.session
        );
        let seen = format!("{}  {}", first.id, first.title);
        teller.saw(&seen, "the first of the results is the session in which the word was said")?;
        Ok(())
    }

    /// Continues the session.
    async fn say(&mut self, prompt: &str) -> anyhow::Result<String> {
        let further = NewTurn { prompt: Some(prompt.to_owned()), ..NewTurn::default() };
        let asked = self.client.submit(self.session.as_str(), &further, None, Some(TURN_LIMIT)).await?.value;
        self.said.push(prompt.lines().next().unwrap_or_default().to_owned());
        ensure!(asked.turn.session_id == self.session, "the turn is of another session: {}", asked.turn.session_id);
        good(&asked.turn)
    }

    /// Asks the model what it was given, and checks that it was everything, once. Returns the part worth showing.
    async fn recall(&mut self) -> anyhow::Result<String> {
        let before = self.said.clone();
        let text = self.say(RECALL).await?;
        let prompts: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("user: ")).collect();
        ensure!(
            prompts == before,
            "the model should have been given the prompts {before:?}, and was given {prompts:?}"
        );
        let count = text.lines().last().unwrap_or_default();
        ensure!(
            count == format!("count: {}", before.len() * 2),
            "the model should have been given {} messages, its answers among them; it says `{count}`",
            before.len() * 2
        );
        Ok(text.lines().filter(|line| !line.starts_with(' ')).collect::<Vec<_>>().join("\n"))
    }
}

/// Makes a session in the project; its id and the answer to its first prompt.
async fn begin(
    client: &Client,
    stage: &Stage,
    prompt: &str,
    title: Option<&str>,
) -> anyhow::Result<(SessionId, String)> {
    let new = NewSession {
        prompt: Some(prompt.to_owned()),
        title: title.map(str::to_owned),
        cwd: Some(stage.project()),
        ..NewSession::default()
    };
    let made = client.create_session(&new, None, Some(TURN_LIMIT)).await?.value;
    let turn = made.turn.context("the session began without a turn")?;
    Ok((made.session.id, good(&turn)?))
}

/// The answer of a turn that has one.
fn good(turn: &Turn) -> anyhow::Result<String> {
    let reason = turn.error.as_ref().map_or("nobody knows why", |error| error.message.as_str());
    ensure!(turn.status == TurnStatus::Completed, "the turn is {} and not completed: {reason}", turn.status.as_str());
    turn.answer.clone().context("the turn completed without an answer")
}

fn expect(text: &str, expected: &str) -> anyhow::Result<()> {
    ensure!(text == expected, "the answer should have been `{expected}`, and was `{text}`");
    Ok(())
}
