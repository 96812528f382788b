//! What callers ask of a session: all that waits is one batch. Each is refused whole or done whole, and the disk may refuse them all.

use store::{Batch, NewEvent, NewSession, Write};
use types::{EventName, Session, Timestamp};

use super::{Living, now};
use crate::{Refusal, callers::Caller, mail::Mail, state::Output};

impl Living {
    pub(super) async fn calls(&mut self, mails: Vec<Mail>) {
        // Each call is also one more try: who freed some room need not wait for the next one.
        self.write_down().await;
        if let Some(unwritten) = &self.unwritten {
            for mail in mails {
                match mail {
                    // It changes nothing.
                    Mail::Watch { reply } => drop(reply.send(Ok(self.task.ended.subscribe()))),
                    mail => mail.refuse(unwritten.refusal().of_session(&self.id)),
                }
            }
            return;
        }
        let before = (self.state.clone(), self.new.clone());
        let mut out = Output::default();
        let mut callers = Vec::new();
        let mut accepted = 0_u32;
        for mail in mails {
            if self.gone {
                mail.refuse(Refusal::no_session(self.id.as_str()));
                continue;
            }
            let mut own = Output::default();
            let Some((result, caller)) = self.call(mail, &mut own, &mut accepted) else { continue };
            match result {
                Ok(()) => {
                    if !own.batch.is_empty() {
                        self.new = None;
                    }
                    out.batch.writes.append(&mut own.batch.writes);
                    out.effects.append(&mut own.effects);
                    callers.push(caller);
                }
                Err(refusal) => caller.refuse(refusal),
            }
        }
        if let Err(error) = self.task.store.commit(out.batch).await {
            (self.state, self.new) = before;
            let refusal = Refusal::from(error).of_session(&self.id);
            callers.into_iter().for_each(|caller| caller.refuse(refusal.clone()));
            return;
        }
        self.worked |= accepted > 0;
        for _ in 0..accepted {
            self.task.stats.accepted();
        }
        // Before anything is acted on, so that no end is missed.
        let ended = self.task.ended.subscribe();
        callers.into_iter().for_each(|caller| self.callers.stored(caller, &ended));
        self.act(out.effects);
    }

    /// What one caller asks for, and when it is answered.
    fn call(&mut self, mail: Mail, own: &mut Output, accepted: &mut u32) -> Option<(Result<(), Refusal>, Caller)> {
        let store = self.task.store.clone();
        let next_ask = || store.next_ask();
        let now = now(&next_ask);
        Some(match mail {
            Mail::Submit { turn, on_busy, remember, reply } => {
                if let Some(new) = &self.new {
                    create(new, now.at, &mut own.batch);
                }
                let id = turn.id.clone();
                let result = self.state.submit(*turn, on_busy, &now, own);
                own.batch.writes.extend(remember.map(Write::Remember));
                *accepted += u32::from(result.is_ok());
                let opens = result.is_ok() && self.state.opens(&id);
                (result, if opens { Caller::Opened(id, reply) } else { Caller::Stored(reply) })
            }
            Mail::Begin { remember, reply } => {
                if let Some(new) = &self.new {
                    create(new, now.at, &mut own.batch);
                    own.batch.writes.extend(remember.map(Write::Remember));
                }
                (Ok(()), Caller::Stored(reply))
            }
            Mail::Change { patch, reply } => (self.state.change(*patch, &now, own), Caller::Stored(reply)),
            Mail::Decide { id, verdict, by, reply } => {
                (self.state.decide(&id, verdict, &by, &now, own), Caller::Stored(reply))
            }
            Mail::Interrupt { turn, force, reply } => {
                (self.state.interrupt(&turn, force, &now, own), Caller::Stored(reply))
            }
            Mail::Steer { steering, reply } => {
                let item = steering.item.clone();
                (self.state.steer(*steering, &now, own), Caller::Steered(item, reply))
            }
            Mail::Fork { fork, remember, reply } => {
                let id = fork.id.clone();
                let of = |session: &Session| fork.of(session, &self.task.policy);
                (self.state.fork(id.clone(), of, remember, &now, own), Caller::Forked(id, reply))
            }
            Mail::Resume { reply } => (self.state.resume(&now, own), Caller::Stored(reply)),
            Mail::Delete { threads, reply } => (self.state.delete(threads, &now, own), Caller::Left(reply)),
            Mail::Watch { reply } => (Ok(()), Caller::Stored(reply)),
            Mail::Input(_) | Mail::Reload => return None,
        })
    }
}

fn create(new: &NewSession, at: Timestamp, batch: &mut Batch) {
    batch.push(Write::CreateSession(Box::new(new.clone())));
    batch.push(Write::AddEvent(Box::new(NewEvent {
        name: EventName::SessionCreated,
        at,
        session: Some(new.session.id.clone()),
        turn: None,
        item: None,
        detail: None,
    })));
}
