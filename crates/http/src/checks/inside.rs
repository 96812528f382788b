//! Check 3 for a process inside an agent: it may read the session that it works for, and nothing else.
//!
//! Otherwise an agent could approve what it asks itself, or start another with more rights, because it runs as the same user. Which session
//! it works for is told by Codex's thread, where the process has it; where it has not, nothing may be read.

use axum::{
    extract::Request,
    http::{Method, Uri},
};
use types::{Code, Origin, Principal, TurnId, agent::Descent};

use super::Caller;
use crate::{Api, error::Failure};

/// What is asked.
pub(super) struct Asked {
    method: Method,
    target: Uri,
}

/// Whose record is asked for.
enum Named<'a> {
    /// By its id, or that of a thread.
    Session(&'a str),
    Turn(TurnId),
}

impl Asked {
    pub(super) fn of(request: &Request) -> Self {
        Self { method: request.method().clone(), target: request.uri().clone() }
    }

    /// A record that may be one's own; nothing for all else.
    fn named(&self) -> Option<Named<'_>> {
        if !matches!(self.method, Method::GET | Method::HEAD) {
            return None;
        }
        let path = self.target.path();
        let first = |rest: &'_ str| rest.split('/').next().map(str::len);
        if let Some(rest) = path.strip_prefix("/v1/sessions/") {
            return rest.get(..first(rest)?).map(Named::Session);
        }
        if let Some(rest) = path.strip_prefix("/v1/turns/") {
            return TurnId::parse(rest).ok().map(Named::Turn);
        }
        path.strip_prefix("/sessions/").filter(|rest| !rest.contains('/')).map(Named::Session)
    }
}

/// Who asks, if they ask for what is their own. `who`: the same, also when they may not.
pub(super) async fn admit(
    api: &Api,
    descent: &Descent,
    asked: Asked,
    who: &mut Option<Caller>,
) -> Result<Caller, Failure> {
    let (agent, thread) = match descent {
        Descent::Inside { agent, thread } => (agent, thread),
        Descent::Outside | Descent::Gone => {
            let detail = "the process that connected to the socket ended before it could be told whether it is an agent's; \
                          let the process that asks stay until it has its answer";
            return Err(Failure::new(Code::Forbidden, detail));
        }
    };
    let name = thread.as_ref().map_or_else(|| agent.to_string(), ToString::to_string);
    let caller = Caller { principal: Principal::Agent(name), origin: Origin::Http, key: None };
    *who = Some(caller.clone());
    let Some(thread) = thread else {
        let why = "and which session it works for can't be told, so that it may read none";
        return Err(refused(agent, why));
    };
    let engine = api.engine();
    // A session that is gone, or a thread that is none of ours, owns nothing.
    let own = engine.session(thread.as_str()).await.ok();
    let wanted = match asked.named() {
        Some(Named::Session(text)) => engine.session(text).await.ok().map(|session| session.id),
        Some(Named::Turn(turn)) => engine.turn(&turn).await.ok().map(|turn| turn.session_id),
        None => None,
    };
    match own {
        Some(own) if wanted.as_ref() == Some(&own.id) => Ok(caller),
        // Also for one that is not there: who may not see a thing does not hear whether it is.
        Some(own) => Err(refused(agent, &format!("and may read its own session, {}, and nothing else", own.id))),
        None => Err(refused(agent, "and its thread is of no session that is here, so that it may read none")),
    }
}

fn refused(agent: &str, why: &str) -> Failure {
    let detail = format!(
        "this comes from inside an agent ({agent}): from what Codex started, {why}. If it is to do more, let the operator \
         make a token for it (`codexd token new`) and show that to the daemon's address (TCP), not to the socket; `codexd` does \
         so when it is in CODEXD_TOKEN"
    );
    Failure::new(Code::Forbidden, detail)
}
