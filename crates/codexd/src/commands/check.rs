//! `codexd check`: whether the store is what it should be.

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use store::{Checked, Problem};

use crate::{
    exit::Exit,
    globals::Globals,
    output::{self, Output, Spinner},
};

/// What to do about it.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Makes again what can be made from something else: the search index, counts, labels. Needs a store that no daemon has
    #[arg(long)]
    repair: bool,
}

/// Checks it. A success when nothing is wrong, or not any more.
pub(crate) async fn run(args: CheckArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let dir = globals.store.dir()?;
    let spinner = Spinner::start("checking");
    let (dir_of_it, repair) = (dir.clone(), args.repair);
    let (told, mut steps) = tokio::sync::mpsc::unbounded_channel::<String>();
    let work = tokio::task::spawn_blocking(move || {
        // Nobody may be there to see it.
        store::check(&dir_of_it, repair, |step| drop(told.send(format!("checking: {step}"))))
    });
    while let Some(step) = steps.recv().await {
        spinner.say(&step);
    }
    let checked = work.await.context("the check broke off")??;
    drop(spinner);
    let output = Output::new(globals.json);
    let exit = if checked.is_well() { Exit::Completed } else { Exit::Other };
    let Checked { problems, notes } = &checked;
    if output.json() {
        let problem = |problem: &Problem| {
            let Problem { name, text, found, count, repairable, repaired } = problem;
            json!({
                "name": name, "text": text, "count": count, "found": found, "repairable": repairable, "repaired": repaired,
            })
        };
        let problems: Vec<_> = problems.iter().map(problem).collect();
        let whole = json!({"store": dir, "ok": checked.is_well(), "problems": problems, "notes": notes});
        output.object(whole.to_string().as_bytes())?;
        return Ok(exit);
    }
    for Problem { text, found, count, repairable, repaired, .. } in problems {
        let more = if *count > found.len() as u64 { ", ..." } else { "" };
        let what = format!("{text}: {count} ({}{more})", found.join(", "));
        match (repaired, repairable) {
            (true, _) => output.remark(&format!("repaired: {what}"))?,
            (false, true) => {
                output.remark(&format!("{what}; `codexd check --repair` mends it while no daemon runs"))?
            }
            (false, false) => output.remark(&what)?,
        }
    }
    for note in notes {
        output.note(note);
    }
    if problems.is_empty() {
        output.styled(&format!("the store {} is sound\n", output::clean_line(&dir.display().to_string())))?;
    } else if !checked.is_well() {
        output::error(
            "something is wrong with the store; `codexd backup FILE` keeps what is there, `codexd restore FILE` takes a backup back",
        );
    }
    Ok(exit)
}
