//! What `benches/call` is built of, as far as virtual time and made-up calls can test it.

// `clippy.toml` lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]
// The bench itself uses the rest.
#![allow(dead_code)]

#[path = "../benches/call/link/mod.rs"]
mod link;

#[path = "call_bench/link.rs"]
mod link_tests;
