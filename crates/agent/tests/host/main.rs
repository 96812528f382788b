//! The agent host, as a process of its own, with real clients and real deaths.

#![cfg(unix)]

mod agent;
mod ending;
mod lab;
mod lines;
mod real;
mod restart;
mod upkeep;
