//! Measures `codexd` against what it stands on, side by side in one run. `cargo xtask bench turn` and `cargo xtask bench stream` build
//! and run it.
//!
//! Every figure is a ratio or a difference to something measured in the same run, because the machine is noisy: two identical Codex
//! processes already differ by some per cent. So a *round* is one turn on each of several arms, in an order that rotates; what is told
//! is the paired difference within the rounds, its median, and a bootstrap interval of that median. After each block of rounds every
//! process is started afresh, so that the luck of one process is not taken for a property of the program.

#![expect(clippy::print_stdout, reason = "a report is what this program is for")]

mod crowd;
mod raw;
mod readers;
mod rest;
mod stats;
mod stream;
mod turn;
mod write_loop;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "bench", about = "Measures codexd against what it stands on")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A turn, and codexd at rest
    Turn {
        /// The release build of codexd
        #[arg(long)]
        codexd: PathBuf,
        /// Rounds on the real Codex
        #[arg(long, default_value_t = 400)]
        rounds: usize,
        /// Rounds on fake-codex
        #[arg(long, default_value_t = 2000)]
        fake_rounds: usize,
    },
    /// A delta, from who says it to who reads it
    Stream {
        /// The release build of codexd
        #[arg(long)]
        codexd: PathBuf,
        /// Rounds on the real Codex
        #[arg(long, default_value_t = 200)]
        rounds: usize,
        /// Rounds on fake-codex
        #[arg(long, default_value_t = 200)]
        fake_rounds: usize,
    },
    /// Readers that never read, and one that does: by the socket and by TCP
    Crowd {
        /// The release build of codexd
        #[arg(long)]
        codexd: PathBuf,
        /// Pairs of turns on fake-codex, one alone and one beside the readers that never read
        #[arg(long, default_value_t = 24)]
        pairs: usize,
        /// And on the real Codex
        #[arg(long, default_value_t = 6)]
        real_pairs: usize,
    },
    /// The yardstick of `stream`: runs a Codex and writes its deltas to whoever has connected to a socket
    WriteLoop {
        /// Where it listens
        socket: PathBuf,
        /// The Codex
        codex: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let text =
        |path: PathBuf| path.into_os_string().into_string().map_err(|_| anyhow::anyhow!("a path that is not UTF-8"));
    let what = Cli::parse().what;
    if let What::WriteLoop { socket, codex } = &what {
        return write_loop::run(socket, codex);
    }
    tokio::runtime::Runtime::new()?.block_on(async {
        match what {
            What::Turn { codexd, rounds, fake_rounds } => {
                let codexd = text(codexd)?;
                turn::real(&codexd, rounds).await?;
                turn::fake(&codexd, fake_rounds).await?;
                turn::throughput(&codexd).await?;
                rest::report(&codexd).await
            }
            What::Stream { codexd, rounds, fake_rounds } => {
                let codexd = text(codexd)?;
                stream::real(&codexd, rounds).await?;
                stream::fake(&codexd, fake_rounds).await
            }
            What::Crowd { codexd, pairs, real_pairs } => {
                let codexd = text(codexd)?;
                for way in [crowd::Way::Socket, crowd::Way::Tcp] {
                    crowd::report(&codexd, &testkit::fake_codex()?, "fake-codex", way, pairs).await?;
                    crowd::report(&codexd, &testkit::real_codex()?, "the real Codex", way, real_pairs).await?;
                }
                Ok(())
            }
            What::WriteLoop { .. } => Ok(()),
        }
    })
}
