//! Whole calls over emulated links.
mod link;
fn main() {}
