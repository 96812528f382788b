//! Identifiers. Opaque to whoever reads them; each kind is a type of its own, so that one is never taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A text that cannot be an id: empty, longer than 128 bytes, or with a character outside `[A-Za-z0-9._-]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadId;

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id has 1 to 128 letters, digits, dots, dashes and underscores")
    }
}

impl std::error::Error for BadId {}

/// Longest id taken from outside, in bytes.
const MAX_ID_BYTES: usize = 128;

fn check(text: &str) -> Result<(), BadId> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > MAX_ID_BYTES || !text.bytes().all(plain) {
        return Err(BadId);
    }
    Ok(())
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(min_length = 1, max_length = 128)]
        pub struct $name(String);

        impl $name {
            /// Takes a text that somebody sent. It becomes a key, never a path.
            ///
            /// # Errors
            /// [`BadId`] when it can't be one of ours or of Codex's.
            pub fn parse(text: &str) -> Result<Self, BadId> {
                check(text)?;
                Ok(Self(text.to_owned()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! fresh_id {
    ($($name:ident),*) => {$(
        impl $name {
            /// A new id: UUID version 7, so that ids sort by the time they were made.
            #[must_use]
            pub fn fresh() -> Self {
                Self(uuid::Uuid::now_v7().to_string())
            }
        }
    )*};
}

text_id!(
    /// A session: UUIDv7 text, or 12 hex digits when it was imported from the first version.
    SessionId
);
text_id!(
    /// One turn of a session.
    TurnId
);
text_id!(
    /// One item of a turn. Ours: Codex's own item ids are not unique across turns in every version.
    ItemId
);
text_id!(
    /// An approval that Codex asked for.
    ApprovalId
);
text_id!(
    /// Codex's own id of a conversation. Made by Codex, only ever repeated by us.
    ThreadId
);
text_id!(
    /// One run of one Codex process. What was loaded or asked in one run means nothing to the next.
    AgentId
);
fresh_id!(SessionId, TurnId, ItemId, ApprovalId, AgentId);

/// The number of an event: one counter for the whole store, never reused, with holes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub i64);

/// The number of a request to Codex. It is the JSON-RPC id on the wire and the key under which the store keeps what the
/// request meant, so that an answer finds its question after a restart too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AskId(pub i64);

impl fmt::Display for AskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_and_bounded() {
        assert!(SessionId::parse("0123456789ab").is_ok());
        assert!(SessionId::parse(SessionId::fresh().as_str()).is_ok());
        for bad in ["", "../x", "a/b", "a b", "é", &"x".repeat(129)] {
            assert_eq!(SessionId::parse(bad), Err(BadId), "{bad:?}");
        }
    }
}
