//! A soak: fifty sessions of the real Codex, in which everything happens at random and everything is killed; then a checker that shares
//! nothing with the daemon compares what was acknowledged, what the model was asked, what Codex's own files hold, what the store
//! holds and what watchers saw. That the checker finds what it is there for is tested, too (`checker_tests`).
//!
//! A run is made of its seed: prompts, answers to questions, interrupts and what is killed, in their order. It is printed, and
//! `CODEXD_SOAK_SEED` gives it back. Moments depend on the machine, so a replay is the same story and not the same run.
//! `CODEXD_SOAK_SECONDS` says how long (`cargo xtask soak` sets both).
#![cfg(unix)]
#![expect(clippy::print_stdout, reason = "the seed and the figures of a run are for whoever started it")]

#[path = "soak/chance.rs"]
mod chance;
#[path = "soak/chaos.rs"]
mod chaos;
#[path = "soak/checker.rs"]
mod checker;
#[path = "soak/checker_tests.rs"]
mod checker_tests;
#[path = "soak/ledger.rs"]
mod ledger;
#[path = "soak/machine.rs"]
mod machine;
#[path = "soak/people.rs"]
mod people;
#[path = "live/sse.rs"]
mod sse;
#[path = "soak/watchers.rs"]
mod watchers;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    chance::Chance,
    checker::{Findings, Records},
    machine::Machine,
};

/// How many sessions.
const SESSIONS: u64 = 50;

/// How long it lasts when nobody says so. Then everything that was begun has to end, and is checked.
const SECONDS: u64 = 40;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_nothing_is_lost_nothing_is_done_twice_and_nothing_is_left() -> Result<()> {
    let seed = match setting("CODEXD_SOAK_SEED") {
        Some(seed) => seed,
        None => u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(1),
    };
    let seconds = setting("CODEXD_SOAK_SECONDS").unwrap_or(SECONDS);
    let how = format!("CODEXD_SOAK_SEED={seed} CODEXD_SOAK_SECONDS={seconds}");
    println!("the soak of {how}");
    soak(seed, Duration::from_secs(seconds)).await.with_context(|| format!("again with {how}"))
}

async fn soak(seed: u64, duration: Duration) -> Result<()> {
    let machine = Arc::new(Machine::new(env!("CARGO_BIN_EXE_codexd")).await?);
    let mut daemon = Some(machine.serve().await?);
    let listening = machine.listen_to_the_model();
    let watching = watchers::start(&machine, seed);
    let answering = tokio::spawn(people::answer_questions(Arc::clone(&machine), seed));
    let mut people = JoinSet::new();
    for which in 0..SESSIONS {
        people.spawn(people::work(Arc::clone(&machine), which, Chance::new(seed, &format!("person {which}"))));
    }
    let mut chaos = Chance::new(seed, "chaos");
    let killed = {
        let machine = &machine;
        let run = async { chaos::rage(machine, &mut daemon, &mut chaos).await };
        // What is in the middle of being killed and started is let finish.
        let (ended, killed) = tokio::join!(
            async {
                sleep(duration).await;
                machine.stop_the_chaos();
            },
            run
        );
        let () = ended;
        killed?
    };
    let mut given = Vec::new();
    while let Some(person) = people.join_next().await {
        given.extend(person??);
    }
    let daemon = daemon.context("a daemon")?;
    let log = daemon.log();
    let checked = async {
        checker::settle(&machine, &given).await?;
        let findings = Findings::of(&given, Records::collect(&machine, &given).await?);
        let seen = watching.end(&machine).await?;
        answering.abort();
        println!("{killed}\n{}", findings.summary());
        findings.check(&seen)
    }
    .await;
    checked.with_context(|| machine.keep_what_is_there(&log))?;
    daemon.stop().await?;
    listening.abort();
    machine.nothing_is_left().await
}
