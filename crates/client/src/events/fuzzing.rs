//! Promises of this crate about bytes from outside, as functions that panic where one does not hold. `crates/fuzzed` says who calls them.

use std::collections::HashMap;

use super::{
    frames::{BadFrame, Frame, Frames},
    joined::Joined,
    told::Told,
};

/// The longest frame here, so that the bound is met.
const MOST: usize = 4 * 1024;

/// Whatever a daemon streams: frames are the same however they are cut; each event is handed on once and in order, and of each text
/// every byte once.
pub fn stream(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let read = |size: usize| -> (Vec<Frame>, Option<BadFrame>) {
        let (mut frames, mut all) = (Frames::with_limit(MOST), Vec::new());
        for piece in bytes.chunks(size.max(1)) {
            match frames.push(piece) {
                Ok(whole) => all.extend(whole),
                Err(error) => return (all, Some(error)),
            }
        }
        (all, None)
    };
    // One byte at a time nothing is lost that was whole before what is wrong.
    let (frames, wrong) = read(1);
    let (pieces, also_wrong) = read(usize::from(*cut));
    assert!(frames.starts_with(&pieces) && wrong == also_wrong, "{frames:?} {pieces:?}");
    let mut joined = Joined::new(None);
    let (mut last, mut texts) = (None, HashMap::new());
    for frame in frames {
        let Ok(told) = joined.hear(frame) else { continue };
        for told in told {
            match told {
                Told::Event(event) => {
                    if let Some(id) = event.id {
                        assert!(last.is_none_or(|last| last < id), "{id:?} behind {last:?}");
                        last = Some(id);
                    }
                }
                Told::Text(text) => {
                    let end = texts.entry((text.item.clone(), text.kind)).or_insert(0);
                    assert!(text.offset == *end || text.offset == 0, "{text:?} behind {end}");
                    *end = text.offset + text.text.len();
                }
                Told::Reset { .. } => last = None,
                Told::Connected { .. } | Told::Closing { .. } | Told::Lost { .. } => {}
            }
        }
    }
}
