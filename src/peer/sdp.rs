//! What we read from and change in SDP ourselves (RFC 8866, RFC 8829). Text in, text out; hostile text gives nothing.

use crate::media::ports::VideoCodec;
use sha2::{Digest, Sha256};

/// Words of a media line in front of its payload types: media, port, protocol (RFC 8866 section 5.14).
const MEDIA_WORDS: usize = 3;

/// DTLS role in an answer (RFC 8842 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// DTLS client.
    Active,
    /// DTLS server.
    Passive,
}

/// Kinds of media that a description's author sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) audio: bool,
    pub(super) video: bool,
}

/// The first value of an attribute `a=name:value`, at session or media level.
pub(super) fn attribute<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    sdp.lines()
        .filter_map(|line| line.trim_end().strip_prefix("a="))
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// The identification tag of the first media section (`a=mid`, RFC 5888).
pub(super) fn first_mid(sdp: &str) -> Option<&str> {
    attribute(sdp, "mid")
}

/// What the author of the description sends: any section of the kind that is not rejected (port 0 and not bundled
/// only, RFC 8843 section 6) and whose direction says so; without a direction it is `sendrecv` (RFC 8866 section 6.7).
pub(super) fn sending(sdp: &str) -> Sending {
    let mut found = Sending::default();
    let mut session_sends = true;
    let mut section: Option<Section> = None;
    for line in sdp.lines().map(str::trim_end) {
        if let Some(media) = line.strip_prefix("m=") {
            if let Some(done) = section.take() {
                done.note(&mut found);
            }
            let mut words = media.split(' ');
            let (kind, port) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            section = Some(Section {
                audio: kind == "audio",
                video: kind == "video",
                rejected: port == "0",
                bundle_only: false,
                sends: session_sends,
            });
        } else {
            let sends = match line {
                "a=sendrecv" | "a=sendonly" => true,
                "a=recvonly" | "a=inactive" => false,
                "a=bundle-only" => {
                    if let Some(section) = &mut section {
                        section.bundle_only = true;
                    }
                    continue;
                }
                _ => continue,
            };
            match &mut section {
                Some(section) => section.sends = sends,
                None => session_sends = sends,
            }
        }
    }
    if let Some(done) = section {
        done.note(&mut found);
    }
    found
}

struct Section {
    audio: bool,
    video: bool,
    rejected: bool,
    bundle_only: bool,
    sends: bool,
}

impl Section {
    fn note(&self, found: &mut Sending) {
        if self.sends && (!self.rejected || self.bundle_only) {
            found.audio |= self.audio;
            found.video |= self.video;
        }
    }
}

/// The role that the author of an answer takes.
pub(super) fn setup(sdp: &str) -> Option<Setup> {
    match attribute(sdp, "setup")? {
        "active" => Some(Setup::Active),
        "passive" => Some(Setup::Passive),
        _ => None,
    }
}

/// The answer with this role in every section: the crate writes the configured role even when the established
/// connection has the other one, which is a change of role that a browser rejects.
pub(super) fn with_setup(sdp: &str, role: Setup) -> String {
    let value = match role {
        Setup::Active => "active",
        Setup::Passive => "passive",
    };
    let mut out = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        match line.trim_end() {
            "a=setup:active" | "a=setup:passive" | "a=setup:actpass" => {
                out.push_str("a=setup:");
                out.push_str(value);
            }
            other => out.push_str(other),
        }
        out.push_str("\r\n");
    }
    out
}

/// The SHA-256 fingerprint in the description (RFC 8122 section 5).
pub(super) fn fingerprint(sdp: &str) -> Option<[u8; 32]> {
    let value = attribute(sdp, "fingerprint")?;
    let (algorithm, digits) = value.split_once(' ')?;
    if !algorithm.eq_ignore_ascii_case("sha-256") {
        return None;
    }
    let mut octets = [0; 32];
    let mut pairs = digits.split(':');
    for octet in &mut octets {
        *octet = u8::from_str_radix(pairs.next()?, 16).ok()?;
    }
    pairs.next().is_none().then_some(octets)
}

/// The SHA-256 fingerprint of a certificate in DER.
pub(super) fn certificate_fingerprint(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

/// SHA-256 over both fingerprints in sorted order: the same on both ends, and different as soon as somebody in the
/// middle terminates DTLS.
pub(super) fn verification(one: [u8; 32], other: [u8; 32]) -> [u8; 32] {
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    Sha256::new().chain_update(low).chain_update(high).finalize().into()
}

/// Whether any section of the description has this ICE username fragment.
pub(super) fn has_username_fragment(sdp: &str, fragment: &str) -> bool {
    sdp.lines().any(|line| line.trim_end().strip_prefix("a=ice-ufrag:") == Some(fragment))
}

/// Whether ICE can do something with a remote candidate (RFC 8839 section 5.1). The end-of-candidates mark, TCP, and
/// addresses hidden behind mDNS names are passed over: the peer is then found by its own checks (peer reflexive).
pub(super) fn is_usable_candidate(candidate: &str) -> bool {
    let body = candidate.strip_prefix("candidate:").unwrap_or(candidate);
    let words: Vec<&str> = body.split_ascii_whitespace().take(6).collect();
    let [_foundation, _component, transport, _priority, address, port] = words[..] else {
        return false;
    };
    transport.eq_ignore_ascii_case("udp")
        && address.parse::<std::net::IpAddr>().is_ok()
        && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// A payload type of the pictures in a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A codec of ours.
    Picture(u8, VideoCodec),
    /// Retransmissions, and the payload type of what they repair (RFC 4588 section 8.1).
    Repair(u8, u8),
}

/// The payload types of our codecs and of their repairs in a description.
pub(super) fn formats(sdp: &str) -> impl Iterator<Item = Format> {
    sdp.lines().filter_map(|line| {
        if let Some(map) = line.strip_prefix("a=rtpmap:") {
            let (payload_type, name) = map.split_once(' ')?;
            let name = name.trim_end();
            let codec = [("H264/90000", VideoCodec::H264), ("VP8/90000", VideoCodec::Vp8)]
                .into_iter()
                .find_map(|(known, codec)| name.eq_ignore_ascii_case(known).then_some(codec))?;
            Some(Format::Picture(payload_type.parse().ok()?, codec))
        } else {
            let (payload_type, parameters) = line.strip_prefix("a=fmtp:")?.split_once(' ')?;
            Some(Format::Repair(payload_type.parse().ok()?, original(parameters)?))
        }
    })
}

/// The description with the payload types of its pictures in our order of preference: who receives it sends the
/// first that it can (RFC 8829 section 5.3.1 lets an answer have an order of its own).
pub(super) fn with_preference(sdp: &str, preferred: &[VideoCodec]) -> String {
    let known: Vec<Format> = formats(sdp).collect();
    let rank = |payload_type: &str| {
        let codec = known.iter().find_map(|format| match format {
            Format::Picture(known, codec) if payload_type.parse() == Ok(*known) => Some(*codec),
            Format::Picture(..) | Format::Repair(..) => None,
        });
        codec.and_then(|codec| preferred.iter().position(|known| *known == codec)).unwrap_or(usize::MAX)
    };
    let mut out = String::with_capacity(sdp.len());
    for line in sdp.lines().map(str::trim_end) {
        let mut words: Vec<&str> = line.split(' ').collect();
        match words.get_mut(MEDIA_WORDS..) {
            // The sort is stable: what we do not prefer keeps its place behind.
            Some(payload_types) if line.starts_with("m=video ") => {
                payload_types.sort_by_key(|payload_type| rank(payload_type));
                out.push_str(&words.join(" "));
            }
            _ => out.push_str(line),
        }
        out.push_str("\r\n");
    }
    out
}

/// What a retransmission's format parameters name as the original payload type.
pub(super) fn original(parameters: &str) -> Option<u8> {
    parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("apt=")?.parse().ok())
}

/// Whether a description has a video section in which one of these codecs is offered.
pub(super) fn offers_any(sdp: &str, codecs: &[VideoCodec]) -> bool {
    formats(sdp).any(|format| matches!(format, Format::Picture(_, codec) if codecs.contains(&codec)))
}
