//! What a new codexd finds, and goes on with.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use agent::{Ask, AskError, AskKind, Message, PendingAsk, Port as _, What};
use types::{AskId, agent::AgentStatus};

use crate::{
    agent::{Home, ended, next},
    lab::{DOUBLE, eventually, lives},
};

/// The answer that is written slowly enough to be cut anywhere.
const PROMPT: &str = "SLOW:10:20";

fn answer() -> String {
    (1..=10).map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
}

pub(crate) fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

fn straggles(pid: &str) -> bool {
    lives(pid.trim().parse().unwrap())
}

fn host_of(home: &Home) -> u32 {
    noted(home, "hostPid")
}

#[cfg(target_os = "linux")]
fn codex_of(home: &Home) -> u32 {
    noted(home, "codexPid")
}

fn noted(home: &Home, what: &str) -> u32 {
    let folder = std::fs::read_dir(home.agents()).unwrap().flatten().next().unwrap().path();
    let card: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("host.json")).unwrap()).unwrap();
    u32::try_from(card[what].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn a_turn_goes_on_while_codexd_is_replaced() {
    let home = Home::new();
    let mut up = home.up().await;
    assert!(!up.attached);
    let (id, pid) = (up.id.clone(), up.agent.info().pid);
    let thread = up.thread(1, home.spec()).await;
    up.ask(2, home.turn(&thread, PROMPT));
    up.until(|what| matches!(what, What::ItemDelta { .. })).await;
    up.agent.leave().await;
    // Nothing is said any more: no end, no answer.
    while let Some(message) = up.messages.recv().await {
        assert!(!matches!(message, Message::Down { .. }), "{message:?}");
    }

    let mut up = home.up().await;
    assert!(up.attached);
    assert_eq!((&up.id, up.agent.info().pid), (&id, pid));
    let last = up.until(|what| ended(what).is_some()).await;
    assert_eq!(ended(&last.what).unwrap(), Some(answer()));
    // It still takes work.
    up.ask(3, home.turn(&thread, "SAY:more"));
    up.until(|what| ended(what).is_some()).await;
    up.agent.stop().await;
    assert!(!lives(pid.unwrap()));
    assert_eq!(home.count(), 0, "nothing is left");
}

/// A codexd that is killed has told nobody anything. What it had read and not acknowledged comes again.
#[tokio::test]
async fn a_codexd_that_is_killed_in_the_middle_of_a_turn_loses_nothing() {
    for deltas in [0, 1, 4] {
        let home = Home::new();
        let reports = home.dir.path().join("reports");
        let mut command = Command::new(DOUBLE);
        command.args(["agent", home.dir.path().to_str().unwrap(), home.codex(), PROMPT]).env("CODEXD_TOKEN", "hush");
        let mut codexd = command.stdin(Stdio::null()).spawn().unwrap();
        let said = || std::fs::read_to_string(&reports).unwrap_or_default();
        let enough = |text: &str| text.contains("TurnStarted") && text.matches("ItemDelta").count() >= deltas;
        eventually("the turn to be so far", || enough(&said()).then_some(()));
        codexd.kill().unwrap();
        codexd.wait().unwrap();
        #[cfg(target_os = "linux")]
        for pid in [host_of(&home), codex_of(&home)] {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
            assert!(!String::from_utf8_lossy(&environ).contains("hush"));
        }
        let before = said().matches("ItemDelta").count();
        let mut up = home.up().await;
        assert!(up.attached);
        let mut after = 0;
        let last = up
            .until(|what| {
                after += usize::from(matches!(what, What::ItemDelta { .. }));
                ended(what).is_some()
            })
            .await;
        assert_eq!(ended(&last.what).unwrap(), Some(answer()));
        // The last one that was written may not have been acknowledged; no other is given again.
        let all = before + after;
        assert!(said().contains("attached: false") && (10..=12).contains(&all), "{before} and {after}");
        up.agent.stop().await;
    }
}

#[tokio::test]
async fn asks_of_the_one_before_are_answered_or_were_never_heard() {
    let mut home = Home::new();
    let mut up = home.up().await;
    let thread = up.thread(1, home.spec()).await;
    // Codex is given this one and can't answer it yet.
    let codex = up.agent.info().pid.unwrap();
    signal(codex, "-STOP");
    up.ask(2, Ask::ResumeThread { thread: thread.clone(), spec: home.spec() });
    up.agent.leave().await;
    let pending = |id, what| PendingAsk { id: AskId(id), what, thread: Some(thread.clone()) };
    home.pending.insert(up.id, vec![pending(2, AskKind::ResumeThread), pending(3, AskKind::StartTurn)]);

    let mut up = home.up().await;
    assert!(up.attached);
    let unheard = up.report().await.what;
    assert_eq!(unheard, What::Answer(AskId(3), Err(AskError::Unsent)));
    signal(codex, "-CONT");
    let answered = up.until(|what| matches!(what, What::Answer(AskId(2), _))).await;
    assert!(matches!(answered.what, What::Answer(_, Ok(_))), "{answered:?}");
    // The same ask again is not given to Codex again.
    up.ask(4, home.turn(&thread, "SAY:once"));
    up.until(|what| ended(what).is_some()).await;
    up.agent.stop().await;
}

#[tokio::test]
async fn codex_ended_while_nobody_was_there() {
    let home = Home::new();
    let mut up = home.up().await;
    let thread = up.thread(1, home.spec()).await;
    up.ask(2, home.turn(&thread, PROMPT));
    up.until(|what| matches!(what, What::TurnStarted { .. })).await;
    let codex = up.agent.info().pid.unwrap();
    up.agent.leave().await;
    signal(codex, "-KILL");
    eventually("it to be gone", || (!lives(codex)).then_some(()));
    let mut up = home.up().await;
    assert!(up.attached);
    loop {
        match next(&mut up.messages).await {
            Message::Report(report) => up.agent.ack(&report.agent, report.seq),
            Message::Down { agent, error, .. } => {
                assert_eq!(agent, Some(up.id.clone()));
                assert!(error.contains("signal 9"), "{error}");
                break;
            }
            other @ Message::Up { .. } => panic!("{other:?}"),
        }
    }
    // And then there is another one.
    assert!(matches!(next(&mut up.messages).await, Message::Up { attached: false, .. }));
    up.agent.stop().await;
    assert_eq!(home.count(), 0);
}

#[tokio::test]
async fn a_host_that_is_killed_takes_its_codex_along_and_another_one_comes() {
    let home = Home::new();
    let file = home.with_straggler();
    let mut up = home.up().await;
    let codex = up.agent.info().pid.unwrap();
    let left = std::fs::read_to_string(file).unwrap();
    signal(host_of(&home), "-KILL");
    let Message::Down { error, .. } = next(&mut up.messages).await else { panic!("no end") };
    assert!(error.contains("agent-host"), "{error}");
    assert!(!lives(codex) && !straggles(&left), "all of it is gone before that is told");
    assert!(matches!(next(&mut up.messages).await, Message::Up { attached: false, .. }));
    assert_eq!(home.count(), 1);
    up.agent.stop().await;
}

#[tokio::test]
async fn what_a_dead_host_left_behind_is_ended_at_the_next_start() {
    let home = Home::new();
    let file = home.with_straggler();
    let up = home.up().await;
    let (host, old) = (host_of(&home), up.id.clone());
    let left = std::fs::read_to_string(file).unwrap();
    up.agent.leave().await;
    signal(host, "-KILL");
    eventually("the host to be gone", || (!lives(host)).then_some(()));
    assert!(straggles(&left));
    let up = home.up().await;
    assert!(!up.attached && up.id != old);
    assert!(!straggles(&left));
    assert_eq!(home.count(), 1);
    up.agent.stop().await;
}

/// The pid that a dead host noted belongs to somebody else by now.
#[tokio::test]
async fn a_bystander_with_the_pid_of_a_dead_codex_is_left_alone() {
    let home = Home::new();
    let mut bystander = Command::new("sleep").arg("1000").spawn().unwrap();
    let up = home.up().await;
    let (codex, host) = (up.agent.info().pid.unwrap(), host_of(&home));
    let card = home.agents().join(up.id.as_str()).join("host.json");
    up.agent.leave().await;
    signal(host, "-KILL");
    eventually("codex to be gone", || (!lives(codex) && !lives(host)).then_some(()));
    let text = std::fs::read_to_string(&card).unwrap();
    let noted = format!("\"codexPid\":{codex}");
    assert!(text.contains(&noted));
    std::fs::write(&card, text.replace(&noted, &format!("\"codexPid\":{}", bystander.id()))).unwrap();
    let up = home.up().await;
    assert!(!up.attached);
    assert!(bystander.try_wait().unwrap().is_none(), "a bystander was killed");
    up.agent.stop().await;
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[tokio::test]
async fn another_codexd_takes_over() {
    let home = Home::new();
    let mut up = home.up().await;
    let thread = up.thread(1, home.spec()).await;
    up.ask(2, home.turn(&thread, "SLOW:50:20"));
    let folder = home.agents().join(up.id.as_str());
    let card: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("host.json")).unwrap()).unwrap();
    let socket: std::ffi::OsString = serde_json::from_value(card["socket"].clone()).unwrap();
    up.until(|what| matches!(what, What::ItemDelta { .. })).await;
    let secret = std::fs::read_to_string(folder.join("secret")).unwrap();
    let other =
        tokio::task::spawn_blocking(move || crate::lab::Client::attach(socket.as_ref(), &secret, (1, 1)).unwrap());
    let (client, welcome) = other.await.unwrap();
    assert!(welcome.busy.len() == 1 && welcome.note.is_some());
    let Message::Down { error, .. } = (loop {
        match next(&mut up.messages).await {
            Message::Report(_) => {}
            other => break other,
        }
    }) else {
        panic!("no end")
    };
    assert!(error.contains("another codexd"), "{error}");
    up.agent.stop().await;
    // It is the other one's now, and was not ended.
    let mut client = client;
    let mut more = 0;
    while more < 40 {
        more = client.line().0;
    }
    client.say(agent::host::wire::kind::STOP, 0, b"");
    client.next(agent::host::wire::kind::EXITED);
    drop(client);
    eventually("nothing to be left", || (home.count() == 0).then_some(()));
}

#[tokio::test]
async fn a_codex_that_does_not_start_leaves_nothing() {
    let home = Home::new();
    Home::write_script(home.codex().as_ref(), "exit 3");
    let (agent, mut messages) = home.start();
    let started = Instant::now();
    let Message::Down { agent: None, error, .. } = next(&mut messages).await else { panic!("it came up") };
    assert!(error.contains("exit code 3"), "{error}");
    assert_eq!(home.count(), 0, "after {:?}", started.elapsed());
    assert_ne!(agent.info().status, AgentStatus::Ready);
    agent.stop().await;
}

/// A codexd may die at any step of making an agent.
#[tokio::test]
async fn what_was_half_made_is_removed() {
    let home = Home::new();
    let agents = home.agents();
    for (name, files) in [
        ("0192aaaa-0000-7000-8000-000000000001", &[][..]),
        ("0192aaaa-0000-7000-8000-000000000002", &["lock"]),
        ("0192aaaa-0000-7000-8000-000000000003", &["lock", "secret", "host.json.part"]),
    ] {
        std::fs::create_dir_all(agents.join(name)).unwrap();
        for file in files {
            std::fs::write(agents.join(name).join(file), "").unwrap();
        }
    }
    std::fs::set_permissions(&agents, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let up = home.up().await;
    assert!(!up.attached);
    assert_eq!(home.count(), 1);
    up.agent.stop().await;
    assert_eq!(home.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_still_being_born_when_codexd_stops_is_ended() {
    let home = Home::new();
    let pid = home.dir.path().join("pid");
    // It never answers anything.
    let hangs = format!("[ \"$1\" = --version ] && exit; echo $$ > '{}'; exec cat > /dev/null", pid.display());
    Home::write_script(home.codex().as_ref(), &hangs);
    for way in ["stop", "leave"] {
        let (agent, _messages) = home.start();
        let codex = eventually("Codex to be there", || std::fs::read_to_string(&pid).ok()?.trim().parse::<u32>().ok());
        if way == "stop" {
            agent.stop().await;
        } else {
            agent.leave().await;
        }
        eventually("nothing to be left", || (home.count() == 0 && !lives(codex)).then_some(()));
        std::fs::remove_file(&pid).unwrap();
    }
}

/// What is kept until a turn has ended is let go when it is known that Codex did.
#[tokio::test]
async fn the_host_of_a_codex_that_ended_in_the_middle_of_a_text_does_not_stay() {
    let home = Home::new();
    let mut up = home.up().await;
    let thread = up.thread(1, home.spec()).await;
    up.ask(2, home.turn(&thread, "SLOW:1000:20"));
    let mut kept = Vec::new();
    loop {
        match next(&mut up.messages).await {
            Message::Report(report) if matches!(report.what, What::ItemDelta { .. }) => {
                if kept.is_empty() {
                    signal(up.agent.info().pid.unwrap(), "-KILL");
                }
                kept.push(report.seq);
            }
            Message::Report(report) => up.agent.ack(&report.agent, report.seq),
            Message::Down { .. } => break,
            other @ Message::Up { .. } => panic!("{other:?}"),
        }
    }
    assert!(!kept.is_empty());
    for seq in kept {
        up.agent.ack(&up.id, seq);
    }
    assert!(matches!(next(&mut up.messages).await, Message::Up { attached: false, .. }));
    assert_eq!(home.count(), 1, "that of the next one");
    up.agent.stop().await;
    assert_eq!(home.count(), 0);
}
