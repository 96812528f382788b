//! The desk's clients: who is let in, who is served, what they say and are told.

use std::time::{Duration, Instant};

use subtle::ConstantTimeEq as _;

use super::{Desk, Life, note};
use crate::host::{
    peer::Peer,
    wire::{Frame, Hello, OLDEST, PROTOCOL, Welcome, kind},
};

/// How many connections may be there that have not said who they are.
const STRANGERS: usize = 8;

/// The longest note that is kept.
const NOTE_BYTES: usize = 4096;

impl Desk {
    pub(super) fn accept(&mut self) {
        if let Some(stream) = self.listener.accept(&self.waiting)
            && self.strangers.len() < STRANGERS
        {
            self.strangers.push(Peer::new(stream));
        }
    }

    pub(super) fn read_stranger(&mut self, index: usize) {
        let Some(peer) = self.strangers.get_mut(index) else { return };
        let open = peer.read(&mut self.buffer);
        match peer.inbox.take() {
            Ok(None) if open => {}
            Ok(Some(frame)) => {
                let peer = self.strangers.remove(index);
                self.greet(peer, &frame);
            }
            Ok(None) | Err(_) => drop(self.strangers.remove(index)),
        }
    }

    fn greet(&mut self, mut peer: Peer, frame: &Frame) {
        let refused = match serde_json::from_slice::<Hello>(&frame.body) {
            Ok(hello) if frame.kind == kind::HELLO => {
                if !bool::from(hello.secret.as_bytes().ct_eq(self.secret.as_bytes())) {
                    Err("wrong secret".to_owned())
                } else if hello.protocol.0 > PROTOCOL || hello.protocol.1 < OLDEST {
                    // Whoever comes and can't speak to this host will start another one.
                    self.drain = true;
                    Err(format!("this host speaks the protocols {OLDEST} to {PROTOCOL}"))
                } else {
                    Ok(hello.protocol.1.min(PROTOCOL))
                }
            }
            _ => Err("no hello".to_owned()),
        };
        let protocol = match refused {
            Ok(protocol) => protocol,
            Err(why) => {
                peer.say(kind::REFUSED, 0, why.as_bytes());
                peer.write();
                return;
            }
        };
        let welcome = Welcome {
            protocol,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            codex_pid: self.codex.family.pid(),
            exited: self.exited().map(str::to_owned),
            lowest: self.journal.lowest(),
            last: self.journal.last(),
            passed: self.tags.all(),
            busy: self.busy.iter().cloned().collect(),
            note: self.note.clone(),
        };
        peer.say(kind::WELCOME, 0, &serde_json::to_vec(&welcome).unwrap_or_default());
        self.codex.disown();
        if let Some(mut before) = self.client.replace(peer) {
            before.say(kind::REPLACED, 0, b"");
            before.write();
        }
        self.hear_client();
    }

    fn exited(&self) -> Option<&str> {
        if let Life::Over(end) = &self.life { Some(end) } else { None }
    }

    pub(super) fn read_client(&mut self) {
        let Some(client) = &mut self.client else { return };
        let open = client.read(&mut self.buffer);
        self.hear_client();
        if !open {
            self.lose_client();
        }
    }

    fn lose_client(&mut self) {
        if self.client.take().is_some() {
            self.alone = Instant::now();
            self.codex.disown();
        }
    }

    /// Takes what the client said.
    fn hear_client(&mut self) {
        while let Some(client) = &mut self.client {
            let heard = match client.inbox.take() {
                Ok(Some(frame)) => self.heard(&frame),
                Ok(None) => return,
                Err(_) => false,
            };
            if !heard {
                self.lose_client();
            }
        }
    }

    /// False when the client makes no sense.
    fn heard(&mut self, frame: &Frame) -> bool {
        match frame.kind {
            kind::INPUT => {
                let Some((tag, line)) = frame.input() else { return false };
                if self.codex.stdin.is_none() {
                    return true;
                }
                if !self.tags.add(tag) {
                    self.passed(frame.number);
                    return true;
                }
                if !self.codex.give(frame.number, tag, line) {
                    self.tags.forget(tag);
                    return false;
                }
                note(&mut self.busy, (self.peek_input)(line));
                self.write_codex();
            }
            kind::ACK => self.journal.ack(frame.number),
            kind::NOTE => {
                self.note = Some(frame.text()).filter(|note| note.len() <= NOTE_BYTES);
                self.codex.words.forget();
            }
            kind::STOP => {
                self.told_to = true;
                self.stop(Duration::from_millis(frame.number));
            }
            _ => {}
        }
        true
    }

    pub(super) fn give_client(&mut self) {
        let exited = if let Life::Over(end) = &self.life { Some(end.as_str()) } else { None };
        let Some(client) = &mut self.client else { return };
        // What is written at once makes room for more.
        loop {
            if let Err(error) = client.fill(&self.journal, exited) {
                self.reason.get_or_insert(format!("what Codex wrote can't be read again ({error})"));
                self.stop(Duration::ZERO);
                return self.lose_client();
            }
            let had = client.has_output();
            client.write();
            if !had || client.has_output() {
                return;
            }
        }
    }
}
