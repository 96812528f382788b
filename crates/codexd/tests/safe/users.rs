//! Another user of the machine, and somebody who has taken the port.
//!
//! A second user takes a root to become one, and on Linux a root must get one (`setpriv`, `useradd`), or the tests fail. Where they run as somebody else,
//! the second user is played by what can be: the modes that keep one out are asserted, and everything that needs no other user id is done as the
//! same user. `cargo xtask test` says at its end which it was.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testkit::{Lab, fake_codex, squatter};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpListener,
    process::Command,
};

use crate::{
    fake_codex_rig::{Rig, lab, run},
    wire::Call,
};

/// A user that was made for this test, and goes with it.
struct Stranger(Option<String>);

impl Stranger {
    /// A new user of the system; none where only a root could make one.
    fn new() -> Result<Self> {
        if !fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0) {
            return Ok(Self(None));
        }
        let name = format!("cdx{}", std::process::id());
        for args in [&["setpriv", "--version"][..], &["useradd", "--no-create-home", "--shell", "/bin/sh", &name]] {
            let made = std::process::Command::new(args[0]).args(&args[1..]).output();
            let made = made.with_context(|| format!("root needs `{}` for this test", args[0]))?;
            ensure!(made.status.success(), "{args:?}: {}", String::from_utf8_lossy(&made.stderr));
        }
        Ok(Self(Some(name)))
    }

    /// This, done by that user.
    fn command(&self, script: &str) -> Option<Command> {
        let name = self.0.as_ref()?;
        let mut command = Command::new("setpriv");
        command.args(["--reuid", name, "--regid", name, "--clear-groups", "sh", "-c", script]);
        command.current_dir("/").kill_on_drop(true);
        Some(command)
    }

    async fn does(&self, script: &str) -> Result<Option<(bool, String)>> {
        let Some(command) = self.command(script) else { return Ok(None) };
        let (output, text) = run(command).await?;
        Ok(Some((output.status.success(), text)))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        if let Some(name) = &self.0 {
            let _ = std::process::Command::new("userdel").arg(name).stderr(Stdio::null()).status();
        }
    }
}

/// A copy of a program where everybody may run it: the target folder may lie where others can't go.
fn for_all(lab: &Lab, program: &Path) -> Result<PathBuf> {
    let copy = lab.dir.path().join(program.file_name().context("a program")?);
    fs::copy(program, &copy)?;
    for path in [&copy, lab.dir.path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(copy)
}

#[tokio::test]
async fn another_user_reads_neither_store_nor_socket_nor_prompts_and_gets_401() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let secret = "a prompt for nobody else";
    // By the command line, where it could be seen by `ps` for as long as that runs: from stdin it can't.
    let mut command = rig.lab.command(&["start", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let prompt = format!("SLOW:40:50\n{secret}");
    tokio::io::AsyncWriteExt::write_all(&mut child.stdin.take().context("no stdin")?, prompt.as_bytes()).await?;
    testkit::eventually("the turn to run", async || {
        let heard = rig.heard().ok()?;
        (!crate::fake_codex_rig::of_method(&heard, "turn/start").is_empty()).then_some(())
    })
    .await?;

    let (store, stranger) = (&rig.lab.store, Stranger::new()?);
    // The lab's own folder keeps everybody out; what is asserted is that the store does.
    for folder in [rig.lab.dir.path(), &rig.lab.project] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    let store_shown = store.display();
    for script in [
        format!("ls {store_shown}"),
        format!("cat {store_shown}/store.db"),
        format!("cat {store_shown}/daemon.json"),
        format!("cat {store_shown}/audit.jsonl"),
        format!("ls {store_shown}/agents"),
    ] {
        if let Some((done, text)) = stranger.does(&script).await? {
            assert!(!done && text.contains("ermission denied"), "{script}: {text}");
        }
    }
    for (name, mode) in
        [(".", 0o700), ("store.db", 0o600), ("daemon.json", 0o600), ("codexd.sock", 0o600), ("agents", 0o700)]
    {
        assert_eq!(fs::metadata(store.join(name))?.mode() & 0o777, mode, "{name}");
    }
    // Their own codexd finds none of ours.
    let codexd = for_all(&rig.lab, Path::new(env!("CARGO_BIN_EXE_codexd")))?;
    let status = format!("{} --store-dir {store_shown} status; echo exit $?", codexd.display());
    if let Some((_, text)) = stranger.does(&status).await? {
        let refused = text.contains("daemon.json") && text.contains("ermission denied") && text.contains("exit 1");
        assert!(refused && !text.contains(secret), "{text}");
    }
    // What everybody can see of processes has no prompt in it.
    let seen = match stranger.does("ps -ef 2>/dev/null || cat /proc/[0-9]*/cmdline").await? {
        Some((_, text)) => text,
        None => {
            run({
                let mut command = Command::new("sh");
                command.args(["-c", "ps -ef 2>/dev/null || cat /proc/[0-9]*/cmdline"]);
                command
            })
            .await?
            .1
        }
    };
    assert!(seen.contains("codexd") && !seen.contains(secret), "{seen}");
    // By TCP they get as far as anybody.
    let address = rig.daemon.url.trim_start_matches("http://").to_owned();
    let (host, port) = address.split_once(':').context("no port")?;
    let ask = format!(
        "exec 3<>/dev/tcp/{host}/{port}; printf 'GET /v1/sessions HTTP/1.1\\r\\nHost: {address}\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3"
    );
    if let Some((_, text)) =
        stranger.does(&format!("bash -c \"{}\"", ask.replace('\\', "\\\\").replace('"', "\\\""))).await?
    {
        assert!(text.contains("401 Unauthorized") && !text.contains(secret), "{text}");
    }
    assert_eq!(Call::get("/v1/sessions").send(&rig.tcp()).await?.status, 401);
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    rig.assert_calm();
    Ok(())
}

/// A daemon that died without a word, and a store that still says where it was.
fn announce(lab: &Lab, pid: u32, url: &str) -> Result<()> {
    fs::create_dir_all(&lab.store)?;
    let file = json!({
        "pid": pid, "startedAt": types::Timestamp::now(), "version": "2", "http": url, "socket": lab.store.join("codexd.sock"),
    });
    Ok(fs::write(lab.store.join("daemon.json"), file.to_string())?)
}

/// Runs the command line with a token against that; what it says.
async fn ask(lab: &Lab) -> Result<String> {
    let mut command = lab.command(&["start", "a prompt for nobody else"]);
    command.env("CODEXD_TOKEN", "sesame");
    let (output, text) = run(command).await?;
    ensure!(!output.status.success(), "{text}");
    Ok(text)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn whoever_took_the_port_before_us_is_told_nothing() -> Result<()> {
    let lab = lab().await?;
    // Somebody has the port before codexd starts.
    let squatter = TcpListener::bind("127.0.0.1:0").await?;
    let address = squatter.local_addr()?;
    let codex = fake_codex()?;
    let port = address.port().to_string();
    let args = ["serve", "--port", &port, "--codex-cmd", codex.to_str().context("a path")?];
    let (output, text) = run(lab.command(&args)).await?;
    assert!(!output.status.success() && text.contains("is in use"), "{text}");
    let text = ask(&lab).await?;
    assert!(text.contains("no codexd is running"), "{text}");

    // And has it when a daemon is gone whose number another process of ours has now.
    let heard = tokio::spawn(async move {
        let (mut stream, _) = squatter.accept().await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        anyhow::Ok(bytes)
    });
    let mut other = Command::new("sleep").arg("600").kill_on_drop(true).spawn()?;
    announce(&lab, other.id().context("no pid")?, &format!("http://{address}"))?;
    let text = ask(&lab).await?;
    assert!(text.contains("is not the codexd of this store") && text.contains("Nothing was sent"), "{text}");
    assert!(!text.contains("sesame"), "{text}");
    assert_eq!(heard.await??, b"", "the squatter was told something");
    other.kill().await?;
    Ok(())
}

/// The same with a squatter who is another user.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn another_user_who_took_the_port_is_told_nothing() -> Result<()> {
    let (lab, stranger) = (lab().await?, Stranger::new()?);
    let program = for_all(&lab, &squatter()?)?;
    let mut command =
        stranger.command(&format!("exec {}", program.display())).unwrap_or_else(|| Command::new(&program));
    command.kill_on_drop(true);
    let mut squatter = command.stdout(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(squatter.stdout.take().context("no stdout")?).lines();
    let port = said.next_line().await?.context("no port")?;
    if stranger.0.is_some() {
        let owner = fs::metadata(format!("/proc/{}", squatter.id().context("no pid")?))?.uid();
        assert_ne!(owner, 0, "it listens as another user");
    }
    let mut other = Command::new("sleep").arg("600").kill_on_drop(true).spawn()?;
    announce(&lab, other.id().context("no pid")?, &format!("http://127.0.0.1:{port}"))?;
    let text = ask(&lab).await?;
    assert!(text.contains("is not the codexd of this store"), "{text}");
    assert_eq!(said.next_line().await?.as_deref(), Some("0"), "the squatter was told something");
    other.kill().await?;
    squatter.wait().await?;
    Ok(())
}
