//! The codecs and header extensions that we offer.

use super::chain::bound::Bindings;
use super::{PeerError, sdp};
use crate::media::ports::VideoCodec;
use rtc::interceptor::{self, RTPHeaderExtension, StreamInfo};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_FLEX_FEC03, MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8,
};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpFecParameters, RTCRtpHeaderExtensionCapability, RTCRtpParameters, RTCRtpRtxParameters,
    RTCRtpSendParameters, RtpCodecKind,
};
use webrtc::peer_connection::MediaEngine;

/// Absolute capture time (<https://webrtc.googlesource.com/src/+/main/docs/native-code/rtp-hdrext/abs-capture-time>).
pub(super) const ABS_CAPTURE_TIME_URI: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
/// Absolute send time.
pub(super) const ABS_SEND_TIME_URI: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
/// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
pub(super) const TRANSPORT_CC_URI: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// Media identification (RFC 9143).
const SDES_MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// Payload types that we offer; an answer uses the offerer's instead (RFC 3264 section 6.1).
const OPUS_PAYLOAD_TYPE: u8 = 111;
const H264_PAYLOAD_TYPE: u8 = 102;
const H264_RTX_PAYLOAD_TYPE: u8 = 103;
const VP8_PAYLOAD_TYPE: u8 = 96;
const VP8_RTX_PAYLOAD_TYPE: u8 = 97;
const PARITY_PAYLOAD_TYPE: u8 = 104;

/// Constrained Baseline, packetization mode 1 (RFC 6184 section 8.1), which every browser has; the level is what we
/// decode: 4.0 (1080p30) …
const H264_PARAMETERS: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e028";
/// … or 3.1 (720p30) on a machine with one core, which has the rest of the call to do as well.
const H264_PARAMETERS_OF_ONE_CORE: &str =
    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
/// How far apart a parity and what it covers may be, microseconds (draft-ietf-payload-flexible-fec-scheme-03 section
/// 5.1.1): what browsers say, and more than ours ever are.
const PARITY_PARAMETERS: &str = "repair-window=10000000";
/// In-band FEC and discontinuous transmission (RFC 7587 section 6.1).
const OPUS_PARAMETERS: &str = "minptime=10;useinbandfec=1;usedtx=1";

/// How we may write one of our streams, read from the sender after negotiation: the payload types are the offerer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    /// Payload type.
    pub(super) payload_type: u8,
    /// Identifier of the absolute capture time extension.
    pub(super) capture_time_id: Option<u8>,
}

/// The codecs in which the other side takes our pictures, the one that we like best first. A sender may change between
/// them with any picture (RFC 3264 section 5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pictures([Option<(VideoCodec, Negotiated)>; 2]);

impl Pictures {
    /// How to write pictures in this codec, if the other side takes it.
    pub(super) fn of(&self, codec: VideoCodec) -> Option<Negotiated> {
        self.iter().find_map(|(taken, agreed)| (taken == codec).then_some(agreed))
    }

    /// The codecs in our order of preference.
    pub(super) fn iter(&self) -> impl Iterator<Item = (VideoCodec, Negotiated)> {
        self.0.into_iter().flatten()
    }
}

/// The video codec of a MIME type, if we have it.
pub(super) fn video_codec(mime_type: &str) -> Option<VideoCodec> {
    let is = |other| mime_type.eq_ignore_ascii_case(other);
    if is(MIME_TYPE_H264) {
        Some(VideoCodec::H264)
    } else if is(MIME_TYPE_VP8) {
        Some(VideoCodec::Vp8)
    } else {
        None
    }
}

fn feedback(kind: &str, parameter: &str) -> RTCPFeedback {
    RTCPFeedback { typ: kind.into(), parameter: parameter.into() }
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.into(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: OPUS_PARAMETERS.into(),
        rtcp_feedback: vec![feedback("transport-cc", ""), feedback("nack", "")],
    }
}

fn has_several_cores() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

fn video(codec: VideoCodec) -> RTCRtpCodec {
    let (mime_type, parameters) = match codec {
        VideoCodec::H264 if has_several_cores() => (MIME_TYPE_H264, H264_PARAMETERS),
        VideoCodec::H264 => (MIME_TYPE_H264, H264_PARAMETERS_OF_ONE_CORE),
        // It has parameters (RFC 7741 section 6.1), for receivers with limits that we do not have.
        VideoCodec::Vp8 => (MIME_TYPE_VP8, ""),
    };
    RTCRtpCodec {
        mime_type: mime_type.into(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: parameters.into(),
        rtcp_feedback: vec![
            feedback("goog-remb", ""),
            feedback("transport-cc", ""),
            feedback("ccm", "fir"),
            feedback("nack", ""),
            feedback("nack", "pli"),
        ],
    }
}

/// The media engine with our codecs, in the order of preference given, and our header extensions.
pub(super) fn media_engine(video_codecs: &[VideoCodec]) -> Result<MediaEngine, PeerError> {
    let mut engine = MediaEngine::default();
    let mut register = |codec: RTCRtpCodec, payload_type, kind| {
        engine
            .register_codec(RTCRtpCodecParameters { rtp_codec: codec, payload_type }, kind)
            .map_err(PeerError::setup)
    };
    register(opus(), OPUS_PAYLOAD_TYPE, RtpCodecKind::Audio)?;
    for codec in video_codecs {
        let (payload_type, repair_type) = match codec {
            VideoCodec::H264 => (H264_PAYLOAD_TYPE, H264_RTX_PAYLOAD_TYPE),
            VideoCodec::Vp8 => (VP8_PAYLOAD_TYPE, VP8_RTX_PAYLOAD_TYPE),
        };
        register(video(*codec), payload_type, RtpCodecKind::Video)?;
        let repair = RTCRtpCodec {
            mime_type: MIME_TYPE_RTX.into(),
            clock_rate: 90_000,
            sdp_fmtp_line: format!("apt={payload_type}"),
            ..RTCRtpCodec::default()
        };
        register(repair, repair_type, RtpCodecKind::Video)?;
    }
    let parity = RTCRtpCodec {
        mime_type: MIME_TYPE_FLEX_FEC03.into(),
        clock_rate: 90_000,
        sdp_fmtp_line: PARITY_PARAMETERS.into(),
        ..RTCRtpCodec::default()
    };
    register(parity, PARITY_PAYLOAD_TYPE, RtpCodecKind::Video)?;
    for uri in [SDES_MID_URI, TRANSPORT_CC_URI, ABS_SEND_TIME_URI, ABS_CAPTURE_TIME_URI] {
        for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
            engine
                .register_header_extension(RTCRtpHeaderExtensionCapability { uri: uri.into() }, kind, None)
                .map_err(PeerError::setup)?;
        }
    }
    Ok(engine)
}

/// Our local track of a kind. A picture's has no codec of its own: it would be the only one that the crate offers
/// (see [`super::chain::bound`] for what we do instead). `extra` are the SSRCs of its retransmissions and parities, which
/// the description ties to it by `a=ssrc-group` (RFC 5576, RFC 5956): who does not know one of them ignores it. Its
/// identifiers are random: equal ones on both ends confuse the crate.
pub(super) fn local_track(
    stream: &str,
    kind: RtpCodecKind,
    ssrc: u32,
    extra: Option<(u32, u32)>,
) -> MediaStreamTrack {
    let codec = if kind == RtpCodecKind::Audio { opus() } else { RTCRtpCodec::default() };
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            rtx: extra.map(|(ssrc, _)| RTCRtpRtxParameters { ssrc }),
            fec: extra.map(|(_, ssrc)| RTCRtpFecParameters { ssrc }),
            ..RTCRtpCodingParameters::default()
        },
        active: true,
        codec,
        ..RTCRtpEncodingParameters::default()
    };
    let id = format!("{:016x}", rand::random::<u64>());
    MediaStreamTrack::new(stream.into(), id.clone(), id, kind, vec![encoding])
}

/// How our sound may be written, if the other side takes it.
pub(super) fn sound(parameters: &RTCRtpSendParameters) -> Option<Negotiated> {
    let codecs = &parameters.rtp_parameters.codecs;
    let opus = codecs.iter().find(|codec| codec.rtp_codec.mime_type.eq_ignore_ascii_case(MIME_TYPE_OPUS))?;
    Some(agreed(parameters, opus))
}

/// How our pictures may be written, in this order of preference.
pub(super) fn pictures(parameters: &RTCRtpSendParameters, preferred: &[VideoCodec]) -> Pictures {
    let taken = preferred.iter().filter_map(|codec| {
        let mut offered = parameters.rtp_parameters.codecs.iter();
        let found = offered.find(|offered| sendable(&offered.rtp_codec) == Some(*codec))?;
        Some((*codec, agreed(parameters, found)))
    });
    let mut pictures = Pictures::default();
    pictures.0.iter_mut().zip(taken).for_each(|(slot, found)| *slot = Some(found));
    pictures
}

fn agreed(parameters: &RTCRtpSendParameters, codec: &RTCRtpCodecParameters) -> Negotiated {
    let extensions = &parameters.rtp_parameters.header_extensions;
    Negotiated {
        payload_type: codec.payload_type,
        capture_time_id: extensions
            .iter()
            .find(|extension| extension.uri == ABS_CAPTURE_TIME_URI)
            .and_then(|extension| u8::try_from(extension.id).ok()),
    }
}

/// The codec, if we may send it in this form.
fn sendable(codec: &RTCRtpCodec) -> Option<VideoCodec> {
    let found = video_codec(&codec.mime_type)?;
    let fits = match found {
        // Our packets include FU-A, which mode 0 forbids (RFC 6184 section 6.2).
        VideoCodec::H264 => codec.sdp_fmtp_line.contains("packetization-mode=1"),
        VideoCodec::Vp8 => true,
    };
    fits.then_some(found)
}

/// Our picture's stream as the chain is told of it, once for each codec that the remote takes.
pub(super) fn bindings(
    parameters: &RTCRtpSendParameters,
    ssrc: u32,
    repair_ssrc: u32,
    parity_ssrc: u32,
) -> Bindings {
    let RTCRtpParameters { codecs, header_extensions, .. } = &parameters.rtp_parameters;
    let repair_type = |payload_type: u8| {
        let repairs =
            codecs.iter().filter(|codec| codec.rtp_codec.mime_type.eq_ignore_ascii_case(MIME_TYPE_RTX));
        let mut found =
            repairs.filter(|codec| sdp::original(&codec.rtp_codec.sdp_fmtp_line) == Some(payload_type));
        found.next().map(|codec| codec.payload_type)
    };
    let is_parity =
        |codec: &&RTCRtpCodecParameters| codec.rtp_codec.mime_type.eq_ignore_ascii_case(MIME_TYPE_FLEX_FEC03);
    let payload_type_fec = codecs.iter().find(is_parity).map(|codec| codec.payload_type);
    let extensions: Vec<RTPHeaderExtension> = header_extensions
        .iter()
        .map(|extension| RTPHeaderExtension { uri: extension.uri.clone(), id: extension.id })
        .collect();
    let pictures = codecs.iter().filter(|codec| sendable(&codec.rtp_codec).is_some());
    pictures
        .map(|codec| {
            let payload_type_rtx = repair_type(codec.payload_type);
            let feedback = codec.rtp_codec.rtcp_feedback.iter();
            StreamInfo {
                ssrc,
                ssrc_rtx: payload_type_rtx.map(|_| repair_ssrc),
                payload_type: codec.payload_type,
                payload_type_rtx,
                ssrc_fec: payload_type_fec.map(|_| parity_ssrc),
                payload_type_fec,
                rtp_header_extensions: extensions.clone(),
                mime_type: codec.rtp_codec.mime_type.clone(),
                clock_rate: codec.rtp_codec.clock_rate,
                rtcp_feedback: feedback
                    .map(|kind| interceptor::RTCPFeedback {
                        typ: kind.typ.clone(),
                        parameter: kind.parameter.clone(),
                    })
                    .collect(),
                ..StreamInfo::default()
            }
        })
        .collect()
}

/// Whether both say the same of what packets carry.
pub(super) fn same(one: &Bindings, other: &Bindings) -> bool {
    let key = |info: &StreamInfo| {
        let extensions: Vec<(String, u16)> = info
            .rtp_header_extensions
            .iter()
            .map(|extension| (extension.uri.clone(), extension.id))
            .collect();
        (info.payload_type, info.payload_type_rtx, info.payload_type_fec, extensions)
    };
    one.iter().map(key).eq(other.iter().map(key))
}
