//! What follows from a commit.

use std::sync::Arc;

use types::Sandbox;

use crate::{
    folders::SharedCwd,
    mail::Internal,
    state::{Effect, Input},
};

use super::{LOOK_LIMIT, Living, now};

impl Living {
    /// Does what follows from a commit, and says that something happened.
    pub(super) fn act(&mut self, effects: Vec<Effect>) {
        self.take_a_place();
        for effect in effects {
            match effect {
                Effect::Ask { agent, id, ask } => {
                    let _ =
                        self.task.hub.send(Internal::Ask { session: self.id.clone(), agent, id, ask: Box::new(ask) });
                }
                Effect::Reply { agent, request, reply } => self.task.port.reply(&agent, request, reply),
                Effect::Ack { agent, seq } => self.task.port.ack(&agent, seq),
                Effect::Grew { turn, item, kind, text } => self.task.feed.grew(&self.id, &turn, &item, kind, &text),
                Effect::ItemOver(item) => self.task.feed.ended(&self.id, &item),
                Effect::Ended(finished) => {
                    if self.place.as_ref().is_some_and(|(turn, _)| *turn == finished.turn) {
                        self.place = None;
                    }
                    self.task.feed.quiet(&self.id, &finished.turn);
                    self.task.stats.ended(finished.status);
                    self.task.ended.send_replace(Some(Arc::new(finished)));
                }
                Effect::Left(result) => {
                    self.gone |= result.is_ok();
                    // Whoever waits for a turn that went with it looks again, and finds none.
                    self.task.ended.send_modify(|_| {});
                    self.callers.left(&self.id, result, &self.task.ended.subscribe());
                }
                Effect::Steered { item, result } => {
                    self.callers.steered(&item, result, &self.task.ended.subscribe());
                }
                Effect::Forked(session) => self.callers.forked(&session, &self.task.ended.subscribe()),
                Effect::Opened { turn, result } => {
                    self.callers.opened(&turn, result, &self.task.ended.subscribe());
                }
                Effect::Loaded { session, loaded } => {
                    let _ = self.task.hub.send(Internal::Loaded { session, loaded });
                }
                Effect::Unstoppable { agent, force } => {
                    let session = self.id.clone();
                    let _ = self.task.hub.send(Internal::Unstoppable { session, agent, force });
                }
                Effect::CheckCwd { turn, principal, images } => {
                    let session = self.state.session();
                    let (policy, cwd) = (self.task.policy.clone(), session.cwd.clone());
                    let worktree = session.worktree.clone();
                    let (folders, id) = (self.task.folders.clone(), self.id.clone());
                    self.jobs.spawn(async move {
                        match (policy.shared_cwd, folders.before(&cwd, &id)) {
                            (SharedCwd::Refuse, Some(other)) => {
                                let why = format!(
                                    "session {other} is at work in this folder, and --exclusive-cwd lets one in at a time; \
                                     send the prompt again when it has ended"
                                );
                                return Input::Checked { turn, verdict: Err(why) };
                            }
                            (SharedCwd::Queue, Some(_)) => folders.alone(&cwd, &id).await,
                            _ => {}
                        }
                        let look = tokio::task::spawn_blocking(move || {
                            let worktree = worktree.as_ref();
                            let cwd = policy.check_place(&principal, &cwd, worktree)?;
                            let look = |path: &String| policy.check_image(&principal, &cwd, worktree, path).map(drop);
                            images.iter().try_for_each(look)
                        });
                        let verdict = match tokio::time::timeout(LOOK_LIMIT, look).await {
                            Ok(Ok(verdict)) => verdict.map_err(|refusal| refusal.detail),
                            _ => Err("the folder of the session can't be looked at".to_owned()),
                        };
                        Input::Checked { turn, verdict }
                    });
                }
                Effect::LoadHistory { turn } => {
                    let (store, id) = (self.task.store.clone(), self.id.clone());
                    self.jobs.spawn(async move {
                        let messages = store.history(&id).await.map_err(|error| error.to_string());
                        Input::History { turn, messages }
                    });
                }
            }
        }
        self.task.feed.happened();
    }

    /// A turn that begins takes its place in the folder of its session, and hears of who is there.
    pub(super) fn take_a_place(&mut self) {
        if self.enter_folder()
            && self.task.policy.shared_cwd == SharedCwd::Warn
            && let Some(other) = self.task.folders.before(&self.state.session().cwd, &self.id)
        {
            let store = self.task.store.clone();
            self.state.handle(Input::Shared(other), &now(&|| store.next_ask()), &mut self.gathered);
        }
    }

    /// A turn under way has a place from then on. False when it had one, or there is none.
    pub(super) fn enter_folder(&mut self) -> bool {
        let Some(turn) = self.state.active_turn() else { return false };
        if self.place.as_ref().is_some_and(|(of, _)| of == turn) {
            return false;
        }
        let (turn, session) = (turn.clone(), self.state.session());
        let (cwd, writes) = (session.cwd.clone(), session.sandbox != Sandbox::ReadOnly);
        // The one that ended before it gives its own up first.
        self.place = None;
        self.place = Some((turn, self.task.folders.enter(&cwd, &self.id, writes)));
        true
    }
}
