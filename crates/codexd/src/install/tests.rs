//! Each test installs with an npm that is a shell script.

use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt as _};

use agent::locate::Platform;

use super::{last_words::TAIL_LINES, npm::npm_may_have, *};

/// A folder with an npm that is a shell script, and a store.
struct Bench {
    folder: tempfile::TempDir,
    path: OsString,
}

impl Bench {
    /// `script` runs in the partial folder with npm's arguments; `$codex` is where the program of a platform goes.
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let Platform { npm_suffix, triple, .. } = locate::platform().unwrap();
        let npm = folder.path().join("npm");
        let codex = format!("node_modules/@openai/codex-{npm_suffix}/vendor/{triple}/bin");
        let text = format!("#!/bin/sh\nset -e\ncodex={codex}/codex\nmkdir -p {codex} .npm/_cacache\n{script}\n");
        fs::write(&npm, text).unwrap();
        fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
        let system = std::env::var_os("PATH").unwrap_or_default();
        let entries = [folder.path().to_owned()].into_iter().chain(std::env::split_paths(&system));
        let path = std::env::join_paths(entries).unwrap();
        Self { folder, path }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("new/store")
    }

    async fn install(&self, version: &str) -> (anyhow::Result<Installed>, Vec<Progress>) {
        let mut seen = Vec::new();
        let done = install_with(&self.store(), Some(version), Some(&self.path), |progress| seen.push(progress)).await;
        (done, seen)
    }

    /// The text of the error, after which nothing may be left.
    async fn fails(&self, version: &str) -> String {
        let (done, _) = self.install(version).await;
        assert_eq!(self.left(), [""; 0]);
        done.unwrap_err().to_string()
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(installed_dir(&self.store())).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).filter(|name| name != ".lock").collect()
    }
}

const GOOD: &str = r#"printf '#!/bin/sh\necho codex-cli 0.169.0\n' > $codex; chmod +x $codex; echo "$@" > said"#;

#[tokio::test]
async fn installs_verifies_and_finds_it_again() {
    let bench = Bench::new(GOOD);
    let codex = installed_dir(&bench.store());
    let (done, seen) = bench.install("0.169.0").await;
    let done = done.unwrap();
    assert!(!done.already && done.path.starts_with(fs::canonicalize(codex.join("0.169.0")).unwrap()));
    assert_eq!(seen.first(), Some(&Progress::Resolving));
    assert!(seen.ends_with(&[Progress::Verifying, Progress::Done { path: done.path.clone() }]), "{seen:?}");
    assert_eq!(bench.left(), ["0.169.0"]);
    assert!(!codex.join("0.169.0/.npm").exists() && !codex.join("0.169.0/.codex").exists());
    assert_eq!(fs::metadata(bench.store()).unwrap().permissions().mode() & 0o777, 0o700);

    let said = fs::read_to_string(codex.join("0.169.0/said")).unwrap();
    let suffix = locate::platform().unwrap().npm_suffix;
    let wanted = format!("install @openai/codex-{suffix}@npm:@openai/codex@0.169.0-{suffix} --ignore-scripts ");
    assert!(said.starts_with(&wanted) && said.contains(&format!("--prefix {}", codex.display())), "{said}");

    let search = locate::Search { installed: codex, ..locate::Search::default() };
    assert_eq!(locate::locate(&search).unwrap().program, done.path);

    // Again, now without npm.
    let mut seen = Vec::new();
    let again = install_with(&bench.store(), None, None, |progress| seen.push(progress)).await.unwrap();
    assert_eq!(again, Installed { already: true, ..done.clone() });
    assert_eq!(seen, [Progress::Done { path: done.path }]);
}

#[tokio::test]
async fn a_program_of_another_version_is_not_installed() {
    let bench = Bench::new(GOOD);
    assert!(bench.fails("0.168.0").await.contains("calls itself `0.169.0`"));
    let bench = Bench::new(r#"printf '#!/bin/sh\necho no such library >&2; exit 3\n' > $codex; chmod +x $codex"#);
    let text = bench.fails("0.169.0").await;
    assert!(text.contains("does not run") && text.contains("no such library"), "{text}");
    let text = Bench::new("rm -r node_modules").fails("0.169.0").await;
    assert!(text.contains("brings no program"), "{text}");
}

#[tokio::test]
async fn npm_has_the_last_word_but_not_all_of_them() {
    let bench = Bench::new(
        "i=0; while [ $i -lt 3000 ]; do echo \"line $i\" >&2; i=$((i+1)); done\n\
         echo 'npm error code ETARGET' >&2; echo 'npm error A complete log of this run can be found in: /x' >&2; exit 1",
    );
    let text = bench.fails("0.168.0").await;
    assert!(text.starts_with("npm knows no Codex 0.168.0") && text.ends_with("npm error code ETARGET"), "{text}");
    assert_eq!(text.lines().count(), 1 + TAIL_LINES);
    let text = Bench::new("exit 7").fails("0.169.0").await;
    assert!(text.contains("exit status: 7") && text.contains("said nothing"), "{text}");
}

#[tokio::test]
async fn what_is_asked_for_must_be_exact_and_npm_must_be_there() {
    let bench = Bench::new("exit 1");
    for version in ["latest", "^0.1", "0.169", "0.169.0-linux-x64", "", "../../x", "0.169.0 --global"] {
        let text = bench.fails(version).await;
        assert!(text.contains("is not an exact version"), "{version}: {text}");
    }
    for path in [None, Some(OsStr::new("")), Some(OsStr::new("bin:.:/nowhere"))] {
        let error = install_with(&bench.store(), None, path, |_| {}).await.unwrap_err().to_string();
        assert!(error.contains("needs npm") && error.contains("--codex-cmd"), "{error}");
    }
    assert!(!bench.store().exists());
}

#[tokio::test]
async fn a_dropped_installation_leaves_nothing() {
    // The npm of a version manager: a parent that waits for the real one.
    let bench = Bench::new("echo package > node_modules/some; sh -c 'echo $$ > node_modules/pid; sleep 600'; exit 1");
    let partial = installed_dir(&bench.store()).join(format!("0.169.0.partial-{}", std::process::id()));
    let mut pid = None;
    let (written, mut is_written) = tokio::sync::mpsc::unbounded_channel();
    let store = bench.store();
    let installing = install_with(&store, None, Some(&bench.path), |_| {
        let text = fs::read_to_string(partial.join("node_modules/pid")).unwrap_or_default();
        let _ = text.trim().parse().map(|pid: i32| written.send(pid));
    });
    tokio::select! {
        done = installing => panic!("{done:?}"),
        seen = is_written.recv() => pid = pid.or(seen),
    }
    assert_eq!(bench.left(), [""; 0]);
    let pid = rustix::process::Pid::from_raw(pid.unwrap()).unwrap();
    let gone = async {
        while rustix::process::test_kill_process(pid).is_ok() && !is_zombie(pid.as_raw_nonzero().get()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("npm's child lives on");
}

/// Dead, and nobody has asked for how it ended: a container may have no init that does.
fn is_zombie(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[tokio::test]
async fn leftovers_of_the_dead_are_removed_and_nothing_else() {
    let bench = Bench::new(GOOD);
    let codex = installed_dir(&bench.store());
    for folder in ["0.98.0", "0.98.0.partial-1", "0.169.0.partial-4000000", "notes.partial-1", "0.169.0/node_modules"] {
        fs::create_dir_all(codex.join(folder).join("deep")).unwrap();
    }
    // Without a program in it, `0.169.0` is not an installation.
    assert!(!bench.install("0.169.0").await.0.unwrap().already);
    let mut left = bench.left();
    left.sort();
    assert_eq!(left, ["0.169.0", "0.98.0", "notes.partial-1"]);
}

#[tokio::test]
async fn one_at_a_time() {
    // Two at once would find each other's mark.
    let bench = Bench::new(&format!("mkdir ../mark; sleep 0.2; rmdir ../mark; {GOOD}"));
    let (first, second) = tokio::join!(bench.install("0.169.0"), bench.install("0.169.0"));
    assert_eq!([first.0.unwrap().already, second.0.unwrap().already], [false, true]);
    assert_eq!(second.1.iter().filter(|progress| **progress == Progress::Waiting).count(), 1);
}

#[test]
fn npm_is_not_told_to_install_elsewhere() {
    for bad in ["npm_config_prefix", "NPM_CONFIG_GLOBAL", "npm_config_dry-run", "CODEXD_TOKEN", "CODEX_THREAD_ID"] {
        assert!(!npm_may_have(OsStr::new(bad)), "{bad}");
    }
    // How to reach the network is the user's affair.
    for good in
        ["npm_config_registry", "npm_config_proxy", "npm_config_cafile", "npm_config_userconfig", "PATH", "HOME"]
    {
        assert!(npm_may_have(OsStr::new(good)), "{good}");
    }
}

#[test]
fn only_old_versions_bring_all_platforms() {
    let of = |version| Wanted::parse(version).unwrap().package();
    assert_eq!(of("0.98.0"), "@openai/codex@0.98.0");
    assert!(of("0.99.0").contains("@npm:@openai/codex@0.99.0-"));
    assert!(of("0.162.0-alpha.15").contains("@npm:@openai/codex@0.162.0-alpha.15-"));
}
