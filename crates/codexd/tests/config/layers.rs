//! Which layer counts: a flag, a variable of the environment, the file; and what is shown of it.

use anyhow::Result;
use serde_json::json;
use testkit::fake_codex;

use super::{command, lab, run, show, shown, write, write_default};

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
