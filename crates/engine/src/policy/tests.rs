//! What may be asked, by whom.

use serde_json::{Map, Value};
use types::{Grant, Scope};

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
    let who = Principal::Anonymous;
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
fn a_token_is_confined_by_the_daemon_and_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let base = dunce::canonicalize(dir.path()).unwrap();
    let (inner, other) = (base.join("inner"), base.join("other"));
    fs::create_dir_all(&inner).unwrap();
    fs::create_dir_all(&other).unwrap();
    let mut policy = policy(&base);
    policy.sandbox = Sandbox::WorkspaceWrite;
    policy.allow_cwd_override = true;
    let store = store::Store::open(&base.join("store")).unwrap();
    let grant = |name: &str, roots: Vec<PathBuf>, max_sandbox| Grant {
        roots,
        max_sandbox,
        ..Grant::new(name.to_owned(), vec![Scope::Run])
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let outside = dunce::canonicalize(std::env::temp_dir()).unwrap();
    for (name, roots) in [("in", vec![inner.clone()]), ("out", vec![outside.clone()])] {
        runtime.block_on(policy.grants.add(&store, grant(name, roots, Some(Sandbox::ReadOnly)))).unwrap();
    }
    let who = Principal::Grant("in".into());
    let granted = policy.grant(&who, &asked(None, None), Strictness::Refuse).unwrap();
    assert_eq!((granted.cwd, granted.sandbox), (inner.clone(), Sandbox::ReadOnly));
    assert_eq!(policy.check_cwd(&who, &other).unwrap_err().code, Code::CwdForbidden);
    let wide = policy.grant(&who, &asked(Some(Sandbox::WorkspaceWrite), None), Strictness::Refuse);
    assert_eq!(wide.unwrap_err().code, Code::SandboxForbidden);
    assert_eq!(policy.confine(&who, Sandbox::WorkspaceWrite, ApprovalPolicy::OnRequest).0, Sandbox::ReadOnly);
    // A root of a token opens nothing that the daemon does not.
    assert_eq!(policy.check_cwd(&Principal::Grant("out".into()), &outside).unwrap_err().code, Code::CwdForbidden);
    let info = policy.of(&who).unwrap();
    assert_eq!((info.cwd, info.roots), (inner.clone(), Some(vec![inner.clone()])), "what is told is what applies");
    // A token with folders of its own gets none outside of them, also where requests may not choose.
    policy.allow_cwd_override = false;
    let named = Overrides { cwd: Some(base.clone()), ..Overrides::default() };
    assert_eq!(policy.grant(&who, &named, Strictness::Refuse).unwrap_err().code, Code::CwdForbidden);
    let granted = policy.grant(&who, &named, Strictness::Ignore).unwrap();
    assert_eq!((granted.cwd, granted.ignored), (inner.clone(), vec!["cwd"]));
    policy.allow_cwd_override = true;
    // Outside of them it is not told what there is.
    for there in [other.clone(), base.join("no-such-folder")] {
        let image = there.join("x.png");
        let refused = policy.check_image(&who, &inner, None, &image.to_string_lossy());
        assert_eq!(refused.unwrap_err().code, Code::CwdForbidden);
    }
    assert_eq!(policy.check_cwd(&who, &inner.join("missing")).unwrap_err().code, Code::BadCwd);
    assert_eq!(policy.of(&Principal::Grant("out".into())).unwrap().roots, Some(vec![base.clone()]));
    let gone = Principal::Grant("gone".into());
    assert_eq!(policy.check_cwd(&gone, &inner).unwrap_err().code, Code::Forbidden);
    assert_eq!(policy.confine(&gone, Sandbox::WorkspaceWrite, ApprovalPolicy::OnRequest).0, Sandbox::ReadOnly);
}

#[test]
fn configuration_is_set_by_the_allowed_keys_only() {
    let mut policy = Policy::narrowest("/w".into());
    policy.config_keys = vec!["tools".to_owned(), "features.x".to_owned(), "projects".to_owned()];
    let check = |policy: &Policy, json: Value| {
        let Value::Object(config) = json else { panic!("an object") };
        policy.check_config(&config).map_err(|refusal| refusal.code)
    };
    for fine in [
        serde_json::json!({}),
        serde_json::json!({"model_reasoning_effort": "high"}),
        serde_json::json!({"tools": {"web_search": true}}),
        serde_json::json!({"tools.web_search": true, "features": {"x": 1}}),
    ] {
        assert_eq!(check(&policy, fine.clone()), Ok(()), "{fine}");
    }
    for wrong in [
        serde_json::json!({"mcp_servers": {"x": {"command": "sh"}}}),
        serde_json::json!({"features": {"y": 1}}),
        serde_json::json!({"features": {}}),
        serde_json::json!({"toolsx": 1}),
        serde_json::json!({"sandbox_mode": "danger-full-access"}),
        serde_json::json!({"sandbox_workspace_write": {"network_access": true}}),
        serde_json::json!({"projects": {"/w": {"trust_level": "trusted"}}}),
    ] {
        assert_eq!(check(&policy, wrong.clone()), Err(Code::ConfigForbidden), "{wrong}");
    }
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
        config: Map::new(),
    };
    let applied =
        |sandbox, network, approval_policy| Applied { sandbox, network, approval_policy, model: None, effort: None };
    let asks = Ok(ApprovalPolicy::OnRequest);
    assert_eq!(widened(&allowed, &applied(Ok(Sandbox::ReadOnly), false, asks.clone())), None);
    assert_eq!(widened(&allowed, &applied(Ok(Sandbox::WorkspaceWrite), false, Ok(ApprovalPolicy::Untrusted))), None);
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

/// A store that lies in a root, and a session's own worktree in it.
#[test]
fn the_store_is_nobodys_folder_and_a_worktree_is_its_own_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let root = dunce::canonicalize(dir.path()).unwrap();
    let folders = ["repo", "apart", "store/worktrees/one/sub", "store/worktrees/two"].map(|folder| root.join(folder));
    folders.iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    let [repository, apart, sub, other] = folders;
    let path = root.join("store/worktrees/one");
    let own = Worktree { path: path.clone(), repository, branch: "b".into(), base: "c".into() };
    let policy = Policy { store: Some(root.join("store")), ..policy(&root) };
    let (who, local) = (Principal::Anonymous, Principal::Local);
    for folder in [root.join("store"), path.clone(), sub.clone(), other.clone()] {
        assert_eq!(policy.check_cwd(&who, &folder).unwrap_err().code, Code::CwdForbidden);
        assert_eq!(policy.check_cwd(&local, &folder).unwrap(), folder);
    }
    for who in [&who, &local] {
        assert_eq!(policy.check_place(who, &path, Some(&own)).unwrap(), path);
        assert_eq!(policy.check_place(who, &path.join("sub/../sub"), Some(&own)).unwrap(), sub);
        let out = path.join("../two");
        assert_eq!(policy.check_place(who, &out, Some(&own)).unwrap_err().code, Code::CwdForbidden);
        assert_eq!(policy.check_place(who, &path.join("gone"), Some(&own)).unwrap_err().code, Code::BadCwd);
        // Outside of it the session has no more than any other.
        assert_eq!(policy.check_place(who, &apart, Some(&own)).unwrap(), apart);
    }
    assert_eq!(policy.check_place(&who, &other, Some(&own)).unwrap_err().code, Code::CwdForbidden);
    // Neither is a picture in it, but for one in the session's own.
    let pictures = [apart.join("x.png"), sub.join("x.png"), other.join("x.png"), root.join("store/x.png")];
    pictures.iter().for_each(|picture| fs::write(picture, "x").unwrap());
    let seen =
        |who, own| pictures.each_ref().map(|it| policy.check_image(who, &apart, own, it.to_str().unwrap()).is_ok());
    assert_eq!(seen(&who, None), [true, false, false, false]);
    assert_eq!(seen(&who, Some(&own)), [true, true, false, false]);
    assert_eq!(seen(&local, None), [true; 4]);
    // The repository is not theirs any more.
    let policy = Policy { roots: vec![apart.clone()], ..policy };
    assert_eq!(policy.check_place(&who, &path, Some(&own)).unwrap_err().code, Code::CwdForbidden);
    assert_eq!(policy.check_place(&local, &path, Some(&own)).unwrap(), path);
    #[cfg(unix)]
    {
        let policy = Policy { roots: vec![root.clone()], ..policy };
        std::os::unix::fs::symlink(&apart, path.join("link")).unwrap();
        assert_eq!(policy.check_place(&who, &path.join("link"), Some(&own)).unwrap_err().code, Code::CwdForbidden);
        fs::rename(&path, root.join("aside")).unwrap();
        std::os::unix::fs::symlink(root.join("aside"), &path).unwrap();
        assert_eq!(policy.check_place(&who, &path, Some(&own)).unwrap_err().code, Code::CwdForbidden);
    }
}
