//! How large the pictures may be that a peer decodes, by its description: H.264's level (RFC 6184 section 8.1), VP8's
//! `max-fs` (RFC 7741 section 6.1). Text in, macroblocks out; hostile text gives the least that everybody decodes.

use crate::media::ports::{LEVEL_31_MACROBLOCKS, LEVEL_40_MACROBLOCKS, VideoCodec};

/// Pictures per second that the limit holds for.
const FPS: u32 = 30;

/// Macroblocks of a picture, at 30 a second, that we may send to the author of `remote` with this payload type;
/// `local` is our own description.
///
/// With `level-asymmetry-allowed=1` on both sides each says what it receives; otherwise both are bound by the lower of
/// the two levels (RFC 6184 section 8.2.2).
pub(super) fn macroblocks(local: &str, remote: &str, codec: VideoCodec, payload_type: u8) -> u32 {
    let theirs = parameters(remote, payload_type);
    match codec {
        VideoCodec::Vp8 => value(theirs, "max-fs").unwrap_or(LEVEL_40_MACROBLOCKS),
        VideoCodec::H264 => {
            let ours = parameters(local, payload_type);
            let is_free = |parameters| value(parameters, "level-asymmetry-allowed") == Some(1);
            let limit = h264(theirs);
            if is_free(ours) && is_free(theirs) { limit } else { limit.min(h264(ours)) }
        }
    }
}

/// The format parameters of a payload type; empty if there are none.
fn parameters(sdp: &str, payload_type: u8) -> &str {
    sdp.lines()
        .filter_map(|line| line.trim_end().strip_prefix("a=fmtp:")?.split_once(' '))
        .find_map(|(number, rest)| (number.parse() == Ok(payload_type)).then_some(rest))
        .unwrap_or_default()
}

fn text<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|parameter| {
        let (key, value) = parameter.trim().split_once('=')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn value(parameters: &str, name: &str) -> Option<u32> {
    text(parameters, name)?.parse().ok()
}

/// Of a level and what is allowed beyond it: `max-fs` and `max-mbps` (RFC 6184 section 8.1).
fn h264(parameters: &str) -> u32 {
    let level = text(parameters, "profile-level-id")
        .filter(|id| id.len() == 6)
        .and_then(|id| u32::from_str_radix(id, 16).ok())
        .map(|id| (id & 0xff) as u8);
    // Without an identifier it is Baseline, level 1 (RFC 6184 section 8.1); nobody means that.
    let Some((frame, second)) = level.map(limits) else { return LEVEL_31_MACROBLOCKS };
    let frame = frame.max(value(parameters, "max-fs").unwrap_or(0));
    let second = second.max(value(parameters, "max-mbps").unwrap_or(0));
    frame.min(second / FPS)
}

/// Macroblocks of a picture and in a second, MaxFS and MaxMBPS of ITU-T H.264 table A-1.
fn limits(level_idc: u8) -> (u32, u32) {
    match level_idc {
        0..=10 => (99, 1_485),
        11 => (396, 3_000),
        12 => (396, 6_000),
        13..=20 => (396, 11_880),
        21 => (792, 19_800),
        22..=29 => (1_620, 20_250),
        30 => (1_620, 40_500),
        31 => (3_600, 108_000),
        32..=39 => (5_120, 216_000),
        40..=41 => (8_192, 245_760),
        42..=49 => (8_704, 522_240),
        50 => (22_080, 589_824),
        51.. => (36_864, 983_040),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sdp(parameters: &str) -> String {
        format!(
            "m=video 9 UDP/TLS/RTP/SAVPF 96 102\r\na=rtpmap:102 H264/90000\r\na=fmtp:102 {parameters}\r\n"
        )
    }

    fn h264_limit(local: &str, remote: &str) -> u32 {
        macroblocks(&sdp(local), &sdp(remote), VideoCodec::H264, 102)
    }

    const LOW: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
    const HIGH: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e028";

    #[test]
    fn each_direction_has_the_level_of_who_receives_it_if_both_allow_that() {
        assert_eq!(h264_limit(HIGH, HIGH), 8192);
        assert_eq!(h264_limit(HIGH, LOW), 3600);
        assert_eq!(h264_limit(LOW, HIGH), 8192);
    }

    #[test]
    fn without_asymmetry_on_both_sides_the_lower_level_binds_both() {
        let plain = "packetization-mode=1; profile-level-id=42E028";
        assert_eq!(h264_limit(LOW, plain), 3600);
        assert_eq!(h264_limit(plain, HIGH), 8192);
        assert_eq!(h264_limit("packetization-mode=1;profile-level-id=42e01f", HIGH), 3600);
    }

    #[test]
    fn a_level_counts_at_thirty_pictures_a_second_and_may_be_extended() {
        let at = |level: &str, more: &str| {
            h264_limit(HIGH, &format!("level-asymmetry-allowed=1;profile-level-id=42e0{level}{more}"))
        };
        assert_eq!(at("1e", ""), 1350);
        assert_eq!(at("0d", ""), 396);
        assert_eq!(at("1f", ";max-fs=8160"), 3600);
        assert_eq!(at("1f", ";max-fs=8160;max-mbps=244800"), 8160);
    }

    #[test]
    fn a_description_that_says_nothing_or_nonsense_gets_what_everybody_decodes() {
        for remote in ["", "packetization-mode=1", "profile-level-id=zz", "profile-level-id=42é01", "x"] {
            assert_eq!(h264_limit(HIGH, remote), 3600, "{remote}");
        }
        assert_eq!(macroblocks("", "", VideoCodec::H264, 102), 3600);
    }

    #[test]
    fn vp8_has_no_limit_unless_one_is_said() {
        let limit = |remote: &str| macroblocks("", remote, VideoCodec::Vp8, 96);
        assert_eq!(limit("a=rtpmap:96 VP8/90000\r\n"), 8192);
        assert_eq!(limit("a=fmtp:96 max-fr=30; max-fs=1200\r\n"), 1200);
    }
}
