//! Commands against a daemon that is not of this version.

use anyhow::Result;
use testkit::Lab;

use crate::{
    cut::Stub,
    ran::{CODEXD, run},
};

#[tokio::test]
async fn an_older_daemon_is_told_as_what_it_is() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let body = r#"{"type":"urn:codexd:problem:NOT_FOUND","title":"x","status":404,"detail":"there is nothing at x","code":"NOT_FOUND","retryable":false}"#;
    let _stub = Stub::answering(&lab, 404, body).await?;
    for args in [&["start", "x"][..], &["sessions"], &["turn", "wait", "u"], &["token", "list"]] {
        let ran = run(&lab, args).await?;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.err.contains("older") && ran.err.contains("codexd serve"), "{args:?}: {}", ran.err);
    }
    Ok(())
}
