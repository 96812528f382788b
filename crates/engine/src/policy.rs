//! What a principal may ask, decided by the operator and never by a request.
//!
//! A request may always narrow: a smaller sandbox, a policy that asks more. It may widen only as far as the operator's flags
//! say. What Codex says that it applied is compared with what was allowed ([`widened`]).

use std::{
    fs,
    path::{Path, PathBuf},
};

use agent::{Applied, ThreadSpec};
use types::{ApprovalPolicy, Code, Principal, Sandbox};

use crate::Refusal;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// It is left out and named: the first version's routes.
    Ignore,
    /// The request is refused.
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
        }
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
        let mut cwd = self.cwd.clone();
        if let Some(wanted) = &asked.cwd {
            if *who == Principal::Local || self.allow_cwd_override {
                cwd = self.check_cwd(who, wanted)?;
            } else if fs::canonicalize(wanted).ok().as_deref() != Some(&self.cwd) {
                let detail = "this daemon does not let requests choose the folder; it is started with --allow-cwd-override for that";
                refuse("cwd", Code::CwdForbidden, detail.to_owned())?;
            }
        }
        let mut sandbox = self.sandbox;
        if let Some(wanted) = asked.sandbox {
            if wanted <= sandbox || wanted <= self.widest_sandbox(who) {
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
        let most = if self.allow_danger { Sandbox::DangerFullAccess } else { Sandbox::WorkspaceWrite };
        if *who == Principal::Local || self.allow_sandbox_override { most.max(self.sandbox) } else { self.sandbox }
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

    /// The canonical form of a folder, if this principal may work there now.
    pub(crate) fn check_cwd(&self, who: &Principal, cwd: &Path) -> Result<PathBuf, Refusal> {
        let shown = cwd.display();
        if !cwd.is_absolute() {
            return Err(Refusal::new(Code::BadCwd, format!("the folder {shown} is not absolute")));
        }
        let real = dunce::canonicalize(cwd)
            .map_err(|error| Refusal::new(Code::BadCwd, format!("the folder {shown} can't be used: {error}")))?;
        if !real.is_dir() {
            return Err(Refusal::new(Code::BadCwd, format!("{shown} is not a folder")));
        }
        if *who != Principal::Local && !self.roots.iter().any(|root| real.starts_with(root)) {
            let roots: Vec<String> = self.roots.iter().map(|root| root.display().to_string()).collect();
            let detail = format!("the folder {shown} is outside of the allowed ones: {}", roots.join(", "));
            return Err(Refusal::new(Code::CwdForbidden, detail));
        }
        Ok(real)
    }
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
mod tests {
    use super::*;

    fn policy(root: &Path) -> Policy {
        Policy::narrowest(root.to_owned())
    }

    fn asked(sandbox: Option<Sandbox>, approval_policy: Option<ApprovalPolicy>) -> Overrides {
        Overrides { sandbox, approval_policy, ..Overrides::default() }
    }

    #[test]
    fn widening_is_ignored_or_refused_and_narrowing_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut policy = policy(&dunce::canonicalize(dir.path()).unwrap());
        let who = Principal::Anonymous;
        let wide = asked(Some(Sandbox::WorkspaceWrite), Some(ApprovalPolicy::Never));
        let granted = policy.grant(&who, &wide, Strictness::Ignore).unwrap();
        // `never` in a read-only sandbox can do nothing that asking could prevent.
        assert_eq!((granted.sandbox, granted.approval_policy), (Sandbox::ReadOnly, ApprovalPolicy::Never));
        assert_eq!(granted.ignored, ["sandbox"]);
        assert_eq!(policy.grant(&who, &wide, Strictness::Refuse).unwrap_err().code, Code::SandboxForbidden);

        policy.sandbox = Sandbox::WorkspaceWrite;
        let granted =
            policy.grant(&who, &asked(Some(Sandbox::ReadOnly), Some(ApprovalPolicy::Untrusted)), Strictness::Refuse);
        let granted = granted.unwrap();
        assert_eq!((granted.sandbox, granted.approval_policy), (Sandbox::ReadOnly, ApprovalPolicy::Untrusted));
    }

    #[test]
    fn flags_allow_so_much_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut policy = policy(&dunce::canonicalize(dir.path()).unwrap());
        policy.allow_sandbox_override = true;
        policy.allow_approval_override = true;
        let who = Principal::Grant("g".into());
        let granted = policy.grant(&who, &asked(Some(Sandbox::DangerFullAccess), None), Strictness::Ignore).unwrap();
        assert_eq!((granted.sandbox, granted.ignored), (Sandbox::ReadOnly, vec!["sandbox"]));
        let writes = asked(Some(Sandbox::WorkspaceWrite), Some(ApprovalPolicy::Never));
        assert_eq!(policy.grant(&who, &writes, Strictness::Refuse).unwrap_err().code, Code::ApprovalPolicyForbidden);
        policy.allow_never = true;
        assert_eq!(policy.grant(&who, &writes, Strictness::Refuse).unwrap().approval_policy, ApprovalPolicy::Never);
    }

    #[test]
    fn never_does_not_slip_through_with_another_sandbox() {
        let dir = tempfile::tempdir().unwrap();
        let mut policy = policy(&dunce::canonicalize(dir.path()).unwrap());
        policy.approval_policy = ApprovalPolicy::Never;
        policy.allow_sandbox_override = true;
        let who = Principal::Anonymous;
        assert_eq!(
            policy.grant(&who, &asked(None, None), Strictness::Refuse).unwrap().approval_policy,
            ApprovalPolicy::Never
        );
        let writes = policy.grant(&who, &asked(Some(Sandbox::WorkspaceWrite), None), Strictness::Refuse).unwrap();
        assert!(writes.approval_policy < ApprovalPolicy::Never);
    }

    #[test]
    fn who_continues_a_session_gets_no_more_than_they_may_ask() {
        let dir = tempfile::tempdir().unwrap();
        let mut policy = policy(&dunce::canonicalize(dir.path()).unwrap());
        let wide = (Sandbox::DangerFullAccess, ApprovalPolicy::Never);
        let confined = |policy: &Policy, who: &Principal| policy.confine(who, wide.0, wide.1);
        assert_eq!(confined(&policy, &Principal::Anonymous).0, Sandbox::ReadOnly);
        let (sandbox, approval) = confined(&policy, &Principal::Local);
        assert_eq!(sandbox, Sandbox::WorkspaceWrite);
        assert!(approval < ApprovalPolicy::Never);
        policy.allow_danger = true;
        policy.allow_never = true;
        policy.allow_approval_override = true;
        assert_eq!(confined(&policy, &Principal::Local), wide);
        let narrow = policy.confine(&Principal::Local, Sandbox::ReadOnly, ApprovalPolicy::Untrusted);
        assert_eq!(narrow, (Sandbox::ReadOnly, ApprovalPolicy::Untrusted), "what is narrow stays so");
    }

    #[test]
    fn a_folder_must_exist_and_lie_within_a_root_after_links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let base = dunce::canonicalize(dir.path()).unwrap();
        let (root, outside) = (base.join("root"), base.join("outside"));
        fs::create_dir_all(root.join("in")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        let mut policy = policy(&root);
        policy.allow_cwd_override = true;
        let who = Principal::Anonymous;
        assert_eq!(policy.check_cwd(&who, &root.join("in/../in")).unwrap(), root.join("in"));
        assert_eq!(policy.check_cwd(&who, &root.join("../outside")).unwrap_err().code, Code::CwdForbidden);
        assert_eq!(policy.check_cwd(&Principal::Local, &outside).unwrap(), outside);
        assert_eq!(policy.check_cwd(&who, Path::new("in")).unwrap_err().code, Code::BadCwd);
        assert_eq!(policy.check_cwd(&who, &root.join("gone")).unwrap_err().code, Code::BadCwd);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
            assert_eq!(policy.check_cwd(&who, &root.join("link")).unwrap_err().code, Code::CwdForbidden);
        }
    }

    #[test]
    fn what_codex_applied_may_be_narrower_and_nothing_else() {
        let allowed = ThreadSpec {
            cwd: "/".into(),
            model: None,
            sandbox: Sandbox::WorkspaceWrite,
            approval_policy: ApprovalPolicy::OnRequest,
            developer_instructions: None,
        };
        let applied = |sandbox, network, approval_policy| Applied { sandbox, network, approval_policy };
        let asks = Ok(ApprovalPolicy::OnRequest);
        assert_eq!(widened(&allowed, &applied(Ok(Sandbox::ReadOnly), false, asks.clone())), None);
        assert_eq!(
            widened(&allowed, &applied(Ok(Sandbox::WorkspaceWrite), false, Ok(ApprovalPolicy::Untrusted))),
            None
        );
        for wide in [
            applied(Ok(Sandbox::DangerFullAccess), false, asks.clone()),
            applied(Ok(Sandbox::ReadOnly), true, asks.clone()),
            applied(Ok(Sandbox::ReadOnly), false, Ok(ApprovalPolicy::Never)),
            applied(Err("new".into()), false, asks),
            applied(Ok(Sandbox::ReadOnly), false, Err("granular".into())),
        ] {
            assert!(widened(&allowed, &wide).is_some(), "{wide:?}");
        }
    }
}
