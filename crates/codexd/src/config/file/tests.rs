//! What is read of a file, and where each mistake is.

use super::*;

fn file(text: &str) -> File {
    File { path: "/etc/my app/config.toml".into(), text: text.to_owned(), loose: None }
}

fn values(text: &str) -> Vec<String> {
    let entries = file(text).entries().unwrap();
    entries.into_iter().flat_map(|entry| entry.values).map(|value| value.into_string().unwrap()).collect()
}

fn wrong(text: &str) -> String {
    file(text).entries().unwrap_err().0
}

#[test]
fn both_spellings_and_every_way_to_write_a_value() {
    let text = "# one\nport = 0x10\nallow_never = true\nmax-body-bytes = \"1MiB\"\nturn_timeout = 6_00\n\n\
                allow-host = [\n  'a',\n  \"b\",\n]\nallow-origin = \"c\"\nallow-root = []\n";
    let entries = file(text).entries().unwrap();
    let lines: Vec<(&str, usize)> = entries.iter().map(|entry| (entry.name.as_str(), entry.line)).collect();
    assert_eq!(
        lines,
        [
            ("port", 2),
            ("allow-never", 3),
            ("max-body-bytes", 4),
            ("turn-timeout", 5),
            ("allow-host", 7),
            ("allow-origin", 11),
            ("allow-root", 12),
        ]
    );
    assert_eq!(values(text), ["16", "true", "1MiB", "600", "a", "b", "c"]);
}

#[test]
fn paths_start_at_the_file() {
    let home = etcetera::home_dir().unwrap().to_str().unwrap().to_owned();
    let text = "cwd = './x/../y'\nallow-root = ['a:b', '/c', '~/d', '~']\ntoken-file = 'token'\n";
    let expected = ["/etc/my app/x/../y", "/etc/my app/a:b", "/c", &format!("{home}/d"), &home, "/etc/my app/token"];
    assert_eq!(values(text), expected);
}

#[test]
fn a_command_is_a_path_only_if_its_first_word_is() {
    let cases = [
        ("codex", "codex"),
        ("node /opt/codex.js", "node /opt/codex.js"),
        ("/opt/codex x", "/opt/codex x"),
        ("./bin/codex -v", "\"/etc/my app/bin/codex\" -v"),
        ("'./quoted by hand' x", "'./quoted by hand' x"),
    ];
    for (written, expected) in cases {
        assert_eq!(values(&format!("codex-cmd = \"{written}\"")), [expected]);
    }
    let home = etcetera::home_dir().unwrap();
    assert!(values("codex-cmd = '~/codex'")[0].contains(home.to_str().unwrap()));
}

#[test]
fn each_mistake_is_told_with_its_place() {
    let place = "/etc/my app/config.toml";
    let cases = [
        ("\nprot = 1", ":2: there is no setting \"prot\"; did you mean \"port\"?"),
        ("allow_roots = []", ":1: there is no setting \"allow_roots\"; did you mean \"allow-root\"?"),
        ("zzz = 1", ":1: there is no setting \"zzz\"; `codexd serve --help` lists them"),
        ("[[hook]]\non = '*'", ":1: there is no \"hook\"; did you mean [[hooks]]?"),
        ("[serve]", ":1: there is no section [serve]; settings stand alone, without sections"),
        ("port = '8787'", ":1:8: \"port\" is the string \"8787\" and must be a number: write it without quotes"),
        ("port = true", ":1:8: \"port\" is true and must be a number"),
        ("port = 1.5", ":1:8: \"port\" is the number 1.5 and must be a number"),
        ("port = 70000", ":1:8: \"port\" can't be the number 70000: 70000 is not in 0..=65535"),
        ("host = 1", ":1:8: \"host\" is the number 1 and must be a string"),
        ("no-auth = 'yes'", ":1:11: \"no-auth\" is the string \"yes\" and must be true or false"),
        ("allow-host = true", ":1:14: \"allow-host\" is true and must be a list, such as [\"one\", \"two\"]"),
        ("allow-host = ['a',\n 1]", ":2:2: \"allow-host\" is the number 1 and must be a string"),
        ("turn-timeout = true", ":1:16: \"turn-timeout\" is true and must be a string or a number"),
        ("sandbox = 1979-05-27", ":1:11: \"sandbox\" is the date 1979-05-27 and must be a string"),
        ("port = 1\nport = 2", ":2:1: duplicate key"),
        ("allow-root = []\nallow_root = []", ":2: \"allow-root\" stands in line 1 already"),
    ];
    for (text, expected) in cases {
        assert_eq!(wrong(text), format!("{place}{expected}"), "{text}");
    }
    let two = wrong("x = 1\nport = 1\nhost = 2");
    assert_eq!(two.lines().count(), 2, "{two}");
    let secret = wrong("token = 'sesame'");
    assert!(secret.contains(":1: ") && secret.contains("token-file") && !secret.contains("sesame"), "{secret}");
}

#[test]
fn the_store_is_found_in_a_file_that_is_wrong_elsewhere() {
    let found = file("port = 'x'\nnonsense = 1\nstore_dir = 'y'").store_dir().unwrap().unwrap();
    assert_eq!((found.line, found.values), (3, vec!["/etc/my app/y".into()]));
    assert!(file("port = 'x'").store_dir().unwrap().is_none());
    assert!(file("store-dir = 1").store_dir().is_err());
    assert!(file("store-dir = ").store_dir().is_err(), "it may have been meant to say where the store is");
}
