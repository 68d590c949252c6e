//! What the server was asked, and what becomes of its answers.

use super::super::ring::Health;
use super::PulseError;
use super::ahead::Ahead;
use super::stream::{End, Stream, find};
use super::wire::SAMPLE;
use pulseaudio::protocol::{self, CommandReply, ProtocolError, TagStructReader};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// Who waits for an answer.
pub(super) enum Pending {
    Asked(SyncSender<Result<Vec<u8>, PulseError>>),
    Opened(End, Arc<Health>, SyncSender<Result<Vec<u8>, PulseError>>),
    Timing { channel: u32, playback: bool },
    Nobody,
}

/// Who waits for the answer of this number; from now on nobody does.
pub(super) fn take(pending: &mut Vec<(u32, Pending)>, sequence: u32) -> Option<Pending> {
    let at = pending.iter().position(|(number, _)| *number == sequence)?;
    Some(pending.swap_remove(at).1)
}

/// Reads an answer.
pub(super) fn read<T: CommandReply>(body: &[u8], version: u16) -> Result<T, ProtocolError> {
    TagStructReader::new(&mut &*body, version).read()
}

/// Passes an answer on to whoever waits for it. Gives the stream that was made and that nobody waits for any more.
pub(super) fn answer(
    pending: Pending,
    body: &[u8],
    version: u16,
    streams: &mut Vec<Stream>,
) -> Option<(u32, bool)> {
    match pending {
        Pending::Nobody => {}
        Pending::Asked(reply) => drop(reply.try_send(Ok(body.to_vec()))),
        Pending::Opened(end, health, reply) => {
            // The stream must be known before its first sound comes.
            let made = match &end {
                End::Playback(_) => read::<protocol::CreatePlaybackStreamReply>(body, version)
                    .map(|made| (made.channel, made.requested_bytes as usize)),
                End::Capture(_) => {
                    read::<protocol::CreateRecordStreamReply>(body, version).map(|made| (made.channel, 0))
                }
            };
            let Ok((channel, wanted)) = made else {
                drop(reply.try_send(Ok(body.to_vec())));
                return None;
            };
            let playback = matches!(end, End::Playback(_));
            let ahead = Ahead::new(Instant::now());
            streams.push(Stream { channel, end, health, wanted, ahead });
            if reply.try_send(Ok(body.to_vec())).is_err() {
                return Some((channel, playback));
            }
        }
        Pending::Timing { channel, playback } => {
            let stream = find(streams, channel, playback)?;
            let waiting = |ahead: i64, behind: i64| {
                Duration::from_secs_f64((ahead - behind).max(0) as f64 / (SAMPLE as f64 * 48_000.0))
            };
            // What it plays or gave last is so old, or so far ahead.
            let late = if playback {
                read::<protocol::PlaybackLatency>(body, version).map(|timing| {
                    Duration::from_micros(timing.sink_usec) + waiting(timing.write_offset, timing.read_offset)
                })
            } else {
                read::<protocol::RecordLatency>(body, version).map(|timing| {
                    Duration::from_micros(timing.source_usec)
                        + waiting(timing.write_offset, timing.read_offset)
                })
            };
            stream.health.set_device_latency(late.unwrap_or_default());
        }
    }
    None
}
