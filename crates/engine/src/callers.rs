//! Who waits for a session's answer. Most are answered with the commit of what they asked for; some wait for what comes of it.

use types::{Code, ItemId, SessionId, TurnId};

use crate::{
    Refusal,
    mail::{Ended, Reply, SteerReply},
};

/// Somebody who asked for something, and what is to be known before the answer.
pub(crate) enum Caller {
    /// It is on disk.
    Stored(Reply),
    /// The turn gets its thread, or does not.
    Opened(TurnId, Reply),
    /// Codex took an addition, or it became a turn.
    Steered(ItemId, SteerReply),
    /// The other session is there.
    Forked(SessionId, Reply),
    /// The session is gone.
    Left(Reply),
}

impl Caller {
    /// Says no.
    pub(crate) fn refuse(self, refusal: Refusal) {
        match self {
            Self::Stored(reply) | Self::Opened(_, reply) | Self::Forked(_, reply) | Self::Left(reply) => {
                let _ = reply.send(Err(refusal));
            }
            Self::Steered(_, reply) => drop(reply.send(Err(refusal))),
        }
    }
}

/// Those who wait for what comes of it.
#[derive(Default)]
pub(crate) struct Callers(Vec<Caller>);

impl Callers {
    /// What was asked for is on disk.
    pub(crate) fn stored(&mut self, caller: Caller, ended: &Ended) {
        match caller {
            Caller::Stored(reply) => drop(reply.send(Ok(ended.clone()))),
            later => self.0.push(later),
        }
    }

    pub(crate) fn opened(&mut self, turn: &TurnId, result: Result<(), Refusal>, ended: &Ended) {
        self.answer(result, ended, |caller| matches!(caller, Caller::Opened(of, _) if of == turn));
    }

    pub(crate) fn forked(&mut self, session: &SessionId, ended: &Ended) {
        self.answer(Ok(()), ended, |caller| matches!(caller, Caller::Forked(of, _) if of == session));
    }

    pub(crate) fn steered(&mut self, item: &ItemId, result: Result<TurnId, Refusal>, ended: &Ended) {
        for caller in self.0.extract_if(.., |caller| matches!(caller, Caller::Steered(of, _) if of == item)) {
            if let Caller::Steered(_, reply) = caller {
                let _ = reply.send(result.clone().map(|turn| (turn, ended.clone())));
            }
        }
    }

    /// The session is gone, and nobody else's wish comes true; or it stays.
    pub(crate) fn left(&mut self, session: &SessionId, result: Result<(), Refusal>, ended: &Ended) {
        if result.is_ok() {
            let others = self.0.extract_if(.., |caller| !matches!(caller, Caller::Left(_)));
            others.for_each(|caller| caller.refuse(Refusal::no_session(session.as_str())));
        }
        self.answer(result, ended, |caller| matches!(caller, Caller::Left(_)));
    }

    /// What they wait for will not come.
    pub(crate) fn give_up(&mut self, why: &str) {
        for caller in self.0.drain(..) {
            caller.refuse(Refusal::new(Code::Internal, why));
        }
    }

    fn answer(&mut self, result: Result<(), Refusal>, ended: &Ended, mut whom: impl FnMut(&Caller) -> bool) {
        for caller in self.0.extract_if(.., |caller| whom(caller)) {
            match caller {
                Caller::Stored(reply) | Caller::Opened(_, reply) | Caller::Forked(_, reply) | Caller::Left(reply) => {
                    let _ = reply.send(result.clone().map(|()| ended.clone()));
                }
                Caller::Steered(..) => {}
            }
        }
    }
}
