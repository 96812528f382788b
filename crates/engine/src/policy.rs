//! What a principal may ask, decided by the operator and never by a request.
//!
//! A request may always narrow: a smaller sandbox, a policy that asks more. It may widen only as far as the operator's flags
//! say. What Codex says that it applied is compared with what was allowed ([`widened`]).

mod config;
#[cfg(all(feature = "fuzzing", unix))]
pub mod fuzzing;

use std::{
    fs,
    path::{Path, PathBuf},
};

use agent::{Applied, ThreadSpec};
use types::{ApprovalPolicy, Code, Grant, PolicyInfo, Principal, Sandbox, Scope, Worktree};

use crate::{Grants, Refusal, SharedCwd};

pub use config::{HARMLESS_CONFIG, is_guarded};

/// The largest picture that is given to Codex, in bytes.
const IMAGE_BYTES: u64 = 32 << 20;

/// The operator's settings.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct Policy {
    /// Where a session works when it does not say. Canonical; the first of the roots.
    pub cwd: PathBuf,
    /// The folders that tokens and `anonymous` may work in. Canonical.
    pub roots: Vec<PathBuf>,
    /// What turns may touch when nobody says.
    pub sandbox: Sandbox,
    /// When turns ask, when nobody says.
    pub approval_policy: ApprovalPolicy,
    /// The model when nobody says; Codex's own default without.
    pub model: Option<String>,
    /// A request may name a folder within the roots.
    pub allow_cwd_override: bool,
    /// A request may widen the sandbox, up to `workspace-write`.
    pub allow_sandbox_override: bool,
    /// A request may widen the approval policy.
    pub allow_approval_override: bool,
    /// `never` may go with a sandbox that writes.
    pub allow_never: bool,
    /// `danger-full-access` may be asked for.
    pub allow_danger: bool,
    /// What happens to a turn in a folder in which another session is at work.
    pub shared_cwd: SharedCwd,
    /// Keys of Codex's configuration that a request may set besides the harmless ones.
    pub config_keys: Vec<String>,
    /// The store's folder, canonical: only `local` may name a folder in it.
    pub store: Option<PathBuf>,
    /// The tokens, and what each opens.
    pub grants: Grants,
}

/// What a request asks to be different.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The folder.
    pub cwd: Option<PathBuf>,
    /// The model.
    pub model: Option<String>,
    /// The sandbox.
    pub sandbox: Option<Sandbox>,
    /// When to ask.
    pub approval_policy: Option<ApprovalPolicy>,
}

/// What becomes of an override that is not allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strictness {
    /// It is left out and named: the first version's routes.
    Ignore,
    /// The request is refused.
    #[default]
    Refuse,
}

/// What applies to a new session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) cwd: PathBuf,
    pub(crate) model: Option<String>,
    pub(crate) sandbox: Sandbox,
    pub(crate) approval_policy: ApprovalPolicy,
    /// The overrides that were left out, by their names in the request.
    pub(crate) ignored: Vec<&'static str>,
}

impl Policy {
    /// The narrowest: read-only in one folder, which must be canonical, and nothing may be widened.
    #[must_use]
    pub fn narrowest(cwd: PathBuf) -> Self {
        Self {
            roots: vec![cwd.clone()],
            cwd,
            sandbox: Sandbox::ReadOnly,
            approval_policy: ApprovalPolicy::OnRequest,
            model: None,
            allow_cwd_override: false,
            allow_sandbox_override: false,
            allow_approval_override: false,
            allow_never: false,
            allow_danger: false,
            shared_cwd: SharedCwd::Warn,
            config_keys: Vec::new(),
            store: None,
            grants: Grants::default(),
        }
    }

    /// What this principal may do, as it is told.
    ///
    /// # Errors
    /// When its token has ended.
    pub fn of(&self, who: &Principal) -> Result<PolicyInfo, Refusal> {
        let grant = self.grants.of(who)?;
        let scopes = match (who, &grant) {
            (_, Some(grant)) => grant.scopes.clone(),
            (Principal::Local, None) => Scope::ALL.to_vec(),
            (Principal::Agent(_), None) => vec![Scope::Read],
            (_, None) => vec![Scope::Read, Scope::Run],
        };
        let widest_sandbox = self.widest_sandbox(who);
        let sandbox = self.sandbox.min(widest_sandbox);
        let widest_approval_policy = self.widest_approval(sandbox);
        let mut config: Vec<String> = HARMLESS_CONFIG.into_iter().map(str::to_owned).collect();
        config.extend(self.config_keys.iter().cloned());
        Ok(PolicyInfo {
            principal: who.name(),
            scopes,
            cwd: self.default_cwd(who, grant.as_deref()).unwrap_or_else(|_| self.cwd.clone()),
            roots: (*who != Principal::Local).then(|| self.roots_of(grant.as_deref())),
            choose_cwd: *who == Principal::Local || self.allow_cwd_override,
            sandbox,
            widest_sandbox,
            approval_policy: self.approval_policy.min(widest_approval_policy),
            widest_approval_policy,
            model: self.model.clone(),
            config,
            expires_at: grant.and_then(|grant| grant.expires_at),
        })
    }

    /// The folders of a token: where its own and the daemon's overlap; the daemon's, when it has none of its own.
    fn roots_of(&self, grant: Option<&Grant>) -> Vec<PathBuf> {
        let Some(own) = grant.map(|grant| &grant.roots).filter(|own| !own.is_empty()) else {
            return self.roots.clone();
        };
        let mut both: Vec<PathBuf> = Vec::new();
        for (root, own) in self.roots.iter().flat_map(|root| own.iter().map(move |own| (root, own))) {
            let overlap = if own.starts_with(root) {
                own
            } else if root.starts_with(own) {
                root
            } else {
                continue;
            };
            if !both.contains(overlap) {
                both.push(overlap.clone());
            }
        }
        both
    }

    /// Where a session works that names no folder: the daemon's own, or the first of those that a token is confined to.
    fn default_cwd(&self, who: &Principal, grant: Option<&Grant>) -> Result<PathBuf, Refusal> {
        if *who == Principal::Local || self.within(grant, &self.cwd) {
            return Ok(self.cwd.clone());
        }
        match self.roots_of(grant).into_iter().next() {
            Some(first) => self.check_cwd(who, &first),
            None => {
                let detail =
                    "the folders of this token lie outside of those that this daemon allows; --allow-root adds one";
                Err(Refusal::new(Code::CwdForbidden, detail))
            }
        }
    }

    /// Decides over a picture on this machine, and returns its canonical path.
    pub(crate) fn check_image(
        &self,
        who: &Principal,
        cwd: &Path,
        worktree: Option<&Worktree>,
        path: &str,
    ) -> Result<PathBuf, Refusal> {
        let shown: String = path.chars().take(200).collect();
        let bad = |code: Code, why: String| Refusal::new(code, format!("the image {shown} {why}"));
        let asked = cwd.join(path);
        let grant = self.grants.of(who)?;
        // Before it is told whether there is such a file: what lies elsewhere is nobody's business.
        let theirs = |near: &Path| {
            let in_roots = self.within(grant.as_deref(), near) && !self.in_store(near);
            in_roots || worktree.is_some_and(|worktree| near.starts_with(&worktree.path))
        };
        if *who != Principal::Local && !nearest(&asked).is_some_and(|near| theirs(&near)) {
            return Err(bad(Code::CwdForbidden, "lies outside of the folders that this daemon allows".to_owned()));
        }
        let unreadable = |error: std::io::Error| bad(Code::BadRequest, format!("can't be read: {error}"));
        let real = dunce::canonicalize(&asked).map_err(unreadable)?;
        let found = fs::metadata(&real).map_err(unreadable)?;
        if !found.is_file() || real.to_str().is_none() {
            return Err(bad(Code::BadRequest, "is not a file whose name is UTF-8".to_owned()));
        }
        if found.len() > IMAGE_BYTES {
            let why = format!("has {} bytes, more than {IMAGE_BYTES}", found.len());
            return Err(bad(Code::InputTooLarge, why));
        }
        Ok(real)
    }

    /// Whether a canonical path lies in one of the daemon's roots and, for a token with roots of its own, in one of those.
    fn within(&self, grant: Option<&Grant>, real: &Path) -> bool {
        self.roots_of(grant).iter().any(|root| real.starts_with(root))
    }

    /// Whether a canonical path lies in the store, which is nobody's to name, whatever the roots are.
    fn in_store(&self, real: &Path) -> bool {
        self.store.as_ref().is_some_and(|store| real.starts_with(store))
    }

    /// Decides over a request. Looks at the file system when it names a folder.
    pub(crate) fn grant(&self, who: &Principal, asked: &Overrides, strictness: Strictness) -> Result<Granted, Refusal> {
        let mut ignored = Vec::new();
        let mut refuse = |name: &'static str, code: Code, detail: String| match strictness {
            Strictness::Ignore => {
                ignored.push(name);
                Ok(())
            }
            Strictness::Refuse => Err(Refusal::new(code, detail)),
        };
        let own = self.grants.of(who)?;
        let may_choose = *who == Principal::Local || self.allow_cwd_override;
        let cwd = match &asked.cwd {
            Some(wanted) if may_choose => self.check_cwd(who, wanted)?,
            _ => self.default_cwd(who, own.as_deref())?,
        };
        if let Some(wanted) = asked.cwd.as_ref().filter(|_| !may_choose)
            && fs::canonicalize(wanted).ok().as_deref() != Some(cwd.as_path())
        {
            let detail =
                "this daemon does not let requests choose the folder; it is started with --allow-cwd-override for that";
            refuse("cwd", Code::CwdForbidden, detail.to_owned())?;
        }
        let mut sandbox = self.sandbox.min(self.widest_sandbox(who));
        if let Some(wanted) = asked.sandbox {
            if wanted <= self.widest_sandbox(who) {
                sandbox = wanted;
            } else {
                let detail =
                    format!("{wanted} is wider than {}, which is what this daemon allows", self.widest_sandbox(who));
                refuse("sandbox", Code::SandboxForbidden, detail)?;
            }
        }
        let widest = self.widest_approval(sandbox);
        // The default of a narrower sandbox may be too wide for the one that was asked for.
        let mut approval_policy = self.approval_policy.min(widest);
        if let Some(wanted) = asked.approval_policy {
            if wanted <= widest {
                approval_policy = wanted;
            } else {
                let detail =
                    format!("{wanted} asks less than {widest}, which is what this daemon allows with {sandbox}");
                refuse("approval_policy", Code::ApprovalPolicyForbidden, detail)?;
            }
        }
        let model = asked.model.clone().or_else(|| self.model.clone());
        Ok(Granted { cwd, model, sandbox, approval_policy, ignored })
    }

    /// The widest sandbox that this principal may ask for.
    #[must_use]
    pub fn widest_sandbox(&self, who: &Principal) -> Sandbox {
        if matches!(who, Principal::Agent(_)) {
            return Sandbox::ReadOnly;
        }
        let most = if self.allow_danger { Sandbox::DangerFullAccess } else { Sandbox::WorkspaceWrite };
        let widest =
            if *who == Principal::Local || self.allow_sandbox_override { most.max(self.sandbox) } else { self.sandbox };
        match self.grants.of(who) {
            Ok(grant) => grant.and_then(|grant| grant.max_sandbox).map_or(widest, |most| most.min(widest)),
            // A turn of a token that has ended, which was accepted before.
            Err(_) => Sandbox::ReadOnly,
        }
    }

    /// The policy that asks least and may go with this sandbox. `never` in a read-only one can do nothing that asking would
    /// prevent.
    #[must_use]
    pub fn widest_approval(&self, sandbox: Sandbox) -> ApprovalPolicy {
        let never = self.allow_never && (self.allow_approval_override || self.approval_policy == ApprovalPolicy::Never);
        if sandbox == Sandbox::ReadOnly || never {
            ApprovalPolicy::Never
        } else if self.allow_approval_override || self.approval_policy == ApprovalPolicy::Never {
            ApprovalPolicy::OnFailure
        } else {
            self.approval_policy
        }
    }

    /// What is left of a session's policy for a turn of this principal: whoever continues a session gets no more than they
    /// could have asked for themselves, and nobody gets more than the operator allows today.
    pub(crate) fn confine(
        &self,
        who: &Principal,
        sandbox: Sandbox,
        approval_policy: ApprovalPolicy,
    ) -> (Sandbox, ApprovalPolicy) {
        let sandbox = sandbox.min(self.widest_sandbox(who));
        (sandbox, approval_policy.min(self.widest_approval(sandbox)))
    }

    /// The canonical form of a session's folder, if this principal may work there now. A worktree that the session has to itself lies in the
    /// store; whoever may work in the repository that it is of may work in it, and nowhere else in the store.
    pub(crate) fn check_place(
        &self,
        who: &Principal,
        cwd: &Path,
        worktree: Option<&Worktree>,
    ) -> Result<PathBuf, Refusal> {
        let Some(own) = worktree.filter(|own| cwd.starts_with(&own.path)) else { return self.check_cwd(who, cwd) };
        if *who != Principal::Local {
            self.check_cwd(who, &own.repository).map_err(|refused| {
                let detail = format!("the repository of the session's worktree can't be used: {}", refused.detail);
                Refusal { detail, ..refused }
            })?;
        }
        let real = real_folder(cwd)?;
        // A link in the place of the worktree, or in it, would lead elsewhere.
        if !real.starts_with(&own.path) {
            let detail = format!("the folder {} leads out of the worktree of the session", cwd.display());
            return Err(Refusal::new(Code::CwdForbidden, detail));
        }
        Ok(real)
    }

    /// The canonical form of a folder, if this principal may work there now.
    pub(crate) fn check_cwd(&self, who: &Principal, cwd: &Path) -> Result<PathBuf, Refusal> {
        let shown = cwd.display();
        let real = real_folder(cwd)?;
        let grant = self.grants.of(who)?;
        if *who != Principal::Local && !self.within(grant.as_deref(), &real) {
            let roots: Vec<String> =
                self.roots_of(grant.as_deref()).iter().map(|root| root.display().to_string()).collect();
            let detail = format!("the folder {shown} is outside of the allowed ones: {}", roots.join(", "));
            return Err(Refusal::new(Code::CwdForbidden, detail));
        }
        if *who != Principal::Local && self.in_store(&real) {
            let detail = format!("the folder {shown} lies in the store of codexd, where nobody works");
            return Err(Refusal::new(Code::CwdForbidden, detail));
        }
        Ok(real)
    }
}

/// The canonical form of a folder that is there.
fn real_folder(folder: &Path) -> Result<PathBuf, Refusal> {
    let bad = |why: String| Refusal::new(Code::BadCwd, why);
    let shown = folder.display();
    if !folder.is_absolute() {
        return Err(bad(format!("the folder {shown} is not absolute")));
    }
    let real =
        dunce::canonicalize(folder).map_err(|error| bad(format!("the folder {shown} can't be used: {error}")))?;
    if !real.is_dir() {
        return Err(bad(format!("{shown} is not a folder")));
    }
    if real.to_str().is_none() {
        return Err(bad(format!("the name of the folder {shown} is not UTF-8")));
    }
    Ok(real)
}

/// The canonical form of a path, or of as much of it as there is.
fn nearest(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|path| dunce::canonicalize(path).ok())
}

/// What Codex applied that goes beyond what was allowed; `None` when nothing does. What it says in words that we don't know
/// counts as wider.
pub(crate) fn widened(allowed: &ThreadSpec, applied: &Applied) -> Option<String> {
    match &applied.sandbox {
        Ok(sandbox) if *sandbox > allowed.sandbox => {
            return Some(format!("sandbox {sandbox} instead of {}", allowed.sandbox));
        }
        Ok(Sandbox::DangerFullAccess) => {}
        Ok(_) if applied.network => return Some("network access, which was not asked for".to_owned()),
        Ok(_) => {}
        Err(unknown) => return Some(format!("an unknown sandbox, {unknown}")),
    }
    match &applied.approval_policy {
        Ok(policy) if *policy > allowed.approval_policy => {
            Some(format!("approval policy {policy} instead of {}", allowed.approval_policy))
        }
        Ok(_) => None,
        Err(unknown) => Some(format!("an unknown approval policy, {unknown}")),
    }
}

#[cfg(test)]
mod tests;
