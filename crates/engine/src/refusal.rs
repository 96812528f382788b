//! Why the engine does not do what it was asked to.

use std::fmt;

use store::StoreError;
use types::{Code, SessionId, TurnId};

/// A refused request. Nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people: what is wrong and what to do.
    pub detail: String,
    /// The session that it was about.
    pub session: Option<SessionId>,
    /// The turn that it was about.
    pub turn: Option<TurnId>,
}

impl Refusal {
    /// A refusal about nothing in particular. The sentence may repeat a caller's words; what would steer a terminal is taken out of it.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        let steers = |char: char| char.is_control() && char != '\n';
        if detail.contains(steers) {
            detail = detail.replace(steers, "\u{fffd}");
        }
        Self { code, detail, session: None, turn: None }
    }

    /// There is no such session.
    #[must_use]
    pub fn no_session(text: &str) -> Self {
        let shown: String = text.chars().take(64).collect();
        Self::new(
            Code::NoSession,
            format!("there is no session {shown:?}; list them with `codexd sessions` or GET /v1/sessions"),
        )
    }

    /// There is no such turn.
    #[must_use]
    pub fn no_turn(turn: &TurnId) -> Self {
        Self::new(Code::NoTurn, format!("there is no turn {turn}"))
    }

    pub(crate) fn of_session(mut self, session: &SessionId) -> Self {
        self.session = Some(session.clone());
        self
    }

    /// Says what to do when it is the session's folder that can't be used.
    pub(crate) fn of_its_folder(mut self, session: &SessionId) -> Self {
        if matches!(self.code, Code::BadCwd | Code::CwdForbidden) {
            let hint = format!(
                ". The session works there: give it another with `codexd sessions move {session} DIR` or PATCH \
                 /v1/sessions/{session} {{\"cwd\": \"DIR\"}}"
            );
            self.detail.push_str(&hint);
        }
        self.of_session(session)
    }

    pub(crate) fn shutting_down() -> Self {
        Self::new(Code::ShuttingDown, "codexd is stopping; try again when it is back")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Refusal {}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        // That nothing can be written the store itself has logged, once and not for each caller.
        match error {
            StoreError::Full => Self::new(
                Code::StoreFull,
                "the disk that holds the store is full; nothing was changed. Free some space, then try again",
            ),
            StoreError::Unwritable(why) => Self::new(
                Code::StoreFull,
                format!("the store can't be written ({why}); nothing was changed. Look after its disk, then try again"),
            ),
            StoreError::Busy => Self::new(
                Code::StoreFull,
                "another program has locked the store's file; nothing was changed. End that program, then try again",
            ),
            StoreError::Closed => Self::shutting_down(),
            error => {
                tracing::error!(%error, "the store");
                Self::new(Code::Internal, format!("the store: {error}"))
            }
        }
    }
}
