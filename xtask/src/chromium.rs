//! Asks a real Chromium: a page of another origin tries all that a page can do against a running daemon, and nothing happens.
//!
//! Not part of the tests: Chromium is some 400 MB from Debian. What a browser sends is in `codexd/tests/hostile/pages.rs` byte by byte; this shows
//! that browsers send no more than that, and let pages read nothing.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::sh;

/// How long codexd may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the page tries. Each says whether it could read anything, and a script says what came of it.
const PAGE: &str = include_str!("chromium.html");

/// A child that does not outlive us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tries it with and without `--no-auth`.
pub(crate) fn check() -> Result<()> {
    if !sh::works(Command::new("chromium").arg("--version")) {
        sh::run(
            "installing Chromium (once, as root, from Debian)",
            Command::new("apt-get").args(["install", "-y", "chromium"]),
        )?;
    }
    let build = ["build", "--package", "codex-mcp-bridge", "--package", "testkit", "--bins", "--locked"];
    sh::run("building codexd and its double of Codex", sh::cargo().args(build))?;
    let evil = serve_page()?;
    for flags in [&["--no-auth"][..], &["--token", "sesame"]] {
        try_with(flags, evil)?;
    }
    sh::say("a foreign page could do nothing");
    Ok(())
}

fn try_with(flags: &[&str], evil: SocketAddr) -> Result<()> {
    let base = sh::root().join("target/chromium");
    if base.exists() {
        fs::remove_dir_all(&base)?;
    }
    let (store, project) = (base.join("store"), base.join("project"));
    fs::create_dir_all(&project)?;
    let bins = sh::root().join("target/debug");
    let heard = base.join("heard.jsonl");
    let mut command = Command::new(bins.join("codexd"));
    command
        .args(["serve", "--port", "0", "--codex-cmd"])
        .arg(bins.join("fake-codex"))
        .args(flags)
        .current_dir(&project);
    command.env("CODEXD_STORE_DIR", &store).env("CODEX_HOME", base.join("codex-home")).env("FAKE_CODEX_LOG", &heard);
    // It is killed in the end, and nothing is to be left of it.
    command.env("CODEXD_ORPHAN_GRACE", "1s").env("CODEXD_ORPHAN_MAX", "1s");
    let _daemon = Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let url = listens(&store)?;
    let port = url.rsplit(':').next().context("no port")?.to_owned();

    // A page of another origin. Its name is made to point here, as a rebinding name would.
    let page = format!("http://evil.example:{}/?{port}", evil.port());
    let dom = chromium(&base, &page)?;
    let told = dom.split("<pre id=\"told\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let told: Value =
        serde_json::from_str(&told.with_context(|| format!("the page said nothing: {dom}"))?.replace("&amp;", "&"))?;
    sh::say(&format!("{}: {told}", flags[0]));
    let tries = told.as_object().context("no tries")?;
    ensure!(tries.len() >= 9, "the page did not come to its end: {told}");
    for (name, outcome) in tries {
        ensure!(outcome == "nothing", "{name}: {outcome}");
    }
    // And one whose name points to the daemon itself.
    let rebound = chromium(&base, &format!("http://evil.example:{port}/v1/sessions"))?;
    ensure!(rebound.contains("BAD_HOST"), "a rebound name was answered: {rebound}");

    let heard = fs::read_to_string(&heard).unwrap_or_default();
    ensure!(!heard.contains("\"turn/start\"") && !heard.contains("\"thread/start\""), "Codex heard of it: {heard}");
    let mut list = Command::new(bins.join("codexd"));
    let listed = list.args(["sessions", "--json"]).env("CODEXD_STORE_DIR", &store).output()?;
    let listed: Value = serde_json::from_slice(&listed.stdout)?;
    ensure!(listed["sessions"] == serde_json::json!([]), "there is a session: {listed}");
    // They did arrive.
    let audit = fs::read_to_string(store.join("audit.jsonl"))?;
    let foreign = audit.lines().filter(|line| line.contains("request.foreign")).count();
    ensure!(foreign >= 5, "only {foreign} requests were refused: {audit}");
    Ok(())
}

/// What a page looks like when its scripts are done.
fn chromium(base: &Path, url: &str) -> Result<String> {
    let mut command = Command::new("chromium");
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=15000", "--dump-dom"]);
    command.arg("--host-resolver-rules=MAP evil.example 127.0.0.1");
    command.arg(format!("--user-data-dir={}", base.join("chromium").display())).arg(url);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().context("Chromium can't be run")?;
    ensure!(output.status.success(), "Chromium ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn listens(store: &Path) -> Result<String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let file = fs::read(store.join("daemon.json")).ok();
        if let Some(file) = file.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) {
            return Ok(file["http"].as_str().context("no address")?.to_owned());
        }
        ensure!(Instant::now() < until, "codexd does not listen");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Serves the page to whoever asks, until we end.
fn serve_page() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 8192];
            let count = stream.read(&mut head).unwrap_or(0);
            let wanted = head[..count].starts_with(b"GET /?");
            let (status, body) = if wanted { ("200 OK", PAGE) } else { ("404 Not Found", "") };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    Ok(address)
}
