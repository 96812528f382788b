//! All corpora, and random variations of them.

use std::{fs, io, path::PathBuf};

use fuzzed::TARGETS;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

fn corpus(name: &str) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    files.into_iter().map(|path| Ok((path.clone(), fs::read(path)?))).collect()
}

#[test]
fn every_corpus_holds() -> io::Result<()> {
    for (name, target) in TARGETS {
        let corpus = corpus(name)?;
        assert!(corpus.len() >= 3, "{name} has a corpus");
        for (path, data) in corpus {
            let held = std::panic::catch_unwind(|| target(&data));
            assert!(held.is_ok(), "{}", path.display());
        }
    }
    Ok(())
}

/// `cargo xtask fuzz` goes by the folders.
#[cfg(unix)]
#[test]
fn every_target_has_a_folder_and_every_folder_a_target() -> io::Result<()> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<String>>>()?;
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    names.sort();
    targets.sort_unstable();
    assert_eq!(names, targets);
    Ok(())
}

/// Two pieces of a corpus with something between them, and anything at all.
#[test]
fn what_is_like_the_corpora_holds() -> io::Result<()> {
    for (name, target) in TARGETS {
        let known: Vec<Vec<u8>> = corpus(name)?.into_iter().map(|(_, data)| data).collect();
        let piece =
            (prop::sample::select(known), any::<prop::sample::Index>(), any::<bool>()).prop_map(|(data, at, head)| {
                let at = at.index(data.len() + 1);
                if head { data[..at].to_vec() } else { data[at..].to_vec() }
            });
        let between = prop::collection::vec(any::<u8>(), 0..12);
        let like = (piece.clone(), between, piece).prop_map(|(a, b, c)| [a, b, c].concat());
        let mut runner = TestRunner::new(Config { cases: 256, failure_persistence: None, ..Config::default() });
        let held = runner.run(&like, |data| {
            target(&data);
            Ok(())
        });
        assert!(held.is_ok(), "{name}: {held:?}");
    }
    Ok(())
}
