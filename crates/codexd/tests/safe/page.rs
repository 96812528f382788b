//! SECURITY.md names a test for each thing that it promises, and they are there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

fn sources(folder: &Path, all: &mut String) -> Result<()> {
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, all)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(path)?);
        }
    }
    Ok(())
}

#[test]
fn every_row_of_the_security_page_names_a_test_that_is_there() -> Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("SECURITY.md"))?;
    let mut all = String::new();
    sources(&root.join("crates"), &mut all)?;
    let mut rows = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")) {
        let tests = row.trim_end_matches('|').rsplit('|').next().context("no cell")?;
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "this row names no test: {row}");
        for name in names {
            let there = if name.contains('/') {
                root.join("crates").join(name).exists()
            } else {
                all.contains(&format!("fn {name}("))
            };
            assert!(there, "there is no {name}, which this row names: {row}");
        }
        rows += 1;
    }
    assert!(rows > 15, "{rows} rows");
    Ok(())
}
