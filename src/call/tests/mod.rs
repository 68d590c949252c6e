//! Calls in virtual time: two participants on a network with delay, each with a peer connection that knows the
//! W3C signaling states and refuses what is illegal in them.
//!
//! `peer`: the peer connection. `ahoy`: what the engine does around a call. `page`: a page written after the
//! article. `world`: network, clock and path. The scenarios are named by what they are about.

mod ahoy;
mod candidates;
mod crossing;
mod ordinary;
mod page;
mod peer;
mod properties;
mod recovery;
mod renegotiation;
mod stock;
mod world;

use crate::protocol::{IceCandidate, SdpKind, SessionDescription};

/// A description that says no more than which ICE generation it belongs to.
fn description(kind: SdpKind, fragment: &str) -> SessionDescription {
    SessionDescription::new(kind, format!("v=0\r\na=ice-ufrag:{fragment}\r\n"))
}

/// A candidate of that generation.
fn candidate(fragment: &str, port: u16) -> IceCandidate {
    IceCandidate {
        candidate: format!("candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host ufrag {fragment}"),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
        username_fragment: None,
    }
}
