//! The calls of the v1 API: one file a resource. What a daemon answers is what `types` names; what it is sent is here.

mod approvals;
mod service;
mod sessions;
mod tokens;
mod turns;

pub use approvals::{ApprovalQuery, Approvals, Verdict};
pub use service::{Imported, OfFile, Stopping};
pub use sessions::{
    Archived, Changes, Created, Forked, Found, Hit, NewSession, PageQuery, SessionPage, SessionQuery, TranscriptFormat,
};
pub use tokens::{NewToken, TokenMade, Tokens};
pub use turns::{NewTurn, OnBusy, OnHeld, Submitted, TurnPage};
