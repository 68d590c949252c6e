//! Pictures: sources, codec, reassembly.
//!
//! [`capture`] publishes the chosen source's pictures into a [`latest::Latest`]; [`encoder`] takes the newest from it
//! and hands access units to the transport. [`receiver`] turns packets back into pictures and shows each at its time,
//! [`rgba`] makes them drawable. Each runs on one named thread of its own; dropping it ends the thread.

pub mod camera;
pub mod capture;
pub mod codec;
pub mod counter;
pub mod encoder;
pub mod frame;
pub mod h264;
pub mod latest;
pub mod receiver;
pub mod record;
pub mod rgba;
pub mod source;
pub mod stats;
pub mod vp8;
pub mod worker;

pub(crate) mod cadence;
mod coarseness;
mod codec_choice;
mod depacketizer;
mod encoder_settings;
mod h264_encoder;
pub(crate) mod ladder;
mod load;
pub(crate) mod look;
mod octets;
mod pattern;
mod pool;
pub(crate) mod presentation;
pub(crate) mod quantizer;
pub(crate) mod reassembly;
mod scale;
pub(crate) mod timing;
mod y4m;

#[cfg(test)]
mod codec_tests;
#[cfg(test)]
mod footage;
#[cfg(test)]
mod loopback;
#[cfg(test)]
mod rate_tests;
#[cfg(test)]
mod reassembly_tests;
#[cfg(test)]
mod whole_tests;
