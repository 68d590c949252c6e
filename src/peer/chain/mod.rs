//! Our own interceptors: what happens to each packet between the application and SRTP.
//!
//! Driven by the `webrtc` crate's driver task, inside its lock: nothing here blocks, awaits or logs per packet.
//! What the rest of `peer` has to know leaves through [`Wire`] (atomics) and the receive ports (`try_send`).
//!
//! Order, wire first (the number is the crate's slot; reading walks it down, writing walks it up):
//!
//! | Slot | Who | Reading | Writing |
//! |---|---|---|---|
//! | 1 400 | [`repeat::Repeat`] | answers NACK where there is no RTX | keeps what was sent |
//! | 1 500 | [`transport::Transport`] | congestion feedback to the estimator | numbers and stamps every RTP packet, adds padding for probes |
//! | 4 000 | [`resend::Resend`] | answers NACK by RTX | keeps what was sent |
//! | 5 000 | [`protect::Protect`] | | sends parities of our pictures |
//! | 6 400 | [`feedback::Feedback`], before probes end in the next | | congestion feedback to the remote |
//! | 6 500 | [`unwrap::Unwrap`] | RTX becomes the packet it repairs | |
//! | 6 600 | [`restore::Restore`] | parities give lost packets back | |
//! | 7 000 | [`request::Request`] | notes gaps | asks for what is missing |
//! | 10 000 | the crate's receiver reports | | receiver reports |
//! | 10 500 | [`clock::Clock`] | | puts our clock into the sender reports |
//! | 11 000 | the crate's sender reports | | sender reports |
//! | 12 500 | [`tap::Tap`] | PLI, FIR and receiver reports to the encoders | |
//! | 12 900 | [`deliver::Deliver`] | media to the receive ports | |
//!
//! Sound brings back what is lost of it by itself ([`crate::media::audio::redundancy`]).

pub(super) mod bound;
pub(super) mod clock;
#[cfg(test)]
mod codec_tests;
pub(super) mod deliver;
mod departures;
pub(super) mod feedback;
pub(super) mod formats;
pub(super) mod gaps;
#[cfg(test)]
mod gaps_tests;
mod jam;
mod padding;
#[cfg(test)]
mod parity_tests;
pub(super) mod protect;
mod reordering;
pub(super) mod repeat;
pub(super) mod request;
pub(super) mod resend;
pub(super) mod restore;
mod sound_loss;
pub(super) mod tap;
#[cfg(test)]
mod tests;
pub(super) mod transport;
pub(super) mod unwrap;
pub(super) mod wire;

use rtc::interceptor::{StreamInfo, TaggedPacket};
use std::collections::VecDeque;

/// Packets on their way through one interceptor. Bounded by what the chain hands over in one step: the chain drains
/// them after every `handle_*`.
#[derive(Default)]
pub(super) struct Belt {
    /// Towards the application.
    pub(super) read: VecDeque<TaggedPacket>,
    /// Towards the wire.
    pub(super) write: VecDeque<TaggedPacket>,
}

/// Identifier of a header extension in this stream, if it was negotiated (RFC 8285; 0 means that it was not).
pub(super) fn extension_id(info: &StreamInfo, uri: &str) -> Option<u8> {
    let found = info.rtp_header_extensions.iter().find(|extension| extension.uri == uri)?;
    u8::try_from(found.id).ok().filter(|id| *id != 0)
}

/// The part of [`rtc::sansio::Protocol`] that every interceptor here has in common.
macro_rules! belt_protocol {
    () => {
        type Rout = rtc::interceptor::TaggedPacket;
        type Wout = rtc::interceptor::TaggedPacket;
        type Eout = ();
        type Error = rtc::shared::error::Error;
        type Time = std::time::Instant;

        fn poll_read(&mut self) -> Option<Self::Rout> {
            self.belt.read.pop_front()
        }

        fn poll_write(&mut self) -> Option<Self::Wout> {
            self.belt.write.pop_front()
        }
    };
}
pub(super) use belt_protocol;
