//! The daemon's socket: a Unix socket, or a named pipe of this user's.
//!
//! A Unix socket lies in a folder that only this user can write in, so it is what it should be. The names of pipes are for all users of a machine:
//! a daemon that died has left one in `daemon.json` that somebody else may have taken. So before a byte is said there it is looked whose it is.

#[cfg(unix)]
#[path = "unix.rs"]
mod os;
#[cfg(windows)]
#[path = "windows.rs"]
mod os;

pub(crate) use os::{connect, is_ours};
