//! Pictures: sources, codec, reassembly.

pub mod frame;
pub mod latest;
pub mod rgba;
