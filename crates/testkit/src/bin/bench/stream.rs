//! A delta, from the moment at which it was said to the moment at which a reader has it.
//!
//! The scripted model (or fake-codex) says in each delta when it said it, and each reader notes when it came: same machine, same clock.
//! The arms are Codex's own pipe, a bare [`crate::write_loop`] between Codex and N sockets, and codexd's stream of the session with N
//! readers by its socket. Of a turn two figures count for each arm, each the median over its deltas: when the reader in the middle had it,
//! and when the last one had. The first delta of a message is kept apart: it waits for the commit that begins the item.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use testkit::{Daemon, Lab, fake_codex, real_codex};

use crate::{
    raw::Raw,
    readers::{Door, Heard, Readers},
    stats::{interval, median},
};

/// After so many rounds every process is started afresh.
const BLOCK: usize = 40;

/// Rounds that are not counted, at the start of each block.
const WARM_UP: usize = 2;

/// How many readers there are.
const READERS: [usize; 3] = [1, 10, 100];

/// The deltas of a turn, and the milliseconds between them.
const DELTAS: usize = 8;
const PAUSE: usize = 5;

/// The real Codex.
pub(crate) async fn real(codexd: &str, rounds: usize) -> Result<()> {
    let times = rounds_of(codexd, &real_codex()?, rounds).await?;
    println!(
        "\n### From the model's write to the client's read, the real Codex ({rounds} rounds of {DELTAS} deltas, {PAUSE} ms apart; fresh processes every {BLOCK})\n"
    );
    table(&times);
    Ok(())
}

/// fake-codex, which says the deltas itself: what is left is what codexd costs.
pub(crate) async fn fake(codexd: &str, rounds: usize) -> Result<()> {
    let times = rounds_of(codexd, &fake_codex()?, rounds).await?;
    println!(
        "\n### From Codex's write to the client's read, fake-codex ({rounds} rounds of {DELTAS} deltas, {PAUSE} ms apart; fresh processes every {BLOCK})\n"
    );
    table(&times);
    Ok(())
}

/// What is measured side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arm {
    Raw,
    Second,
    Loop(usize),
    Codexd(usize),
}

const ARMS: [Arm; 8] =
    [Arm::Raw, Arm::Second, Arm::Loop(0), Arm::Loop(1), Arm::Loop(2), Arm::Codexd(0), Arm::Codexd(1), Arm::Codexd(2)];

/// Milliseconds of one arm, a round each.
#[derive(Debug, Default)]
struct Times {
    /// From the delta to the reader in the middle, and to the last one.
    middle: Vec<f64>,
    last: Vec<f64>,
    /// The first delta, to the reader in the middle.
    first: Vec<f64>,
}

impl Times {
    fn add(&mut self, heard: &[Heard]) -> Result<()> {
        let delays = heard.iter().map(|heard| heard.delays(DELTAS)).collect::<Result<Vec<_>>>()?;
        let of = |delta: usize| delays.iter().map(|delays| delays[delta]).collect::<Vec<_>>();
        let middle: Vec<f64> = (1..DELTAS).map(|delta| median(&of(delta))).collect();
        let last: Vec<f64> = (1..DELTAS).map(|delta| of(delta).into_iter().fold(f64::MIN, f64::max)).collect();
        self.middle.push(median(&middle));
        self.last.push(median(&last));
        self.first.push(median(&of(0)));
        Ok(())
    }
}

/// Everything that runs during a block of rounds.
struct Scene {
    lab: Lab,
    raw: Raw,
    second: Raw,
    /// One thread, and one session, for each number of readers.
    looped: Raw,
    threads: Vec<String>,
    socket: PathBuf,
    daemon: Daemon,
    sessions: Vec<String>,
}

impl Scene {
    async fn new(codexd: &str, codex: &Path) -> Result<Self> {
        let lab = Lab::new(codexd).await?;
        let (home, cwd) = (&lab.codex_home, &lab.project);
        let (mut raw, mut second) = (Raw::start(codex, home, cwd).await?, Raw::start(codex, home, cwd).await?);
        let socket = lab.dir.path().join("loop.sock");
        let mut looped = Raw::behind_loop(&socket, codex, home, cwd).await?;
        let daemon = lab.serve_with(codex, &[], &[("CODEXD_LOG", "warn")]).await?;
        let (mut threads, mut sessions) = (Vec::new(), Vec::new());
        for _ in READERS {
            threads.push(looped.new_thread(cwd).await?);
            sessions.push(daemon.start("hello").await?.0);
        }
        raw.turn("hello", cwd).await?;
        second.turn("hello", cwd).await?;
        for thread in &threads {
            looped.go_on_with(thread);
            looped.turn("hello", cwd).await?;
        }
        Ok(Self { lab, raw, second, looped, threads, socket, daemon, sessions })
    }

    /// A turn on one arm.
    async fn turn(&mut self, arm: Arm) -> Result<Vec<Heard>> {
        let (prompt, cwd) = (format!("TIMES:{DELTAS}:{PAUSE}"), &self.lab.project);
        match arm {
            Arm::Raw => Ok(vec![self.raw.turn(&prompt, cwd).await?]),
            Arm::Second => Ok(vec![self.second.turn(&prompt, cwd).await?]),
            Arm::Loop(which) => {
                let readers = Readers::open(&Door::Socket(self.socket.clone()), "", READERS[which]).await?;
                self.looped.go_on_with(&self.threads[which]);
                self.looped.turn(&prompt, cwd).await?;
                readers.turn().await
            }
            Arm::Codexd(which) => {
                let session = &self.sessions[which];
                let request = format!("GET /v1/sessions/{session}/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
                let door = Door::Socket(socket_of(&self.lab)?);
                let readers = Readers::open(&door, &request, READERS[which]).await?;
                self.daemon.go_on(session, &prompt).await?;
                readers.turn().await
            }
        }
    }
}

/// The socket of the lab's daemon.
pub(crate) fn socket_of(lab: &Lab) -> Result<PathBuf> {
    let file: types::DaemonFile = serde_json::from_slice(&std::fs::read(lab.store.join(types::DaemonFile::NAME))?)?;
    file.socket.context("a daemon without a socket")
}

async fn rounds_of(codexd: &str, codex: &Path, rounds: usize) -> Result<[Times; ARMS.len()]> {
    let mut times: [Times; ARMS.len()] = Default::default();
    while times[0].middle.len() < rounds {
        let mut scene = Scene::new(codexd, codex).await?;
        for round in 0..BLOCK + WARM_UP {
            for place in 0..ARMS.len() {
                let which = (round + place) % ARMS.len();
                let heard = scene.turn(ARMS[which]).await?;
                if round >= WARM_UP {
                    times[which].add(&heard)?;
                }
            }
        }
        scene.daemon.stop().await?;
    }
    Ok(times)
}

fn table(times: &[Times; ARMS.len()]) {
    let of = |arm: Arm| &times[ARMS.iter().position(|other| *other == arm).unwrap_or(0)];
    let pairs = |a: &[f64], b: &[f64], how: fn(f64, f64) -> f64| {
        let pairs: Vec<f64> = a.iter().zip(b).map(|(a, b)| how(*a, *b)).collect();
        let (low, high) = interval(&pairs);
        (median(&pairs), low, high)
    };
    let (minus, over) = (|a, b| a - b, |a, b| a / b);
    let raw = of(Arm::Raw);
    println!("| the reader in the middle | median ms | paired difference to raw, median ms | 95 % interval |");
    println!("|---|---|---|---|");
    println!("| raw `app-server` | {:.3} | | |", median(&raw.middle));
    for arm in &ARMS[1..] {
        let name = match *arm {
            Arm::Raw | Arm::Second => "a second raw process (the noise)".to_owned(),
            Arm::Loop(which) => format!("bare write loop, {}", readers(READERS[which])),
            Arm::Codexd(which) => format!("through `codexd`, {}", readers(READERS[which])),
        };
        let (middle, low, high) = pairs(&of(*arm).middle, &raw.middle, minus);
        println!("| {name} | {:.3} | {middle:+.3} | {low:+.3} .. {high:+.3} |", median(&of(*arm).middle));
    }
    println!(
        "\n| the last reader | bare write loop, median ms | `codexd`, median ms | paired ratio, median | 95 % interval |"
    );
    println!("|---|---|---|---|---|");
    for (which, count) in READERS.into_iter().enumerate() {
        let (looped, codexd) = (of(Arm::Loop(which)), of(Arm::Codexd(which)));
        let (middle, low, high) = pairs(&codexd.last, &looped.last, over);
        let (a, b) = (median(&looped.last), median(&codexd.last));
        println!("| of {count} | {a:.3} | {b:.3} | {middle:.2} | {low:.2} .. {high:.2} |");
    }
    let (middle, low, high) = pairs(&of(Arm::Codexd(0)).first, &raw.first, minus);
    println!(
        "\nThe first delta of a message (one reader, waits for the commit of its `item.started`): {middle:+.2} ms to raw ({low:+.2} .. {high:+.2})."
    );
}

fn readers(count: usize) -> String {
    if count == 1 { "1 reader".to_owned() } else { format!("{count} readers") }
}
