//! What `benches/call` is built of, as far as it can be tested in virtual time.

// `clippy.toml` lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]
// The bench itself uses the rest.
#![allow(dead_code)]

#[path = "../benches/call/link/mod.rs"]
mod link;
