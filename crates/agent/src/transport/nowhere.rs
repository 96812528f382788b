//! Where there are no hosts, nobody can have one.

use std::{convert::Infallible, io, time::Duration};

use bytes::Bytes;

use super::Transport;
use crate::adapter::Line;

/// None of these exists.
pub(crate) struct Hosted(Infallible);

impl Hosted {
    pub(crate) fn codex_pid(&self) -> u32 {
        match self.0 {}
    }

    pub(crate) fn keep(&mut self, _note: &str) {
        match self.0 {}
    }

    pub(crate) async fn flush(self, _limit: Duration) {
        match self.0 {}
    }

    pub(crate) async fn finish(self, _grace: Duration) -> String {
        match self.0 {}
    }

    pub(crate) fn ending(&self) -> String {
        match self.0 {}
    }

    pub(crate) async fn gone(self) {
        match self.0 {}
    }
}

impl Transport for Hosted {
    async fn next(&mut self) -> io::Result<Option<(u64, Bytes)>> {
        match self.0 {}
    }

    fn send(&mut self, _line: Line) {
        match self.0 {}
    }

    fn ack(&mut self, _seq: u64) {
        match self.0 {}
    }

    fn is_owed_acks(&self) -> bool {
        match self.0 {}
    }
}
