//! Readers that never read, and one that does.

use std::path::Path;

use anyhow::Result;
use testkit::Lab;

use crate::{
    readers::{Door, Reader, Readers, now},
    rest::resident,
    stats::{interval, median},
    stream::socket_of,
};

const CROWD: usize = 500;
const DELTAS: usize = 20_000;

/// By which way the readers come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Socket,
    Tcp,
}

/// How long a turn is for one reader, alone and beside the crowd; and what the crowd costs in memory.
pub(crate) async fn report(codexd: &str, codex: &Path, name: &str, way: Way, pairs: usize) -> Result<()> {
    if pairs == 0 {
        return Ok(());
    }
    let lab = Lab::new(codexd).await?;
    let daemon = lab.serve_with(codex, &["--no-auth"], &[("CODEXD_LOG", "warn")]).await?;
    let door = match way {
        Way::Socket => Door::Socket(socket_of(&lab)?),
        Way::Tcp => Door::Tcp(daemon.url.trim_start_matches("http://").parse()?),
    };
    let request = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // Milliseconds from the request to when the good reader knows that the turn is over.
    let turn = async || -> Result<f64> {
        // A session of its own, so that all turns have the same history.
        let (session, _) = daemon.start("hello").await?;
        let good = Readers::open(&door, request, 1).await?;
        let begin = now();
        daemon.go_on(&session, &format!("SLOW:{DELTAS}:0")).await?;
        let heard = good.turn().await?;
        Ok(heard.iter().map(|heard| heard.end().saturating_sub(begin) as f64 / 1e6).sum())
    };
    turn().await?;
    let mut pairs_of = Pairs::default();
    for pair in 0..pairs {
        let mut alone = 0.0;
        for place in 0..2 {
            if (pair + place) % 2 == 0 {
                alone = turn().await?;
                continue;
            }
            let before = resident(daemon.pid)?;
            let mut crowd = Vec::new();
            for _ in 0..CROWD {
                crowd.push(Reader::open(&door, request).await?);
            }
            pairs_of.open.push(resident(daemon.pid)? - before);
            pairs_of.filling.push(turn().await?);
            pairs_of.full.push(turn().await?);
            pairs_of.after.push(resident(daemon.pid)? - before);
            pairs_of.before.push(before);
        }
        pairs_of.alone.push(alone);
    }
    daemon.stop().await?;
    pairs_of.print(way, name);
    Ok(())
}

/// One value for each pair: milliseconds of the good reader's turn, and megabytes.
#[derive(Default)]
struct Pairs {
    alone: Vec<f64>,
    /// The first turn beside the crowd, in which their sockets fill, and the second one.
    filling: Vec<f64>,
    full: Vec<f64>,
    /// Resident before the crowd came; by how much it grew when their streams were open, and after both turns.
    before: Vec<f64>,
    open: Vec<f64>,
    after: Vec<f64>,
}

impl Pairs {
    fn print(&self, way: Way, name: &str) {
        println!(
            "\n### {CROWD} readers that never read, and one that does, by {} ({} pairs, turns of {DELTAS} deltas, {name})\n",
            match way {
                Way::Socket => "the socket",
                Way::Tcp => "TCP",
            },
            self.alone.len()
        );
        println!("| the good reader's turn | median ms | paired ratio to alone, median | 95 % interval |");
        println!("|---|---|---|---|");
        println!("| alone | {:.0} | | |", median(&self.alone));
        let beside = [("the first one, while their sockets fill", &self.filling), ("the next one", &self.full)];
        for (name, took) in beside {
            let ratio: Vec<f64> = took.iter().zip(&self.alone).map(|(beside, alone)| beside / alone).collect();
            let (low, high) = interval(&ratio);
            println!(
                "| beside the {CROWD}, {name} | {:.0} | {:.2} | {low:.2} .. {high:.2} |",
                median(took),
                median(&ratio)
            );
        }
        println!("\n| resident memory of the daemon | median MB | most |\n|---|---|---|");
        let most = |values: &[f64]| values.iter().copied().fold(f64::MIN, f64::max);
        println!("| before the {CROWD} came | {:.1} | {:.1} |", median(&self.before), most(&self.before));
        for (name, grown) in [("with their streams open", &self.open), ("after two turns beside them", &self.after)] {
            println!("| more than before, {name} | {:+.1} | {:+.1} |", median(grown), most(grown));
        }
    }
}
