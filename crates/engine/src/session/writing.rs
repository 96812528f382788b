//! What Codex said is written down: it can't be refused, so it is tried until the disk takes it.

use std::{collections::HashSet, sync::Arc};

use store::{Batch, StoreError};
use types::Timestamp;

use super::Living;
use crate::{
    audited, recovery,
    state::{Effect, Output},
    unwritten::Unwritten,
};

impl Living {
    /// Commits what is not written down yet, and does what follows from it. False when the disk does not take it: then it is kept,
    /// and tried again.
    pub(super) async fn write_down(&mut self) -> bool {
        while let Some((out, tries)) = self.next_to_write() {
            if out.batch.is_empty() {
                self.act(out.effects);
                continue;
            }
            match self.commit_all(&out.batch).await {
                Ok(true) => self.act(out.effects),
                Ok(false) => {}
                Err(error) => {
                    self.unwritten = Some(Unwritten::new(out, error, tries));
                    return false;
                }
            }
        }
        true
    }

    /// What is to be committed next, and how often that was tried.
    pub(super) fn next_to_write(&mut self) -> Option<(Output, u32)> {
        if let Some(unwritten) = self.unwritten.take() {
            return Some(unwritten.again());
        }
        self.write_at = None;
        let mut out = std::mem::take(&mut self.gathered);
        out.seal(&self.id);
        self.take_texts_away(&mut out);
        (!out.batch.is_empty() || !out.effects.is_empty()).then_some((out, 0))
    }

    /// Before readers can see that something ended, its text in progress goes: what was not told of it comes with the end.
    fn take_texts_away(&self, out: &mut Output) {
        let (mut over, mut ended) = (HashSet::new(), HashSet::new());
        for effect in &out.effects {
            match effect {
                Effect::ItemOver(item) => drop(over.insert(item.clone())),
                Effect::Ended(finished) => drop(ended.insert(finished.turn.clone())),
                _ => {}
            }
        }
        if over.is_empty() && ended.is_empty() {
            return;
        }
        out.effects.retain(|effect| match effect {
            Effect::Grew { item, turn, .. } => !over.contains(item) && !ended.contains(turn),
            _ => true,
        });
        over.iter().for_each(|item| self.task.feed.ended(&self.id, item));
        ended.iter().for_each(|turn| self.task.feed.quiet(&self.id, turn));
    }

    /// Commits what can't be refused. `Ok(false)` when nothing follows from it: the store is closed, or what Codex said contradicts
    /// it: then the turn has failed, and the session begins anew from what is on disk. An error is the disk's.
    async fn commit_all(&mut self, batch: &Batch) -> Result<bool, StoreError> {
        match self.task.store.commit(batch.clone()).await {
            Ok(_) => {
                audited::note(&self.task.audit, batch);
                Ok(true)
            }
            Err(StoreError::Closed) => Ok(false),
            Err(StoreError::Constraint(why)) => {
                tracing::error!(why, session = %self.id, "what Codex said contradicts the store; its turn fails");
                match self.begin_anew(&why).await {
                    // Then it comes to this again.
                    Err(error @ (StoreError::Full | StoreError::Unwritable(_) | StoreError::Busy)) => {
                        return Err(error);
                    }
                    Err(error) => tracing::error!(%error, session = %self.id, "the session can't be read again"),
                    Ok(()) => {}
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Fails what runs, holds what waits, and forgets everything that is not on disk.
    async fn begin_anew(&mut self, why: &str) -> Result<(), StoreError> {
        let (store, at) = (self.task.store.clone(), Timestamp::now());
        let message = format!("what Codex said can't be kept ({why}); the session goes on with a new thread");
        let (batch, failed) = recovery::fail_session(&store, &self.id, &message, at).await?;
        store.commit(batch).await?;
        let known = self.known();
        let unanswered = self.state.open_questions();
        match self.task.load(&self.id, None).await {
            Ok(state) => self.state = state,
            Err(refusal) => return Err(StoreError::Io(refusal.detail)),
        }
        for (agent, request) in unanswered {
            self.task.port.reply(&agent, request, agent::Reply::Decide(types::Decision::Cancel));
        }
        self.jobs.abort_all();
        self.callers.give_up(&message);
        self.tell_again(known);
        for finished in failed {
            self.task.feed.quiet(&self.id, &finished.turn);
            self.task.ended.send_replace(Some(Arc::new(finished)));
        }
        self.task.feed.happened();
        Ok(())
    }
}
