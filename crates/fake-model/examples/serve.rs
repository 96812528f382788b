//! Runs a scripted model until it is killed, for trying Codex against it by hand:
//! `cargo run -p fake-model --example serve > $CODEX_HOME/config.toml`.
#![allow(clippy::print_stdout, reason = "the config is what one runs it for")]

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let model = fake_model::FakeModel::start().await?;
    println!("{}", model.codex_config());
    std::future::pending().await
}
