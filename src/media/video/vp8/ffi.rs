//! libvpx, as its own headers declare it; made by the build script.
#![allow(
    unsafe_code,
    missing_docs,
    dead_code,
    unreachable_pub,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::all,
    reason = "generated: names and layout are the C library's"
)]

include!(concat!(env!("OUT_DIR"), "/vpx.rs"));
