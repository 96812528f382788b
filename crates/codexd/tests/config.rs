//! The configuration file, on the real program: which of its layers counts, what is refused, and `codexd config`.
#![cfg(unix)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Lab, fake_codex};
use tokio::process::Command;

const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn run(mut command: Command) -> Result<Ran> {
    let output = command.stdin(Stdio::null()).output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
}

/// An empty machine whose store is named by nobody.
async fn lab() -> Result<Lab> {
    Lab::new(CODEXD).await
}

fn command(lab: &Lab, args: &[&str]) -> Command {
    let mut command = lab.command(args);
    command.env_remove("CODEXD_STORE_DIR");
    command
}

/// Where this user's file is.
async fn default_file(lab: &Lab) -> Result<PathBuf> {
    let ran = run(command(lab, &["config", "path"])).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    Ok(ran.out.trim_end().into())
}

async fn write_default(lab: &Lab, text: &str) -> Result<PathBuf> {
    let path = default_file(lab).await?;
    fs::create_dir_all(path.parent().context("no folder")?)?;
    write(&path, text)?;
    Ok(path)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

/// What `codexd config show --json` says of one setting.
fn shown<'a>(show: &'a Value, name: &str) -> &'a Value {
    let settings = show["settings"].as_array().into_iter().flatten();
    settings.into_iter().find(|setting| setting["name"] == name).unwrap_or(&Value::Null)
}

async fn show(command: Command) -> Result<Value> {
    let ran = run(command).await?;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    Ok(serde_json::from_str(&ran.out)?)
}

#[tokio::test]
async fn the_daemon_takes_a_flag_before_the_environment_before_the_file() -> Result<()> {
    let mut lab = lab().await?;
    let base = lab.dir.path().canonicalize()?;
    lab.store = base.join("store of the file");
    let text = format!(
        "host = '127.0.0.3'\nport = 0\ncodex-cmd = {:?}\nno_auth = true\nstore-dir = {:?}\n",
        fake_codex()?,
        lab.store
    );
    write_default(&lab, &text).await?;
    let cases: [(&[&str], Option<&str>, &str); 4] = [
        (&["serve"], None, "127.0.0.3"),
        (&[], None, "127.0.0.3"),
        (&["serve"], Some("127.0.0.2"), "127.0.0.2"),
        (&["serve", "--host", "127.0.0.1"], Some("127.0.0.2"), "127.0.0.1"),
    ];
    for (args, env, host) in cases {
        let mut command = command(&lab, args);
        command.envs(env.map(|host| ("CODEXD_HOST", host)));
        let daemon = lab.boot(command).await?;
        daemon.ready().await?;
        assert!(daemon.url.starts_with(&format!("http://{host}:")), "{args:?} {env:?}: {}", daemon.url);
        assert_eq!(daemon.get("/health").await?.body["authRequired"], false, "{args:?}");
        // Other commands find the daemon by the same file.
        let status = run(self::command(&lab, &["status"])).await?;
        assert_eq!(status.code, Some(0), "{}", status.err);
        daemon.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn show_tells_where_each_value_comes_from() -> Result<()> {
    let lab = lab().await?;
    let file = lab.project.join("mine.toml");
    write(
        &file,
        "# mine\nport = 1\nmodel = 'm'\nallow_root = ['/a:b', 'c']\nallow-never = true\nhost = '127.0.0.3'\n",
    )?;
    let mut asked =
        command(&lab, &["config", "show", "--json", "--config", "mine.toml", "--port", "3", "--token", "sesame"]);
    asked.env("CODEXD_PORT", "2").env("CODEXD_MODEL", "e").env("CODEXD_ALLOW_NEVER", "0");
    asked.env("CODEXD_STORE_DIR", &lab.store);
    let show = show(asked).await?;
    let of_file = |line: u32| json!({"kind": "file", "file": file, "line": line});
    let of_environment = |name: &str| json!({"kind": "environment", "name": name});
    let expected = [
        ("port", json!(3), json!({"kind": "flag", "name": "--port"})),
        ("model", json!("e"), of_environment("CODEXD_MODEL")),
        ("allow-never", json!(false), of_environment("CODEXD_ALLOW_NEVER")),
        ("allow-root", json!(["/a:b", lab.project.join("c")]), of_file(4)),
        ("host", json!("127.0.0.3"), of_file(6)),
        ("no-auth", json!(false), json!({"kind": "default"})),
        ("cwd", json!(null), json!({"kind": "default"})),
        ("max-connections", json!(1024), json!({"kind": "default"})),
        ("store-dir", json!(lab.store), of_environment("CODEXD_STORE_DIR")),
        ("token", json!("(set)"), json!({"kind": "flag", "name": "--token"})),
    ];
    for (name, value, origin) in expected {
        assert_eq!(shown(&show, name), &json!({"name": name, "value": value, "origin": origin}));
    }
    Ok(())
}

#[tokio::test]
async fn flags_keep_their_delimiter_and_the_file_has_none() -> Result<()> {
    let lab = lab().await?;
    write_default(&lab, "allow-host = ['a,b']\nallow-root = ['/a:b']\n").await?;
    let mut asked = command(&lab, &["config", "show", "--json", "--allow-host", "c,d"]);
    asked.env("CODEXD_ALLOW_ROOT", "/e:/f");
    let both = show(asked).await?;
    assert_eq!(shown(&both, "allow-host")["value"], json!(["c", "d"]));
    assert_eq!(shown(&both, "allow-root")["value"], json!(["/e", "/f"]));
    let file = show(command(&lab, &["config", "show", "--json"])).await?;
    assert_eq!(shown(&file, "allow-host")["value"], json!(["a,b"]));
    assert_eq!(shown(&file, "allow-root")["value"], json!(["/a:b"]));
    Ok(())
}

#[tokio::test]
async fn a_token_is_never_shown() -> Result<()> {
    let lab = lab().await?;
    for format in [&["config", "show"][..], &["config", "show", "--json"]] {
        let mut asked = command(&lab, format);
        asked.env("CODEXD_TOKEN", "sesame");
        let ran = run(asked).await?;
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(ran.out.contains("(set)") && ran.out.contains("CODEXD_TOKEN"), "{}", ran.out);
        assert!(!(ran.out + &ran.err).contains("sesame"));
    }
    let path = write_default(&lab, "\ntoken = 'sesame'\n").await?;
    let ran = run(command(&lab, &["serve"])).await?;
    assert_eq!(ran.code, Some(64), "{}", ran.err);
    assert!(ran.err.contains(&format!("{}:2: ", path.display())) && ran.err.contains("token-file"), "{}", ran.err);
    assert!(!ran.err.contains("sesame"), "{}", ran.err);
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_in_the_file_keeps_the_daemon_from_starting() -> Result<()> {
    let lab = lab().await?;
    let path = write_default(&lab, "").await?;
    let cases = [
        ("\n\nprot = 8787\n", ":3: there is no setting \"prot\"; did you mean \"port\"?"),
        ("allow_roots = []\n", ":1: there is no setting \"allow_roots\"; did you mean \"allow-root\"?"),
        ("port = '8787'\n", ":1:8: \"port\" is the string \"8787\" and must be a number"),
        ("port = 70000\n", ":1:8: \"port\" can't be the number 70000"),
        ("no-auth = 1\n", ":1:11: \"no-auth\" is the number 1 and must be true or false"),
        ("turn-timeout = 'soon'\n", ":1:16: \"turn-timeout\" can't be the string \"soon\""),
        ("sandbox = 'none'\n", ":1:11: \"sandbox\" can't be the string \"none\""),
        ("port = \n", ":1:"),
        // What the settings say together is checked later, and told with the same place.
        ("host = 'example.org'\n", ":1)"),
        ("\napproval-policy = 'never'\n", ":2)"),
        ("allow-root = ['nowhere']\n", ":1)"),
        ("token-file = 'nowhere'\n", ":1)"),
        ("codex-cmd = './nowhere'\n", ":1)"),
    ];
    for (text, expected) in cases {
        write(&path, text)?;
        for args in [&["serve"][..], &["--port=0"], &["--json", "serve"]] {
            // A flag does not heal what is wrong with the file.
            let ran = run(command(&lab, args)).await?;
            assert_eq!(ran.code, Some(64), "{text} {args:?}: {}", ran.err);
            assert!(ran.err.contains(&format!("{}{expected}", path.display())), "{text}: {}", ran.err);
            assert!(!ran.err.contains("panicked"), "{text}: {}", ran.err);
        }
    }
    assert!(!default_store(&lab).exists(), "it did not begin to serve");
    write(&path, "prot = 1\nhosts = 'x'\n")?;
    let ran = run(command(&lab, &["config", "show"])).await?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""));
    assert!(ran.err.contains("config.toml:1: ") && ran.err.contains("config.toml:2: "), "both are told: {}", ran.err);
    Ok(())
}

fn default_store(lab: &Lab) -> PathBuf {
    lab.dir.path().join("home/.local/state/codex-mcp-bridge")
}

#[tokio::test]
async fn other_commands_want_nothing_but_the_store() -> Result<()> {
    let lab = lab().await?;
    let path = write_default(&lab, "prot = 1\nport = 'x'\nstore_dir = '../elsewhere'\n").await?;
    let ran = run(command(&lab, &["status"])).await?;
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.err.contains("elsewhere"), "{}", ran.err);
    let ran = run(command(&lab, &["status", "--store-dir", "/named"])).await?;
    assert!(ran.code == Some(3) && ran.err.contains("`/named`"), "{}", ran.err);

    write(&path, "store-dir = 7\n")?;
    assert_eq!(run(command(&lab, &["status"])).await?.code, Some(64));
    write(&path, "what is this")?;
    let ran = run(command(&lab, &["status"])).await?;
    assert!(
        ran.code == Some(64) && ran.err.contains("config.toml:1:"),
        "where the store is can't be told: {}",
        ran.err
    );
    let ran = run(command(&lab, &["status", "--store-dir", "/named"])).await?;
    assert_eq!(ran.code, Some(3), "the file is not needed: {}", ran.err);
    Ok(())
}

#[tokio::test]
async fn a_file_that_was_named_must_be_there() -> Result<()> {
    let lab = lab().await?;
    for args in [&["serve"][..], &["--port", "0"], &["status"], &["status", "--store-dir", "/x"], &["config", "show"]] {
        let mut by_environment = command(&lab, args);
        by_environment.env("CODEXD_CONFIG", "nowhere.toml");
        let by_flag = command(&lab, &[&["--config", "nowhere.toml"], args].concat());
        for asked in [by_environment, by_flag] {
            let ran = run(asked).await?;
            assert_eq!(ran.code, Some(64), "{args:?}: {}", ran.err);
            let path = lab.project.join("nowhere.toml");
            assert!(ran.err.contains(&*path.to_string_lossy()), "{args:?}: {}", ran.err);
        }
    }
    assert_eq!(run(command(&lab, &["status"])).await?.code, Some(3), "nobody named one, and there is none");
    Ok(())
}

#[tokio::test]
async fn init_writes_a_file_that_says_nothing_until_it_is_uncommented() -> Result<()> {
    let lab = lab().await?;
    let path = default_file(&lab).await?;
    assert!(path.starts_with(lab.dir.path().canonicalize()?) || path.starts_with(lab.dir.path()), "{}", path.display());
    let found = show(command(&lab, &["config", "path", "--json"])).await?;
    assert_eq!(found, json!({"path": path, "exists": false}));

    let ran = run(command(&lab, &["config", "init"])).await?;
    assert_eq!((ran.code, ran.out.trim_end()), (Some(0), path.to_str().context("not UTF-8")?), "{}", ran.err);
    let mode = |path: &Path| Ok::<_, std::io::Error>(fs::metadata(path)?.permissions().mode() & 0o777);
    let folder = path.parent().context("no folder")?;
    assert_eq!((mode(&path)?, mode(folder)?), (0o600, 0o700));
    assert_eq!(fs::read_dir(folder)?.count(), 1, "nothing else is left there");

    let without = show(command(&lab, &["config", "show", "--json"])).await?;
    let settings = without["settings"].as_array().context("no settings")?;
    assert!(settings.len() > 20 && settings.iter().all(|setting| setting["origin"]["kind"] == "default"), "{without}");

    let text = fs::read_to_string(&path)?;
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => setting,
            _ => line,
        })
        .collect();
    write(&path, &uncommented.join("\n"))?;
    let with = show(command(&lab, &["config", "show", "--json"])).await?;
    for (before, after) in settings.iter().zip(with["settings"].as_array().context("no settings")?) {
        assert_eq!(before["name"], after["name"]);
        let kind = if before["name"] == "token" { "default" } else { "file" };
        assert_eq!(after["origin"]["kind"], kind, "{after}");
        let was = &before["value"];
        assert!(
            was.is_null() || was.as_array().is_some_and(Vec::is_empty) || *was == after["value"],
            "{before} {after}"
        );
    }

    assert_eq!((&without["hooks"], with["hooks"].as_array().map(Vec::len)), (&json!([]), Some(2)));

    let again = run(command(&lab, &["config", "init"])).await?;
    assert!(again.code == Some(1) && again.err.contains("--force"), "{}", again.err);
    assert_eq!(fs::read_to_string(&path)?, uncommented.join("\n"), "what somebody wrote is untouched");
    let forced = show(command(&lab, &["config", "init", "--force", "--json"])).await?;
    assert_eq!((&forced["path"], fs::read_to_string(&path)?), (&json!(path), text));
    assert_eq!(mode(&path)?, 0o600);
    Ok(())
}

#[tokio::test]
async fn init_and_path_want_no_file_and_mind_none_that_is_broken() -> Result<()> {
    let lab = lab().await?;
    let named = lab.project.join("sub/other.toml");
    let init = run(command(&lab, &["--config", "sub/other.toml", "config", "init"])).await?;
    assert!(init.code == Some(0) && named.is_file(), "{}", init.err);
    write(&named, "broken")?;
    let path = run(command(&lab, &["config", "path", "--config", "sub/other.toml"])).await?;
    assert_eq!((path.code, path.out.trim_end()), (Some(0), named.to_str().context("not UTF-8")?));
    let link = lab.project.join("link.toml");
    std::os::unix::fs::symlink(&named, &link)?;
    let init = run(command(&lab, &["--config", "link.toml", "config", "init", "--force"])).await?;
    assert_eq!(init.code, Some(0), "{}", init.err);
    assert!(link.is_symlink() && fs::read_to_string(&named)?.contains("#port = 8787"), "the link stays a link");
    Ok(())
}

#[tokio::test]
async fn a_file_that_others_may_write_is_told_of() -> Result<()> {
    let lab = lab().await?;
    let path = write_default(&lab, "port = 0\nno-auth = true\n").await?;
    let codex = fake_codex()?;
    let codex = codex.to_str().context("not UTF-8")?;
    for (mode, told) in [(0o644, false), (0o664, true), (0o602, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        let ran = run(command(&lab, &["config", "show"])).await?;
        assert_eq!((ran.code, ran.err.contains("chmod go-w")), (Some(0), told), "{mode:o}: {}", ran.err);
    }
    let daemon = lab.boot(lab.command(&["serve", "--codex-cmd", codex])).await?;
    assert!(daemon.log().contains("chmod go-w"), "{}", daemon.log());
    daemon.stop().await
}

#[tokio::test]
async fn a_variable_that_cannot_be_used_is_named() -> Result<()> {
    let lab = lab().await?;
    let serving: [&[&str]; 3] = [&["serve"], &[], &["config", "show"]];
    let all: [&[&str]; 4] = [&["serve"], &[], &["status"], &["config", "path"]];
    for (name, value, commands) in [
        ("CODEXD_PORT", "x", &serving[..]),
        ("CODEXD_SANDBOX", "foo", &serving),
        ("CODEXD_STORE_DIR", "", &all),
        ("CODEXD_CONFIG", "", &all),
    ] {
        for args in commands {
            let mut asked = command(&lab, args);
            asked.env(name, value);
            let ran = run(asked).await?;
            assert_eq!(ran.code, Some(64), "{name} {args:?}: {}", ran.err);
            assert!(
                ran.err.contains(&format!("variable {name} ")) && !ran.err.contains("Usage"),
                "{args:?}: {}",
                ran.err
            );
        }
    }
    let mut json = command(&lab, &["--json", "status"]);
    json.env("CODEXD_STORE_DIR", "");
    let error: Value = serde_json::from_str(&run(json).await?.out)?;
    assert!(error["error"].as_str().is_some_and(|text| text.contains("CODEXD_STORE_DIR")), "{error}");
    // A flag is a flag, and wins.
    let mut flag = command(&lab, &["serve", "--port", "x"]);
    flag.env("CODEXD_PORT", "1");
    assert_eq!(run(flag).await?.code, Some(2));
    let mut wins = command(&lab, &["config", "show", "--port", "1"]);
    wins.env("CODEXD_PORT", "x");
    assert_eq!(run(wins).await?.code, Some(0));
    let mut both = command(&lab, &["serve", "--nope"]);
    both.env("CODEXD_PORT", "x");
    assert_eq!(run(both).await?.code, Some(2), "the flag is wrong, too");
    Ok(())
}

#[tokio::test]
async fn wrong_usage_is_told_to_programs_too() -> Result<()> {
    let lab = lab().await?;
    for (args, word) in [
        (&["--json", "start", "--nope"][..], "--nope"),
        (&["sessions", "list", "--json", "--limit", "0"], "0"),
        (&["--json"], "--json"),
        (&["turn", "--json"], "turn"),
    ] {
        let ran = run(command(&lab, args)).await?;
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.err);
        let error: Value = serde_json::from_str(&ran.out).with_context(|| format!("{args:?}: {}", ran.out))?;
        let text = error["error"].as_str().context("no error")?;
        assert!(text.contains(word) && !text.contains("Usage:"), "{args:?}: {text}");
        assert!(!ran.err.is_empty(), "people are told, too");
    }
    let mut variable = command(&lab, &["nonsense"]);
    variable.env("CODEXD_JSON", "1");
    assert!(run(variable).await?.out.starts_with("{\"error\""));
    assert_eq!(run(command(&lab, &["start", "--nope", "--", "--json"])).await?.out, "", "that is a prompt");
    Ok(())
}
