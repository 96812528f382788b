//! A tree of folders with every way out of it that we know of. None works, each has its error, and Codex hears of none.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Reply, wire::Call};

use crate::fake_codex_rig::{Rig, lab, of_method, serve};

/// A lab with two roots, of which one is a link, and much around them. The daemon runs in the first root.
struct Tree {
    rig: Rig,
    base: PathBuf,
}

impl Tree {
    async fn new() -> Result<Self> {
        let lab = lab().await?;
        let base = lab.dir.path().canonicalize()?.join("tree");
        for folder in ["root/inside/deep", "root/swapped", "root-evil", "outside/deep", "real-extra/work", "ROOT"] {
            fs::create_dir_all(base.join(folder))?;
        }
        for file in ["root/a.png", "outside/secret.png", "root-evil/c.png", "real-extra/d.png"] {
            fs::write(base.join(file), [0x89, b'P', b'N', b'G'])?;
        }
        for (to, link) in [
            ("../outside", "root/out"),
            ("../outside/secret.png", "root/secret.png"),
            ("inside", "root/in"),
            ("..", "root/up"),
            ("/", "root/top"),
            ("circle", "root/circle"),
            ("nothing", "root/dangling"),
            ("out", "root/by-two-links"),
            ("../root", "outside/back"),
            ("real-extra", "extra"),
        ] {
            symlink(to, base.join(link))?;
        }
        let (root, extra) = (base.join("root"), base.join("extra"));
        let flags = ["--no-auth", "--allow-cwd-override", "--cwd", utf8(&root)?, "--allow-root", utf8(&extra)?];
        let daemon = serve(&lab, &flags, &[]).await?;
        Ok(Self { rig: Rig { daemon, lab }, base })
    }

    /// A path below the tree, without being tidied; or as it is, when it is absolute.
    fn path(&self, path: &str) -> String {
        if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.base.display()) }
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        Call::json(path, body).ask(&self.rig.tcp()).await
    }

    fn folders_that_codex_was_given(&self) -> Result<Vec<String>> {
        let heard = self.rig.heard()?;
        let given = ["thread/start", "thread/resume", "turn/start"].map(|method| of_method(&heard, method)).concat();
        Ok(given.iter().filter_map(|params| params["cwd"].as_str()).map(str::to_owned).collect())
    }
}

fn utf8(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

#[tokio::test]
async fn no_folder_outside_of_the_roots_is_worked_in_however_it_is_called() -> Result<()> {
    let tree = Tree::new().await?;
    for (cwd, code) in [
        ("outside", "CWD_FORBIDDEN"),
        ("outside/deep", "CWD_FORBIDDEN"),
        ("", "CWD_FORBIDDEN"),
        ("root-evil", "CWD_FORBIDDEN"),
        ("root/..", "CWD_FORBIDDEN"),
        ("root/../outside", "CWD_FORBIDDEN"),
        ("root/inside/../../outside", "CWD_FORBIDDEN"),
        ("root/./inside/.././../root-evil", "CWD_FORBIDDEN"),
        ("root/out", "CWD_FORBIDDEN"),
        ("root/out/", "CWD_FORBIDDEN"),
        ("root/out/deep", "CWD_FORBIDDEN"),
        ("root/by-two-links/deep", "CWD_FORBIDDEN"),
        ("root/up", "CWD_FORBIDDEN"),
        ("root/up/outside", "CWD_FORBIDDEN"),
        ("root/in/../../outside", "CWD_FORBIDDEN"),
        ("root/top", "CWD_FORBIDDEN"),
        ("root/top/etc", "CWD_FORBIDDEN"),
        ("real-extra/..", "CWD_FORBIDDEN"),
        ("/", "CWD_FORBIDDEN"),
        ("/etc", "CWD_FORBIDDEN"),
        ("//etc", "CWD_FORBIDDEN"),
        ("/proc/self/cwd/..", "CWD_FORBIDDEN"),
        ("/proc/self/root/etc", "CWD_FORBIDDEN"),
        // On a file system that tells cases apart this is another folder.
        ("ROOT", "CWD_FORBIDDEN"),
        ("root/circle", "BAD_CWD"),
        ("root/dangling", "BAD_CWD"),
        ("root/nothing", "BAD_CWD"),
        ("root/a.png", "BAD_CWD"),
        ("root/a.png/..", "BAD_CWD"),
        ("root/inside\u{0}/../../outside", "BAD_CWD"),
        // Forms of Windows, which are names like others here, and are not there.
        ("root/C:\\Windows", "BAD_CWD"),
        ("root/\\\\server\\share", "BAD_CWD"),
        ("root/%2e%2e/outside", "BAD_CWD"),
    ] {
        let body = json!({"prompt": "SAY:never", "cwd": tree.path(cwd)});
        let reply = tree.post("/v1/sessions", &body).await?;
        assert_eq!(reply.body["code"], code, "{cwd}: {reply:?}");
        let shown = reply.body["detail"].as_str().unwrap_or_default();
        assert!(shown.len() > 20 && !shown.chars().any(char::is_control), "{cwd}: {shown}");
    }
    for cwd in ["C:\\Windows", "\\\\server\\share", "\\\\?\\C:\\", "..", "inside", "./inside", "~", "", " "] {
        let reply = tree.post("/v1/sessions", &json!({"prompt": "SAY:never", "cwd": cwd})).await?;
        assert_eq!(reply.body["code"], "BAD_CWD", "{cwd:?}: {reply:?}");
    }
    assert_eq!(tree.folders_that_codex_was_given()?, Vec::<String>::new());
    assert_eq!(tree.rig.daemon.get("/v1/sessions").await?.body["sessions"], json!([]), "nothing is left of them");

    // What lies in a root may be used by any name, and Codex is given the true one.
    for (cwd, real) in [
        ("root", "root"),
        ("root/inside", "root/inside"),
        ("root/in/deep", "root/inside/deep"),
        ("root/inside/..", "root"),
        ("outside/back/inside", "root/inside"),
        ("extra", "real-extra"),
        ("extra/work", "real-extra/work"),
        ("real-extra/work", "real-extra/work"),
    ] {
        let made = tree.post("/v1/sessions?wait=60", &json!({"prompt": "SAY:ok", "cwd": tree.path(cwd)})).await?;
        assert_eq!(made.body["turn"]["answer"], "ok", "{cwd}: {made:?}");
        assert_eq!(made.body["session"]["cwd"], tree.path(real), "{cwd}");
        let given = tree.folders_that_codex_was_given()?;
        assert!(given.iter().any(|given| *given == tree.path(real)), "{cwd}: {given:?}");
    }
    let roots = [tree.path("root"), tree.path("real-extra")];
    let given = tree.folders_that_codex_was_given()?;
    assert!(
        given.iter().all(|given| roots.iter().any(|root| std::path::Path::new(given).starts_with(root))),
        "{given:?}"
    );
    tree.rig.assert_calm();
    Ok(())
}

/// A folder that was fine when its session was made, and is a link to elsewhere when a turn is to run in it.
#[tokio::test]
async fn a_folder_that_is_swapped_for_a_link_is_looked_at_again_before_every_turn() -> Result<()> {
    let tree = Tree::new().await?;
    let swapped = tree.base.join("root/swapped");
    let made = tree.post("/v1/sessions?wait=60", &json!({"prompt": "SAY:ok", "cwd": utf8(&swapped)?})).await?;
    assert_eq!(made.body["turn"]["answer"], "ok", "{made:?}");
    let turns = format!("/v1/sessions/{}/turns?wait=60", made.body["session"]["id"].as_str().context("no id")?);
    fs::remove_dir(&swapped)?;
    symlink("../outside", &swapped)?;
    let refused = tree.post(&turns, &json!({"prompt": "SAY:never"})).await?;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("CWD_FORBIDDEN")), "{refused:?}");
    fs::remove_file(&swapped)?;
    let refused = tree.post(&turns, &json!({"prompt": "SAY:never"})).await?;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("BAD_CWD")), "{refused:?}");
    fs::create_dir(&swapped)?;
    let again = tree.post(&turns, &json!({"prompt": "SAY:again"})).await?;
    assert_eq!(again.body["turn"]["answer"], "again", "{again:?}");
    let outside = tree.path("outside");
    assert!(!tree.folders_that_codex_was_given()?.iter().any(|given| given.starts_with(&outside)));
    Ok(())
}

/// A picture is a file that Codex reads for whoever asks: only within the roots, and nobody learns what is elsewhere.
#[tokio::test]
async fn no_picture_outside_of_the_roots_is_shown_to_a_model() -> Result<()> {
    let tree = Tree::new().await?;
    let picture = async |path: &str| -> Result<Reply> {
        let input = json!([{"type": "text", "text": "SAY:seen"}, {"type": "localImage", "path": path}]);
        tree.post("/v1/sessions?wait=60", &json!({ "input": input })).await
    };
    for path in [
        tree.path("outside/secret.png"),
        tree.path("outside/nothing.png"),
        tree.path("root/secret.png"),
        tree.path("root/out/secret.png"),
        tree.path("root/../outside/secret.png"),
        tree.path("root-evil/c.png"),
        tree.path("root/top/etc/passwd"),
        "/etc/passwd".to_owned(),
        "/etc/nothing".to_owned(),
        "../outside/secret.png".to_owned(),
        "out/secret.png".to_owned(),
    ] {
        let refused = picture(&path).await?;
        assert_eq!((refused.status, &refused.body["code"]), (403, &json!("CWD_FORBIDDEN")), "{path}: {refused:?}");
    }
    for path in ["circle", "dangling", "inside", "nothing.png"] {
        let refused = picture(path).await?;
        ensure!(refused.status == 400 || refused.status == 403, "{path}: {refused:?}");
    }
    assert_eq!(tree.rig.heard()?.iter().filter(|heard| heard["method"] == "turn/start").count(), 0);
    for path in [tree.path("root/a.png"), "a.png".to_owned(), tree.path("extra/d.png")] {
        let seen = picture(&path).await?;
        assert_eq!(seen.body["turn"]["answer"], "seen", "{path}: {seen:?}");
    }
    Ok(())
}
