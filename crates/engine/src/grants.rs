//! Grants: named tokens, what they open, and how a token is recognised.
//!
//! Every token that lets somebody in is here: those that were made with `codexd token new`, which are in the store, and
//! those that were given at the start, which are not. Of a token only the hash is kept. All hashes are compared, in constant
//! time, so the time that it takes tells nothing about them.
//!
//! A change is committed before it counts. It counts at once: the next request is checked against it.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use store::{Batch, Store, StoreError, Write};
use subtle::ConstantTimeEq as _;
use types::{Code, Grant, Principal, Scope, Timestamp};

use crate::Refusal;

/// What our tokens begin with, so that they are recognised wherever they turn up.
pub(crate) const PREFIX: &str = "cdx_";

/// The name of the tokens that are given at the start.
pub(crate) const AT_START: &str = "start";

/// The longest name of a grant, in characters.
const NAME_CHARS: usize = 64;

/// So often the time of the last use is written down, in milliseconds.
const USED_AGAIN: i64 = 60_000;

/// All grants; cheap to clone.
#[derive(Clone, Default)]
pub struct Grants {
    known: Arc<RwLock<Vec<Known>>>,
}

#[derive(Clone)]
struct Known {
    grant: Arc<Grant>,
    hash: [u8; 32],
    /// It was given at the start, and is in no store.
    at_start: bool,
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list().iter().map(|grant| &grant.name)).finish()
    }
}

impl Grants {
    /// Reads those of a store.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let grants = Self::default();
        grants.read(store).await?;
        Ok(grants)
    }

    /// Adds those of a store to what is here.
    pub(crate) async fn read(&self, store: &Store) -> Result<(), StoreError> {
        let stored = store.grants().await?;
        self.change(|known| {
            known.retain(|known| known.at_start);
            known.extend(stored.into_iter().map(|(grant, hash)| Known {
                grant: Arc::new(grant),
                hash,
                at_start: false,
            }));
        });
        Ok(())
    }

    /// A token that was given at the start. It has all scopes.
    pub fn add_at_start(&self, token: &str) {
        let grant = Grant {
            name: AT_START.to_owned(),
            scopes: Scope::ALL.to_vec(),
            roots: Vec::new(),
            max_sandbox: None,
            created_at: Timestamp::now(),
            expires_at: None,
            last_used_at: None,
        };
        self.change(|known| known.push(Known { grant: Arc::new(grant), hash: hash(token), at_start: true }));
    }

    /// Makes a token. It is returned, and nowhere else; of `grant` the times are set here.
    ///
    /// # Errors
    /// When the grant makes no sense, its name is taken, or the store can't take it.
    pub async fn add(&self, store: &Store, mut grant: Grant) -> Result<(Grant, String), Refusal> {
        let now = Timestamp::now();
        grant.created_at = now;
        grant.last_used_at = None;
        check(&mut grant, now)?;
        if self.named(&grant.name).is_some() {
            let detail = format!("there is a token {:?} already; revoke it first, or choose another name", grant.name);
            return Err(Refusal::new(Code::BadRequest, detail));
        }
        let token = fresh()?;
        let hash = hash(&token);
        let write = Write::AddGrant { grant: Box::new(grant.clone()), hash };
        store.commit(Batch { writes: vec![write] }).await.map_err(|error| match error {
            // Two of the same name at once.
            StoreError::Constraint(why) => Refusal::new(Code::BadRequest, why),
            error => error.into(),
        })?;
        self.change(|known| known.push(Known { grant: Arc::new(grant.clone()), hash, at_start: false }));
        Ok((grant, token))
    }

    /// Ends a grant: its token opens nothing any more.
    ///
    /// # Errors
    /// When there is none of that name, or the store can't be written.
    pub async fn remove(&self, store: &Store, name: &str) -> Result<(), Refusal> {
        let there = self.look(|known| known.iter().any(|known| known.grant.name == name && !known.at_start));
        if !there {
            let detail = if name == AT_START {
                "the token that was given at the start ends when codexd is started without it".to_owned()
            } else {
                format!("there is no token {name:?}; list them with `codexd token list`")
            };
            return Err(Refusal::new(Code::NotFound, detail));
        }
        store.commit(Batch { writes: vec![Write::RemoveGrant(name.to_owned())] }).await?;
        self.change(|known| known.retain(|known| known.at_start || known.grant.name != name));
        Ok(())
    }

    /// Those that are in the store, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Grant> {
        let mut grants: Vec<Grant> = self.look(|known| {
            known.iter().filter(|known| !known.at_start).map(|known| Grant::clone(&known.grant)).collect()
        });
        grants.sort_by(|a, b| a.name.cmp(&b.name));
        grants
    }

    /// The grant of a token, if there is one that has not ended.
    #[must_use]
    pub fn find(&self, token: &[u8]) -> Option<Arc<Grant>> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        self.look(|known| {
            for known in known {
                if bool::from(known.hash.ct_eq(&hash)) {
                    found = Some(known.grant.clone());
                }
            }
        });
        found.filter(|grant| !ended(grant, Timestamp::now()))
    }

    /// Whether whoever came in is still let in.
    #[must_use]
    pub fn hold(&self, who: &Principal) -> bool {
        self.of(who).is_ok()
    }

    /// True when at least one token would open something.
    #[must_use]
    pub fn any(&self) -> bool {
        self.look(|known| !known.is_empty())
    }

    /// Notes that a grant was used. True when that is worth writing down.
    #[must_use]
    pub fn used(&self, name: &str, now: Timestamp) -> bool {
        let worth = |last: Option<Timestamp>| last.is_none_or(|last| now.as_millis() - last.as_millis() >= USED_AGAIN);
        let is = |known: &Known| known.grant.name == name && !known.at_start;
        if !self.look(|all| all.iter().any(|known| is(known) && worth(known.grant.last_used_at))) {
            return false;
        }
        self.change(|known| {
            for known in known.iter_mut().filter(|known| is(known)) {
                Arc::make_mut(&mut known.grant).last_used_at = Some(now);
            }
        });
        true
    }

    /// What a principal's token opens; `None` for whoever came without one.
    ///
    /// # Errors
    /// When the token has been revoked, or has ended.
    pub(crate) fn of(&self, who: &Principal) -> Result<Option<Arc<Grant>>, Refusal> {
        let Principal::Grant(name) = who else { return Ok(None) };
        match self.named(name).filter(|grant| !ended(grant, Timestamp::now())) {
            Some(grant) => Ok(Some(grant)),
            None => Err(Refusal::new(Code::Forbidden, format!("the token {name:?} has ended or was revoked"))),
        }
    }

    fn named(&self, name: &str) -> Option<Arc<Grant>> {
        self.look(|known| known.iter().find(|known| known.grant.name == name).map(|known| known.grant.clone()))
    }

    // A poisoned lock guards a list that is whole whatever happened: each change is one step.
    fn look<T>(&self, look: impl FnOnce(&[Known]) -> T) -> T {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Known>)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Refuses a grant that opens more than that of whoever makes it.
pub(crate) fn check_no_wider(own: &Grant, new: &Grant) -> Result<(), Refusal> {
    let wider =
        |what: String| Err(Refusal::new(Code::Forbidden, format!("the new token would open more than yours: {what}")));
    if let Some(scope) = new.scopes.iter().find(|scope| !own.scopes.contains(scope)) {
        return wider(format!("the scope {scope}"));
    }
    let inside = |root: &PathBuf| {
        let real = dunce::canonicalize(root).unwrap_or_else(|_| root.clone());
        own.roots.iter().any(|own| real.starts_with(own))
    };
    if !own.roots.is_empty() && (new.roots.is_empty() || !new.roots.iter().all(inside)) {
        return wider("folders; name some within your own".to_owned());
    }
    if own.max_sandbox.is_some_and(|own| new.max_sandbox.is_none_or(|new| new > own)) {
        return wider("the sandbox; name a maxSandbox within your own".to_owned());
    }
    if own.expires_at.is_some_and(|own| new.expires_at.is_none_or(|new| new > own)) {
        return wider("it would end later; name an end within your own".to_owned());
    }
    Ok(())
}

fn ended(grant: &Grant, now: Timestamp) -> bool {
    grant.expires_at.is_some_and(|end| end <= now)
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// A token: the prefix and 43 characters, which hold 32 random bytes.
fn fresh() -> Result<String, Refusal> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Refusal::new(Code::Internal, format!("the system gave no random bytes: {error}")))?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

fn check(grant: &mut Grant, now: Timestamp) -> Result<(), Refusal> {
    let bad = |detail: String| Err(Refusal::new(Code::BadRequest, detail));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = &grant.name;
    if name.is_empty() || name.chars().count() > NAME_CHARS || !name.chars().all(plain) {
        return bad(format!("a token's name has 1 to {NAME_CHARS} letters, digits, dots, dashes and underscores"));
    }
    if name == AT_START {
        return bad(format!("the name {AT_START:?} is that of the tokens that are given at the start; choose another"));
    }
    if grant.scopes.is_empty() {
        return bad("a token without a scope opens nothing; name at least one of read, run, approve, admin".to_owned());
    }
    grant.scopes.sort_unstable();
    grant.scopes.dedup();
    for root in &mut grant.roots {
        if !root.is_absolute() {
            return bad(format!("the root {} is not absolute", root.display()));
        }
        match dunce::canonicalize(&*root) {
            Ok(real) if real.is_dir() => *root = real,
            Ok(_) => return bad(format!("the root {} is not a folder", root.display())),
            Err(error) => return bad(format!("the root {} can't be used: {error}", root.display())),
        }
    }
    if ended(grant, now) {
        return bad("the token would have ended already".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(name: &str) -> Grant {
        Grant {
            name: name.to_owned(),
            scopes: vec![Scope::Run, Scope::Read, Scope::Run],
            roots: Vec::new(),
            max_sandbox: None,
            created_at: Timestamp::from_millis(0),
            expires_at: None,
            last_used_at: None,
        }
    }

    #[tokio::test]
    async fn a_token_is_shown_once_counts_at_once_and_outlives_the_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let grants = Grants::load(&store).await.unwrap();
        let (made, token) = grants.add(&store, grant("a")).await.unwrap();
        assert_eq!(made.scopes, [Scope::Read, Scope::Run]);
        assert!(token.starts_with(PREFIX) && token.len() == PREFIX.len() + 43, "{token}");
        assert_eq!(grants.find(token.as_bytes()).unwrap().name, "a");
        assert!(grants.find(b"cdx_other").is_none());
        assert_eq!(grants.add(&store, grant("a")).await.unwrap_err().code, Code::BadRequest);

        let again = Grants::load(&store).await.unwrap();
        assert_eq!(again.find(token.as_bytes()).unwrap().name, "a");
        again.remove(&store, "a").await.unwrap();
        assert!(again.find(token.as_bytes()).is_none());
        assert_eq!(again.remove(&store, "a").await.unwrap_err().code, Code::NotFound);
        assert!(again.of(&Principal::Grant("a".to_owned())).is_err());
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let grants = Grants::default();
        let ended = Grant { expires_at: Some(Timestamp::from_millis(1)), ..grant("x") };
        let nothing = Grant { scopes: Vec::new(), ..grant("x") };
        let relative = Grant { roots: vec!["x".into()], ..grant("x") };
        for wrong in [ended, nothing, relative, grant(""), grant("a b"), grant(AT_START), grant(&"x".repeat(65))] {
            let name = wrong.name.clone();
            assert_eq!(grants.add(&store, wrong).await.unwrap_err().code, Code::BadRequest, "{name}");
        }
        assert!(grants.list().is_empty());
    }

    #[test]
    fn nobody_makes_a_token_that_opens_more_than_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let root = dunce::canonicalize(dir.path()).unwrap();
        let own = Grant {
            scopes: vec![Scope::Read, Scope::Admin],
            roots: vec![root.clone()],
            max_sandbox: Some(types::Sandbox::ReadOnly),
            expires_at: Some(Timestamp::from_millis(100)),
            ..grant("own")
        };
        let fine = Grant { scopes: vec![Scope::Read], name: "new".to_owned(), ..own.clone() };
        assert_eq!(check_no_wider(&own, &fine), Ok(()));
        for wider in [
            Grant { scopes: vec![Scope::Run], ..fine.clone() },
            Grant { roots: Vec::new(), ..fine.clone() },
            Grant { roots: vec![root.join("..")], ..fine.clone() },
            Grant { max_sandbox: None, ..fine.clone() },
            Grant { max_sandbox: Some(types::Sandbox::WorkspaceWrite), ..fine.clone() },
            Grant { expires_at: None, ..fine.clone() },
            Grant { expires_at: Some(Timestamp::from_millis(101)), ..fine },
        ] {
            assert_eq!(check_no_wider(&own, &wider).unwrap_err().code, Code::Forbidden, "{wider:?}");
        }
    }

    #[test]
    fn the_last_use_is_noted_once_a_minute() {
        let grants = Grants::default();
        grants.change(|known| known.push(Known { grant: Arc::new(grant("a")), hash: hash("t"), at_start: false }));
        let at = |millis| Timestamp::from_millis(millis);
        assert!(grants.used("a", at(1_000)));
        assert!(!grants.used("a", at(60_999)));
        assert!(grants.used("a", at(61_000)));
        assert!(!grants.used("b", at(61_000)));
    }
}
