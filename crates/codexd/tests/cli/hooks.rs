//! `codexd hooks`, without a daemon.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{Lab, eventually};

use crate::ran::{CODEXD, run};

/// A machine with this configuration; the flag that names it comes last.
async fn lab(config: &str) -> Result<(Lab, String)> {
    let lab = Lab::new(CODEXD).await?;
    let file = lab.project.join("codexd.toml");
    fs::write(&file, config)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let flag = format!("--config={}", file.to_str().context("not UTF-8")?);
    Ok((lab, flag))
}

#[tokio::test]
async fn they_are_listed_and_tested() -> Result<()> {
    let config = "port = 'nonsense'\n\
                  [[hooks]]\nname = 'good'\non = ['turn.*', 'approval.requested']\n\
                  command = ['sh', '-c', 'cat > \"$0\"', '../heard']\n\
                  [[hooks]]\nname = 'bad'\non = 'turn.failed'\ncommand = ['sh', '-c', 'echo because >&2; exit 7']\n\
                  [[hooks]]\non = '*'\nurl = 'http://127.0.0.1:1/path-with-a-secret'\nsecret-file = 'secret'\n";
    let (lab, config) = lab(config).await?;
    let secret = lab.project.join("secret");
    fs::write(&secret, "sesame")?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
    fs::create_dir_all(lab.store.join("work"))?;

    let listed = run(&lab, &["hooks", "list", &config]).await?.good()?;
    assert!(listed.contains("turn.* approval.requested") && listed.contains("127.0.0.1"), "{listed}");
    let listed = run(&lab, &["hooks", "list", "--json", &config]).await?;
    let hooks = &listed.json()?["hooks"];
    assert_eq!((&hooks[0]["name"], &hooks[0]["timeoutMs"]), (&json!("good"), &json!(30_000)));
    assert_eq!(hooks[2]["secretFile"], json!(secret));
    assert!(!listed.out.contains("sesame"));

    let good = run(&lab, &["hooks", "test", "good", &config]).await?.good()?;
    assert!(good.contains("told") && good.contains("exit code 0"), "{good}");
    let heard: serde_json::Value = serde_json::from_slice(&fs::read(lab.store.join("heard"))?)?;
    assert_eq!((&heard["event"], &heard["hook"]), (&json!("hook.test"), &json!("good")));

    let all = run(&lab, &["hooks", "test", &config]).await?;
    assert_eq!(all.code, Some(1), "{all:?}");
    assert!(all.out.contains("exit code 7; it said: because"), "{all:?}");
    assert!(!all.out.contains("sesame") && !all.out.contains("path-with-a-secret"), "{all:?}");
    let all = run(&lab, &["hooks", "test", "--json", &config]).await?;
    let told: Vec<_> =
        all.json()?["hooks"].as_array().context("no list")?.iter().map(|hook| hook["told"].clone()).collect();
    assert_eq!((all.code, told), (Some(1), vec![json!(true), json!(false), json!(false)]));
    assert_eq!(all.json()?["hooks"][2]["name"], "127.0.0.1");

    let unknown = run(&lab, &["hooks", "test", "nobody", &config]).await?;
    assert!(unknown.code == Some(2) && unknown.err.contains("good, bad"), "{unknown:?}");
    Ok(())
}

#[tokio::test]
async fn without_any_there_is_nothing_to_test() -> Result<()> {
    let (lab, config) = lab("port = 1\n").await?;
    let none = run(&lab, &["hooks", "list", &config]).await?;
    assert!(none.code == Some(0) && none.err.contains("no hooks"), "{none:?}");
    let none = run(&lab, &["hooks", "test", &config]).await?;
    assert!(none.code == Some(1) && none.err.contains("no hooks"), "{none:?}");
    let none = run(&lab, &["hooks", "test"]).await?;
    assert!(none.code == Some(1) && none.err.contains("config init"), "{none:?}");
    assert!(!lab.store.exists());
    Ok(())
}

#[tokio::test]
async fn a_mistake_is_a_bad_configuration() -> Result<()> {
    let (lab, config) = lab("[[hooks]]\non = ['turn.complete']\ncommand = ['true']\n").await?;
    for args in [&["hooks", "test"][..], &["hooks", "list"], &["serve"], &["config", "show"], &["--port=0"]] {
        let args: Vec<&str> = args.iter().copied().chain([config.as_str()]).collect();
        let wrong = run(&lab, &args).await?;
        assert_eq!(wrong.code, Some(64), "{args:?}: {wrong:?}");
        assert!(wrong.err.contains("codexd.toml:2:7: there is no event"), "{args:?}: {wrong:?}");
        assert!(wrong.err.contains("did you mean \"turn.completed\"?"), "{args:?}: {wrong:?}");
    }
    // Nobody else minds.
    assert_eq!(run(&lab, &["status", &config]).await?.code, Some(3));
    Ok(())
}

/// The blocks of this language in docs/hooks.md.
fn blocks(language: &str) -> Result<Vec<String>> {
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hooks.md"))?;
    let begin = format!("```{language}\n");
    let of = |rest: &str| rest.split("```").next().unwrap_or_default().to_owned();
    Ok(docs.split(&begin).skip(1).map(of).collect())
}

#[tokio::test]
async fn the_examples_of_the_docs_are_right() -> Result<()> {
    let examples = blocks("toml")?;
    assert_eq!(examples.len(), 3);
    for example in examples {
        let (lab, config) = lab(&example).await?;
        run(&lab, &["hooks", "list", &config]).await?.good()?;
    }
    // The receiver takes what is signed with its secret, and nothing else.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let hook = |secret: &str| {
        format!("[[hooks]]\nname = '{secret}'\non = '*'\nurl = 'http://127.0.0.1:{port}/'\nsecret-file = '{secret}'\n")
    };
    let (lab, config) = lab(&format!("{}{}", hook("hook-secret"), hook("other-secret"))).await?;
    for secret in ["hook-secret", "other-secret"] {
        let file = lab.project.join(secret);
        fs::write(&file, format!("the {secret}\n"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    }
    let program = blocks("python")?.concat().replace("9000", &port.to_string());
    let mut python = tokio::process::Command::new("python3");
    python.args(["-c", &program]).current_dir(&lab.project).kill_on_drop(true);
    let _receiver = python.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn()?;
    eventually("the receiver", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()).await?;
    let told = run(&lab, &["hooks", "test", "hook-secret", &config]).await?.good()?;
    assert!(told.contains("answered 204"), "{told}");
    let refused = run(&lab, &["hooks", "test", "other-secret", &config]).await?;
    assert!(refused.code == Some(1) && refused.out.contains("answered 403"), "{refused:?}");
    Ok(())
}
