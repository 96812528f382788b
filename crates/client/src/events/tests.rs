//! Streams that are cut: on paper, wherever a cut may be; and on connections.

mod connections;
mod cuts;
