//! What `benches/call` is built of: as far as virtual time and made-up calls can test it, there; and one real call.

// `clippy.toml` lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]
// The bench itself uses the rest.
#![allow(dead_code)]

mod common;

#[cfg(target_os = "linux")]
#[path = "../benches/call/door.rs"]
mod door;
#[path = "../benches/call/evidence.rs"]
mod evidence;
#[path = "../benches/call/figures.rs"]
mod figures;
#[path = "../benches/call/link/mod.rs"]
mod link;
#[path = "../benches/call/rows.rs"]
mod rows;
#[path = "../benches/call/similarity.rs"]
mod similarity;

#[path = "call_bench/computing.rs"]
mod computing;
#[cfg(target_os = "linux")]
#[path = "call_bench/crossing.rs"]
mod crossing;
#[path = "call_bench/link.rs"]
mod link_tests;
