//! Camera to packets and packets to picture; microphone to packets and packets to sound.
//!
//! Every stage runs on a named thread of its own; [`ports`] is the border to `peer`, which moves the packets, and
//! [`reception`] what both sides of it, sound and picture tell one another about what arrives.

pub mod audio;
pub mod device;
pub mod event;
pub mod ntp;
pub mod ports;
pub mod reception;
mod sync;
pub mod video;
