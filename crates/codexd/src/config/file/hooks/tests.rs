//! `[[hooks]]` tables: what they become, and where each mistake is.

use super::*;

fn file(text: &str) -> File {
    File { path: "/etc/my app/config.toml".into(), text: text.to_owned(), loose: None }
}

#[test]
fn a_hook_is_read_with_its_place() {
    let text = "port = 1\n\n[[hooks]]\nname = 'desktop'\non = ['approval.requested', 'turn.*']\n\
                command = ['./bin/tell', '-x', 'a b']\ntimeout = '5s'\n\n[[hooks]]\non = '*'\n\
                url = 'https://ntfy.example.org/topic'\nsecret_file = 'secret'\n";
    let hooks = file(text).hooks().unwrap();
    let [first, second] = hooks.as_slice() else { panic!("{hooks:?}") };
    assert_eq!((first.name.as_str(), first.line, first.timeout), ("desktop", 3, Duration::from_secs(5)));
    assert_eq!(first.on.words(), ["approval.requested", "turn.*"]);
    let HowEntry::Command(argv) = &first.how else { panic!("{first:?}") };
    assert_eq!(argv, &["/etc/my app/bin/tell", "-x", "a b"].map(OsString::from));
    assert_eq!((second.name.as_str(), second.line, second.timeout), ("ntfy.example.org", 9, DEFAULT_TIMEOUT));
    let HowEntry::Post { secret_file, .. } = &second.how else { panic!("{second:?}") };
    assert_eq!(secret_file, Path::new("/etc/my app/secret"));
    assert_eq!(file(text).entries().unwrap().len(), 1, "a hook is no setting");
    assert!(file("port = 1").hooks().unwrap().is_empty());
}

#[test]
fn those_without_a_name_get_one_that_stays() {
    let hook = |how: &str| format!("[[hooks]]\non = '*'\n{how}\n");
    let text = [
        hook("command = ['curl']"),
        hook("command = ['/usr/bin/curl', 'x']"),
        hook("command = ['tell me.sh']"),
        hook("command = ['..']"),
    ];
    let names: Vec<String> = file(&text.concat()).hooks().unwrap().into_iter().map(|hook| hook.name).collect();
    assert_eq!(names, ["curl", "curl-2", "tell-me", "hook"]);
}

#[test]
fn each_mistake_is_told_with_its_place() {
    let place = "/etc/my app/config.toml";
    let good = "on = '*'\ncommand = ['x']\n";
    let cases = [
        ("hooks = 1".to_owned(), ":1:9: hooks are written as sections of their own: [[hooks]], with two brackets"),
        (format!("[hooks]\n{good}"), ":1:1: hooks are written as sections of their own: [[hooks]], with two brackets"),
        ("[[hooks]]\ncommand = ['x']".to_owned(), ":1: a hook needs the events that it is told"),
        ("[[hooks]]\non = '*'".to_owned(), ":1: a hook needs a way to be told: command = ["),
        (
            "[[hooks]]\non = ['turn.failed',\n 'turn.complete']\ncommand = ['x']".to_owned(),
            ":3:2: there is no event \"turn.complete\"; did you mean \"turn.completed\"?",
        ),
        ("[[hooks]]\non = []\ncommand = ['x']".to_owned(), ":2:6: \"on\" is a list and must be a list of events"),
        ("[[hooks]]\non = 1\ncommand = ['x']".to_owned(), ":2:6: \"on\" is the number 1 and must be a list of events"),
        (
            "[[hooks]]\non = '*'\ncommand = 'notify-send x'".to_owned(),
            ":3:11: \"command\" is the string \"notify-send x\" and must be a list, the program and each",
        ),
        (
            "[[hooks]]\non = '*'\ncommand = []".to_owned(),
            ":3:11: \"command\" is a list and must be a list, the program",
        ),
        (format!("[[hooks]]\n{good}url = 'http://x'"), ":4: a hook has either a command or a url"),
        (format!("[[hooks]]\n{good}secret-file = 'x'"), ":4: \"secret-file\" goes with a url"),
        ("[[hooks]]\non = '*'\nurl = 'http://x'".to_owned(), ":3: a url needs a secret that its calls are signed with"),
        (format!("[[hooks]]\n{good}comand = 1"), ":4: a hook has no \"comand\"; did you mean \"command\"?"),
        (format!("[[hooks]]\n{good}timeout = '1h'"), ":4:11: \"timeout\" can't be used: the longest is 300 s"),
        (format!("[[hooks]]\n{good}timeout = 0"), ":4:11: \"timeout\" can't be used: \"0\" is no time"),
        (format!("[[hooks]]\n{good}name = '../x'"), ":4:8: a hook's name has 1 to 64 letters"),
        (
            format!("[[hooks]]\nname = 'a'\n{good}[[hooks]]\nname = 'A'\n{good}"),
            ":5: there is a hook \"A\" in line 1 already",
        ),
    ];
    for (text, expected) in cases {
        let wrong = file(&text).hooks().unwrap_err().0;
        assert!(wrong.starts_with(&format!("{place}{expected}")), "{text}\n{wrong}");
    }
    let two = file("[[hooks]]\non = 'x.y'\ncommand = 'x'\n[[hooks]]\n").hooks().unwrap_err().0;
    assert_eq!(two.lines().count(), 4, "{two}");
    let secret =
        file("[[hooks]]\non = '*'\nurl = 'https://me:sesame@x/sesame'\nsecret-file = 's'").hooks().unwrap_err().0;
    assert!(secret.contains(":3:7: ") && !secret.contains("sesame"), "{secret}");
}
