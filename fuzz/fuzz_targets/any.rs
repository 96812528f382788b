//! What libFuzzer calls: one program for all targets, which `CODEXD_FUZZ` names, so that there is one build.
#![no_main]

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<String> = OnceLock::new();
    fuzzed::run(TARGET.get_or_init(|| std::env::var("CODEXD_FUZZ").unwrap_or_default()), data);
});
