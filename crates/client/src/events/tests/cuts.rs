//! A stream that is cut at any byte, again and again, tells each event once and each text whole.

use std::collections::HashMap;

use proptest::{prelude::*, sample::Index};
use serde_json::json;

use super::super::{
    frames::{Frame, Frames},
    joined::Joined,
    told::{Event, Text, Told},
};

/// What happens on the daemon's side.
#[derive(Debug, Clone)]
enum Step {
    Start(usize),
    Grow(usize, String),
    End(usize),
}

/// The daemon's side, as far as its steps have come: its events, and of each item the text so far, while it is in progress.
#[derive(Default)]
struct Daemon {
    events: Vec<(i64, Step)>,
    texts: HashMap<usize, (String, bool)>,
}

fn is_answer(item: usize) -> bool {
    item.is_multiple_of(2)
}

impl Daemon {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Start(item) => drop(self.texts.insert(*item, (String::new(), true))),
            Step::Grow(item, more) => {
                self.texts.entry(*item).or_default().0.push_str(more);
                return;
            }
            Step::End(item) => self.texts.entry(*item).or_default().1 = false,
        }
        // The numbers have holes.
        let id = self.events.last().map_or(3, |(id, _)| id + 2);
        self.events.push((id, step.clone()));
    }

    fn text(&self, item: usize) -> &str {
        self.texts.get(&item).map_or("", |(text, _)| text)
    }
}

/// A connection, as the daemon serves it.
struct Reader {
    after: i64,
    offsets: HashMap<usize, usize>,
    piece: usize,
}

impl Reader {
    /// All that is new, in the daemon's order.
    fn look(&mut self, daemon: &Daemon, bytes: &mut String) {
        let new: Vec<_> = daemon.events.iter().filter(|(id, _)| *id > self.after).cloned().collect();
        for (id, step) in new {
            self.after = id;
            let (name, item) = match step {
                Step::Start(item) => {
                    self.offsets.entry(item).or_insert(0);
                    ("item.started", item)
                }
                Step::End(item) => {
                    if let Some(offset) = self.offsets.remove(&item).filter(|offset| *offset > 0) {
                        self.tell(item, offset, &daemon.text(item)[offset..], false, bytes);
                    }
                    ("item.completed", item)
                }
                Step::Grow(..) => unreachable!("that is no event"),
            };
            let (kind, field) = if is_answer(item) { ("agentMessage", "text") } else { ("reasoning", "summary") };
            let mut data = json!({"sessionId": "s", "turnId": "u", "at": "2026-01-01T00:00:00.000Z", "item": {
                "id": format!("i{item}"), "status": "completed", "at": "2026-01-01T00:00:00.000Z", "kind": kind}});
            data["item"][field] = daemon.text(item).into();
            bytes.push_str(&format!("id: {id}\nevent: {name}\ndata: {data}\n\n"));
        }
        for (item, (text, in_progress)) in &daemon.texts {
            let offset = self.offsets.get(item).copied().unwrap_or(0);
            let new = &text[offset..];
            let new = &new[..new.floor_char_boundary(self.piece)];
            if *in_progress && !new.is_empty() {
                let known = self.offsets.insert(*item, offset + new.len());
                self.tell(*item, offset, new, known.is_none(), bytes);
            }
        }
    }

    fn tell(&self, item: usize, offset: usize, text: &str, snapshot: bool, bytes: &mut String) {
        if text.is_empty() {
            return;
        }
        let (name, field) = if snapshot { ("item.snapshot", "text") } else { ("item.delta", "delta") };
        let kind = if is_answer(item) { "text" } else { "reasoning" };
        let mut data =
            json!({"sessionId": "s", "turnId": "u", "itemId": format!("i{item}"), "kind": kind, "offset": offset});
        data[field] = text.into();
        bytes.push_str(&format!("event: {name}\ndata: {data}\n\n"));
    }
}

/// What a person has seen.
#[derive(Default)]
struct Seen {
    events: Vec<i64>,
    texts: HashMap<String, String>,
}

impl Seen {
    fn hear(&mut self, told: Told) {
        match told {
            Told::Text(Text { item, offset, text, .. }) => {
                let joined = self.texts.entry(item.to_string()).or_default();
                assert_eq!(offset, joined.len(), "where the one before ended");
                assert!(!text.is_empty());
                joined.push_str(&text);
            }
            Told::Event(event) => {
                let Event { id, name, data, .. } = *event;
                self.events.push(id.expect("a number").0);
                let item = &data["item"];
                let whole = item["text"].as_str().or(item["summary"].as_str()).unwrap();
                if name == "item.completed"
                    && let Some(joined) = self.texts.get(item["id"].as_str().unwrap())
                {
                    assert_eq!(joined, whole, "the end has all of it");
                }
            }
            told => panic!("{told:?}"),
        }
    }
}

/// The steps of all items, interleaved.
fn mixed(items: &[Vec<String>], order: &[Index]) -> Vec<Step> {
    let mut left: Vec<Vec<Step>> = Vec::new();
    for (n, pieces) in items.iter().enumerate() {
        let mut steps = vec![Step::Start(n)];
        steps.extend(pieces.iter().map(|piece| Step::Grow(n, piece.clone())));
        steps.push(Step::End(n));
        steps.reverse();
        left.push(steps);
    }
    let (mut steps, mut order) = (Vec::new(), order.iter().cycle());
    while !left.is_empty() {
        let which = order.next().unwrap().index(left.len());
        steps.extend(left[which].pop());
        left.retain(|steps| !steps.is_empty());
    }
    steps
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_event_comes_once_and_every_text_whole(
        items in prop::collection::vec(prop::collection::vec(".{0,12}", 0..8), 1..4),
        order in prop::collection::vec(any::<Index>(), 1..20),
        // After how many steps each connection is cut, and where in its bytes.
        cuts in prop::collection::vec((0..6usize, any::<Index>()), 0..12),
        piece in 4..30usize,
        chunk in 1..50usize,
    ) {
        let steps = mixed(&items, &order);
        let (mut daemon, mut done) = (Daemon::default(), 0_usize);
        let (mut joined, mut seen) = (Joined::new(Some(types::EventId(0))), Seen::default());
        let connections = cuts.iter().map(|(steps, at)| (*steps, Some(*at))).chain([(usize::MAX, None)]);
        for (count, cut) in connections {
            let after = joined.last().unwrap().0;
            let mut reader = Reader { after, offsets: HashMap::new(), piece };
            let mut bytes = String::new();
            reader.look(&daemon, &mut bytes);
            let to = done.saturating_add(count).min(steps.len());
            for step in &steps[done..to] {
                daemon.step(step);
                reader.look(&daemon, &mut bytes);
            }
            done = to;
            let until = cut.map_or(bytes.len(), |at| at.index(bytes.len() + 1));
            let mut frames = Frames::new();
            for piece in bytes.as_bytes()[..until].chunks(chunk) {
                for frame in frames.push(piece).unwrap() {
                    joined.hear(frame).unwrap().into_iter().for_each(|told| seen.hear(told));
                }
            }
        }
        let all: Vec<i64> = daemon.events.iter().map(|(id, _)| *id).collect();
        prop_assert_eq!(seen.events, all);
        for (item, text) in &seen.texts {
            let item: usize = item[1..].parse().unwrap();
            prop_assert_eq!(text, daemon.text(item));
        }
    }
}

fn hear(joined: &mut Joined, id: Option<i64>, name: &str, data: &serde_json::Value) -> Vec<Told> {
    joined.hear(Frame { id, name: name.to_owned(), data: data.to_string() }).unwrap().into()
}

fn piece(name: &str, offset: usize, text: &str) -> (String, serde_json::Value) {
    let field = if name == "item.snapshot" { "text" } else { "delta" };
    let mut data = json!({"sessionId": "s", "turnId": "u", "itemId": "i", "kind": "text", "offset": offset});
    data[field] = text.into();
    (name.to_owned(), data)
}

#[test]
fn a_hole_is_filled_by_the_end_and_never_skipped() {
    let mut joined = Joined::new(None);
    let tell = |joined: &mut Joined, (name, data): (String, serde_json::Value)| -> Vec<String> {
        hear(joined, None, &name, &data)
            .into_iter()
            .map(|told| match told {
                Told::Text(text) => text.text,
                told => panic!("{told:?}"),
            })
            .collect()
    };
    assert_eq!(tell(&mut joined, piece("item.snapshot", 0, "aé")), ["aé"]);
    assert_eq!(tell(&mut joined, piece("item.delta", 5, "late")), [""; 0]);
    assert_eq!(tell(&mut joined, piece("item.delta", 2, "éx")), [""; 0], "in the middle of a character");
    assert_eq!(tell(&mut joined, piece("item.delta", 1, "éb")), ["b"]);
    assert_eq!(tell(&mut joined, piece("item.snapshot", 0, "a")), [""; 0]);
    let item = json!({"id": "i", "status": "completed", "at": "2026-01-01T00:00:00.000Z", "kind": "agentMessage", "text": "aéblate"});
    let data = json!({"sessionId": "s", "turnId": "u", "item": item});
    let told = hear(&mut joined, Some(1), "item.completed", &data);
    assert!(
        matches!(&told[..], [Told::Text(rest), Told::Event(_)] if rest.text == "late" && rest.offset == 4),
        "{told:?}"
    );
}

#[test]
fn what_is_not_known_is_handed_on_as_it_came() {
    let mut joined = Joined::new(None);
    let data = json!({"sessionId": "s", "turnId": "u", "diff": "x", "kind": "text"});
    for (id, name) in [(Some(9), "turn.diff"), (None, "something.new"), (None, "item.delta")] {
        let told = hear(&mut joined, id, name, &data);
        let [Told::Event(event)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((event.id.map(|id| id.0), event.name.as_str(), &event.data), (id, name, &data));
        assert_eq!(event.turn.as_ref().map(|turn| turn.as_str()), Some("u"));
        assert_eq!(event.item(), None);
        let object = told[0].object().unwrap();
        assert_eq!((object["id"].as_i64(), &object["event"], &object["data"]), (id, &json!(name), &data));
    }
    let item = json!({"id": "i", "status": "completed", "at": "2026-01-01T00:00:00.000Z", "kind": "dance"});
    let told = hear(&mut joined, Some(10), "item.completed", &json!({"turnId": "u", "item": item}));
    assert!(matches!(&told[..], [Told::Event(event)] if event.item().is_none()), "{told:?}");
    assert_eq!(joined.last().map(|last| last.0), Some(10));
}

#[test]
fn numbers_of_another_history_are_said_to_be_so() {
    let mut joined = Joined::new(None);
    let place = |last: i64, epoch: &str| json!({"version": "2", "lastId": last, "storeEpoch": epoch});
    let first = hear(&mut joined, None, "server.connected", &place(7, "a"));
    assert!(matches!(&first[..], [Told::Connected { .. }]), "{first:?}");
    assert_eq!(joined.last().map(|last| last.0), Some(7), "a cut before the first event loses nothing");
    assert_eq!(hear(&mut joined, None, "server.connected", &place(9, "a")).len(), 1);
    let other = hear(&mut joined, None, "server.connected", &place(9, "b"));
    assert!(matches!(&other[..], [Told::Connected { .. }, Told::Reset { .. }]), "{other:?}");
    assert_eq!(hear(&mut joined, None, "server.connected", &place(3, "c")).len(), 1, "the daemon says it itself");
    assert_eq!(hear(&mut joined, None, "stream.reset", &place(3, "c")).len(), 1);
    assert_eq!(joined.last().map(|last| last.0), Some(3));
    assert_eq!(hear(&mut joined, Some(3), "turn.started", &json!({})), []);
    assert_eq!(hear(&mut joined, Some(4), "turn.started", &json!({})).len(), 1);
}
