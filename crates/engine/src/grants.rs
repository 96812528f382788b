//! Grants: named tokens, what they open, and how a token is recognised.
//!
//! Every token that lets somebody in is here: those that were made with `codexd token new`, which are in the store, and
//! those that were given at the start, which are not. Of a token only the hash is kept. All hashes are compared, in constant
//! time, so the time that it takes tells nothing about them.
//!
//! A change is committed before it counts. It counts at once: the next request is checked against it, and so is, again and again,
//! whoever is being answered over a longer time, by the very token with which they came ([`Key`]).
//!
//! **Rotation** gives a grant another token. The one before ends at once, or after a grace in which both open the same; one that is
//! older still ends in any case.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use store::{Batch, Store, StoreError, StoredGrant, Write};
use subtle::ConstantTimeEq as _;
use types::{Code, Grant, Principal, Scope, TOKEN_PREFIX, Timestamp};

use crate::Refusal;

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
    /// Held by who changes something, so that what counts is what is on disk.
    changing: Arc<tokio::sync::Mutex<()>>,
}

/// Stands for the token that somebody came with. It is not the token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

#[derive(Clone)]
struct Known {
    grant: Arc<Grant>,
    key: Key,
    previous: Option<Previous>,
    /// It was given at the start, and is in no store.
    at_start: bool,
}

/// The token that a grant had before.
#[derive(Clone, Copy)]
struct Previous {
    key: Key,
    until: Timestamp,
}

impl Known {
    fn stored(grant: Grant, hash: [u8; 32], previous: Option<[u8; 32]>) -> Self {
        let previous = previous.zip(grant.previous_until).map(|(hash, until)| Previous { key: Key(hash), until });
        Self { grant: Arc::new(grant), key: Key(hash), previous, at_start: false }
    }

    /// Whether this token opens it. Takes as long whatever the answer is.
    fn is_opened_by(&self, key: Key, now: Timestamp) -> bool {
        let current = self.key.0.ct_eq(&key.0);
        let before =
            self.previous.filter(|previous| previous.until > now).unwrap_or(Previous { key: self.key, until: now });
        bool::from(current | before.key.0.ct_eq(&key.0)) && !ended(&self.grant, now)
    }
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
            let stored =
                stored.into_iter().map(|StoredGrant { grant, hash, previous }| Known::stored(grant, hash, previous));
            known.extend(stored);
        });
        Ok(())
    }

    /// A token that was given at the start. It has all scopes.
    pub fn add_at_start(&self, token: &str) {
        let grant = Grant::new(AT_START.to_owned(), Scope::ALL.to_vec());
        let known = Known { at_start: true, ..Known::stored(grant, hash(token), None) };
        self.change(|all| all.push(known));
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
        let _changing = self.changing.lock().await;
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
        self.change(|known| known.push(Known::stored(grant.clone(), hash, None)));
        Ok((grant, token))
    }

    /// Gives a grant another token, which is returned, and nowhere else. The one before opens the same for as long as `grace`.
    ///
    /// # Errors
    /// When there is none of that name, it has ended, or the store can't be written. Then the old token is as good as before.
    pub async fn rotate(&self, store: &Store, name: &str, grace: Duration) -> Result<(Grant, String), Refusal> {
        let _changing = self.changing.lock().await;
        let now = Timestamp::now();
        let grant = self.made(name)?;
        if ended(&grant, now) {
            let detail = format!("the token {name:?} has ended; revoke it, and make a new one");
            return Err(Refusal::new(Code::BadRequest, detail));
        }
        let grace = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        let previous_until = (grace > 0).then(|| Timestamp::from_millis(now.as_millis().saturating_add(grace)));
        let token = fresh()?;
        let hash = hash(&token);
        let write = Write::RotateGrant { name: name.to_owned(), hash, at: now, previous_until };
        store.commit(Batch { writes: vec![write] }).await?;
        let mut rotated = Grant { rotated_at: Some(now), previous_until, ..Grant::clone(&grant) };
        self.change(|all| {
            for known in all.iter_mut().filter(|known| known.grant.name == name && !known.at_start) {
                let grant = Arc::make_mut(&mut known.grant);
                (grant.rotated_at, grant.previous_until) = (Some(now), previous_until);
                known.previous = previous_until.map(|until| Previous { key: known.key, until });
                known.key = Key(hash);
                rotated = Grant::clone(&known.grant);
            }
        });
        Ok((rotated, token))
    }

    /// Ends a grant: its token opens nothing any more.
    ///
    /// # Errors
    /// When there is none of that name, or the store can't be written.
    pub async fn remove(&self, store: &Store, name: &str) -> Result<(), Refusal> {
        let _changing = self.changing.lock().await;
        self.made(name)?;
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

    /// The grant of a token, if there is one that has not ended; and what stands for the token.
    #[must_use]
    pub fn find(&self, token: &[u8]) -> Option<(Arc<Grant>, Key)> {
        let (key, now) = (Key(Sha256::digest(token).into()), Timestamp::now());
        let mut found = None;
        self.look(|all| {
            // All of them, wherever it is.
            for known in all {
                if known.is_opened_by(key, now) {
                    found = Some((known.grant.clone(), key));
                }
            }
        });
        found
    }

    /// Whether whoever came in is still let in, and the token that they came with still opens.
    #[must_use]
    pub fn hold(&self, who: &Principal, key: Option<Key>) -> bool {
        let now = Timestamp::now();
        let opens = |key| self.look(|all| all.iter().any(|known| known.is_opened_by(key, now)));
        self.of(who).is_ok() && key.is_none_or(opens)
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

    /// A grant that was made, and not one of the start.
    fn made(&self, name: &str) -> Result<Arc<Grant>, Refusal> {
        let is = |known: &&Known| known.grant.name == name && !known.at_start;
        self.look(|all| all.iter().find(is).map(|known| known.grant.clone())).ok_or_else(|| {
            let detail = if name == AT_START {
                "the token that was given at the start ends when codexd is started without it".to_owned()
            } else {
                format!("there is no token {name:?}; list them with `codexd token list`")
            };
            Refusal::new(Code::NotFound, detail)
        })
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

/// Refuses a grant that opens more than that of whoever makes it, or makes it anew.
pub(crate) fn check_no_wider(own: &Grant, new: &Grant) -> Result<(), Refusal> {
    let wider =
        |what: String| Err(Refusal::new(Code::Forbidden, format!("that token would open more than yours: {what}")));
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
    Ok(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
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
mod tests;
