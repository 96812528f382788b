//! Lines: numbered, kept, acknowledged, given again.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use agent::host::wire::{OLDEST, PROTOCOL, kind, put_input};
use proptest::prelude::*;
use serde_json::json;

use crate::lab::{Client, DOUBLE, Lab, eventually};

#[test]
fn lines_are_kept_until_each_is_acknowledged() {
    let lab = Lab::new();
    let (mut client, welcome) = lab.attach();
    assert_eq!((welcome.lowest, welcome.last, welcome.exited), (1, 0, None));
    client.input("1", "lines 5 3");
    assert_eq!(client.line(), (1, "001".to_owned()));
    assert_eq!(client.lines(4), [2, 3, 4, 5]);
    client.ack(4);
    client.ack(1);
    drop(client);

    // What was acknowledged is known once the next client is there: the first one's frames came before.
    let (mut client, welcome) = lab.attach();
    assert_eq!((welcome.lowest, welcome.last), (2, 5));
    assert_eq!((client.line(), client.lines(2)), ((2, "002".to_owned()), vec![3, 5]));
    for seq in [5, 2, 3, 3, 99] {
        client.ack(seq);
    }
    client.input("2", "say more");
    assert_eq!(client.line(), (6, "more".to_owned()));
    let (_, welcome) = lab.attach();
    assert_eq!((welcome.lowest, welcome.last), (6, 6));
}

#[test]
fn codex_is_given_each_tag_once_and_half_a_line_never() {
    let lab = Lab::new();
    let (mut client, _) = lab.attach();
    client.input("7", "say once");
    client.input("7", "say twice");
    client.input("", "say untagged");
    assert_eq!((client.line().1, client.line().1), ("once".to_owned(), "untagged".to_owned()));
    let mut half = Vec::new();
    put_input(&mut half, 9, "8", b"say half");
    client.stream.write_all(&half[..half.len() - 1]).unwrap();
    drop(client);

    let (mut client, welcome) = lab.attach();
    assert_eq!(welcome.passed, ["7"]);
    client.input("7", "say thrice");
    client.input("8", "say whole");
    assert_eq!(client.lines(2), [1, 2]);
    assert_eq!(client.line().1, "whole");
}

#[test]
fn only_who_knows_the_secret_is_served_and_only_one() {
    let lab = Lab::new();
    let refused = Client::attach(&lab.socket(), "sesame", (OLDEST, PROTOCOL)).err();
    assert_eq!(refused.as_deref(), Some("wrong secret"));
    let (mut first, _) = lab.attach();
    first.input("1", "say for the first");
    assert_eq!(first.line().0, 1);
    assert!(Client::attach(&lab.socket(), "", (OLDEST, PROTOCOL)).is_err());
    first.input("2", "say still served");
    assert_eq!(first.line().0, 2);

    let (mut second, _) = lab.attach();
    assert_eq!(first.next(kind::REPLACED).kind, kind::REPLACED);
    assert_eq!(first.frame(), None);
    assert_eq!(second.lines(2), [1, 2]);
}

#[test]
fn a_codexd_that_speaks_no_protocol_of_ours_has_the_host_end_when_it_is_idle() {
    let mut lab = Lab::new();
    let (mut client, _) = lab.attach();
    client.input("1", r#"say {"method":"turn/started","params":{"threadId":"t"}}"#);
    assert_eq!(client.line().0, 1);
    let refused = Client::attach(&lab.socket(), "open sesame", (PROTOCOL + 1, PROTOCOL + 1)).err().unwrap();
    assert!(refused.contains("protocols"), "{refused}");
    client.input("2", r#"say {"method":"turn/completed","params":{"threadId":"t"}}"#);
    assert_eq!(client.line().0, 2);
    drop(client);
    lab.ended();
}

#[test]
fn over_its_memory_lines_go_to_files_and_over_those_codex_waits() {
    let lab = Lab::with(|birth| {
        birth["memory"] = json!(64 * 1024);
        birth["files"] = json!(1024 * 1024);
    });
    let (mut client, _) = lab.attach();
    client.input("1", "lines 20000 999");
    drop(client);
    let kept = |name: &str| {
        let files = fs::read_dir(&lab.folder)
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(name));
        files.map(|file| file.metadata().map_or(0, |meta| meta.len())).sum::<u64>()
    };
    // Once it waits the number of lines stays. Twenty megabytes don't get past a bound of one.
    let mut last = 0;
    let full = eventually("Codex to be held back", || {
        let (_, welcome) = lab.attach();
        let same = welcome.last == last && last > 1000;
        last = welcome.last;
        (same && kept("lines-") > 900_000).then_some(last)
    });
    assert!(full < 1500 && kept("lines-") < 1_200_000, "{full} lines, {} bytes", kept("lines-"));
    let (mut client, _) = lab.attach();
    for seq in 1..=20_000 {
        assert_eq!(client.line(), (seq, format!("{seq:0999}")));
        client.ack(seq);
    }
    let resident = lab.resident();
    println!("resident after 20,000 lines of 1 KB: {resident} kB");
    assert!(resident < 16 * 1024, "{resident} kB");
    client.input("2", "say on");
    assert_eq!(client.line().1, "on");
    assert_eq!(kept("lines-"), 0);
}

#[test]
fn a_host_is_small() {
    let lab = Lab::new();
    let (mut client, _) = lab.attach();
    let born = lab.resident();
    client.input("1", "lines 10000 200");
    for seq in 1..=10_000 {
        assert_eq!(client.line().0, seq);
        client.ack(seq);
    }
    client.input("2", "say done");
    client.line();
    let later = lab.resident();
    println!("resident at first {born} kB, after 10,000 lines {later} kB");
    // An unoptimised build with line tables; the shipped one has less.
    assert!(later < 8 * 1024, "{later} kB");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// Clients are killed, as processes, wherever they happen to be. Whatever they did is on disk; all of it together is everything, and
    /// nobody is given anything twice, or out of order.
    #[test]
    fn clients_that_are_killed_lose_nothing(
        deaths in prop::collection::vec(1_usize..400, 1..6),
        skip in 2_u64..9,
        memory in prop::sample::select(vec![1_000_u64, 1 << 20]),
    ) {
        const LINES: u64 = 2000;
        let lab = Lab::with(|birth| birth["memory"] = json!(memory));
        lab.attach().0.input("1", "lines 2000 40");
        let file = lab.dir.path().join("seen");
        let mut lives = Vec::new();
        let seen = || fs::read_to_string(&file).unwrap_or_default().lines().count();
        for more in deaths {
            let before = seen();
            let mut command = Command::new(DOUBLE);
            command.args(["client", lab.folder.to_str().unwrap(), file.to_str().unwrap(), &skip.to_string()]);
            let mut client = command.stdin(Stdio::null()).spawn().unwrap();
            eventually("the client to have something", || {
                (seen() >= before + more || (before > 0 && seen() > before)).then_some(())
            });
            client.kill().unwrap();
            client.wait().unwrap();
            lives.push((before, seen()));
        }
        let text = fs::read_to_string(&file).unwrap();
        let rows: Vec<(u64, String)> = text
            .lines()
            .map(|line| line.split_once(' ').map(|(seq, text)| (seq.parse().unwrap(), text.to_owned())).unwrap())
            .collect();
        for (from, to) in lives {
            prop_assert!(rows[from..to].windows(2).all(|pair| pair[0].0 < pair[1].0), "twice, or out of order");
        }
        let mut all: BTreeMap<u64, String> = rows.into_iter().collect();
        let (mut client, welcome) = lab.attach();
        // What was not acknowledged comes again; what was is in the file.
        client.input("2", "say over");
        let mut last = 0;
        while last <= LINES {
            let (seq, line) = client.line();
            prop_assert!(seq > last && seq >= welcome.lowest);
            last = seq;
            all.insert(seq, line);
        }
        prop_assert_eq!(all.remove(&(LINES + 1)), Some("over".to_owned()));
        let written: BTreeMap<u64, String> = (1..=LINES).map(|seq| (seq, format!("{seq:040}"))).collect();
        prop_assert_eq!(all, written);
    }
}
