//! The real Codex, with a scripted model: only codexd dies.

use std::process::{Command, Stdio};

use agent::{Ask, AskKind, Outcome, PendingAsk, What};
use fake_model::FakeModel;
use types::{AskId, ThreadId};

use crate::{
    agent::{Home, ended},
    lab::{DOUBLE, eventually},
};

/// What a codexd that was killed had written down, and what its turn was.
fn thread_of(reports: &str) -> ThreadId {
    let (_, rest) = reports.split_once("Thread { thread: Some(ThreadId(\"").unwrap();
    ThreadId::parse(rest.split('"').next().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codexd_is_killed_at_each_step_of_a_turn_and_the_turn_completes() {
    for step in ["Answer(AskId(2), Ok(Turn", "TurnStarted", "UserMessage", "ItemDelta"] {
        let model = FakeModel::start().await.unwrap();
        let mut home = Home::real(&model.codex_config());
        let reports = home.dir.path().join("reports");
        let mut command = Command::new(DOUBLE);
        command.args(["agent", home.dir.path().to_str().unwrap(), home.codex(), "SLOW:20:30"]);
        let mut codexd = command.stdin(Stdio::null()).spawn().unwrap();
        let said = || std::fs::read_to_string(&reports).unwrap_or_default();
        tokio::task::block_in_place(|| eventually(step, || said().contains(step).then_some(())));
        codexd.kill().unwrap();
        codexd.wait().unwrap();

        let before = said();
        let thread = thread_of(&before);
        let agent = std::fs::read_dir(home.agents()).unwrap().flatten().next().unwrap().file_name();
        let agent = types::AgentId::parse(agent.to_str().unwrap()).unwrap();
        // As its store would have it.
        let what = if before.contains("Ok(Turn {") {
            let (_, rest) = before.split_once("codex_turn: \"").unwrap();
            AskKind::RunningTurn(rest.split('"').next().unwrap().to_owned())
        } else {
            AskKind::StartTurn
        };
        home.pending.insert(agent, vec![PendingAsk { id: AskId(2), what, thread: Some(thread.clone()) }]);
        let mut up = home.up().await;
        assert!(up.attached, "{step}");
        let mut usage = before.matches("Usage(").count();
        let last = up
            .until(|what| {
                usage += usize::from(matches!(what, What::Usage(_)));
                matches!(what, What::TurnEnded { .. })
            })
            .await;
        let answer: Vec<String> = (1..=20).map(|number| number.to_string()).collect();
        let What::TurnEnded { outcome: Outcome::Completed, .. } = &last.what else { panic!("{step}: {last:?}") };
        assert_eq!((model.request_count(), usage), (1, 1), "{step}");
        // It is the same conversation: what was said is remembered.
        up.ask(3, home.turn(&thread, "RECALL"));
        let mut recalled = String::new();
        up.until(|what| {
            if let What::ItemCompleted { body: types::ItemBody::AgentMessage { text }, .. } = what {
                recalled.clone_from(text);
            }
            ended(what).is_some()
        })
        .await;
        assert!(recalled.contains("SLOW:20:30") && recalled.contains(&answer.join(" ")), "{step}: {recalled}");
        up.ask(4, Ask::Models);
        up.until(|what| matches!(what, What::Answer(AskId(4), Ok(_)))).await;
        up.agent.stop().await;
        assert_eq!(home.count(), 0);
    }
}
