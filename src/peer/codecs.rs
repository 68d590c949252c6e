//! The codecs and header extensions that we offer.

use super::PeerError;
use crate::media::ports::VideoCodec;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RTCRtpSendParameters, RtpCodecKind,
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

/// Constrained Baseline, level 3.1 (720p30), packetization mode 1 (RFC 6184 section 8.1). What every browser has.
const H264_PARAMETERS: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
/// In-band FEC and discontinuous transmission (RFC 7587 section 6.1).
const OPUS_PARAMETERS: &str = "minptime=10;useinbandfec=1;usedtx=1";

/// What we may write, read from the sender after negotiation: the payload types are the offerer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Negotiated {
    /// Payload type, if the codec was agreed upon.
    pub(super) payload_type: Option<u8>,
    /// The video codec; `None` for audio.
    pub(super) codec: Option<VideoCodec>,
    /// Identifier of the absolute capture time extension.
    pub(super) capture_time_id: Option<u8>,
}

/// The video codec of a MIME type, if we have it.
pub(super) fn video_codec(mime_type: &str) -> Option<VideoCodec> {
    mime_type.eq_ignore_ascii_case(MIME_TYPE_H264).then_some(VideoCodec::H264)
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
        rtcp_feedback: vec![feedback("transport-cc", "")],
    }
}

fn h264() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_H264.into(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: H264_PARAMETERS.into(),
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
        match codec {
            VideoCodec::H264 => {
                register(h264(), H264_PAYLOAD_TYPE, RtpCodecKind::Video)?;
                let repair = RTCRtpCodec {
                    mime_type: MIME_TYPE_RTX.into(),
                    clock_rate: 90_000,
                    sdp_fmtp_line: format!("apt={H264_PAYLOAD_TYPE}"),
                    ..RTCRtpCodec::default()
                };
                register(repair, H264_RTX_PAYLOAD_TYPE, RtpCodecKind::Video)?;
            }
        }
    }
    for uri in [SDES_MID_URI, TRANSPORT_CC_URI, ABS_SEND_TIME_URI, ABS_CAPTURE_TIME_URI] {
        for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
            engine
                .register_header_extension(RTCRtpHeaderExtensionCapability { uri: uri.into() }, kind, None)
                .map_err(PeerError::setup)?;
        }
    }
    Ok(engine)
}

/// Our local track of a kind. Its identifiers are random: equal ones on both ends confuse the crate.
pub(super) fn local_track(
    stream: &str,
    kind: RtpCodecKind,
    ssrc: u32,
    repair: Option<u32>,
) -> MediaStreamTrack {
    let codec = if kind == RtpCodecKind::Audio { opus() } else { h264() };
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            rtx: repair.map(|ssrc| RTCRtpRtxParameters { ssrc }),
            ..RTCRtpCodingParameters::default()
        },
        active: true,
        codec,
        ..RTCRtpEncodingParameters::default()
    };
    let id = format!("{:016x}", rand::random::<u64>());
    MediaStreamTrack::new(stream.into(), id.clone(), id, kind, vec![encoding])
}

/// What was agreed upon for a sender of ours.
pub(super) fn negotiated(parameters: &RTCRtpSendParameters) -> Negotiated {
    let codecs = &parameters.rtp_parameters.codecs;
    let wanted = codecs.iter().find(|codec| {
        let mime = &codec.rtp_codec.mime_type;
        mime.eq_ignore_ascii_case(MIME_TYPE_OPUS)
            // Our packets include FU-A, which mode 0 forbids (RFC 6184 section 6.2).
            || (video_codec(mime).is_some() && codec.rtp_codec.sdp_fmtp_line.contains("packetization-mode=1"))
    });
    let extensions = &parameters.rtp_parameters.header_extensions;
    Negotiated {
        payload_type: wanted.map(|codec| codec.payload_type),
        codec: wanted.and_then(|codec| video_codec(&codec.rtp_codec.mime_type)),
        capture_time_id: extensions
            .iter()
            .find(|extension| extension.uri == ABS_CAPTURE_TIME_URI)
            .and_then(|extension| u8::try_from(extension.id).ok()),
    }
}
