//! Streams of a device in whichever format it takes: ours if it can, else its own.
//!
//! Driven by `devices`, on threads that may block. The callbacks built here run on the sound system's threads and only
//! touch rings.

use super::ring::{self, CaptureReader, Health, PlaybackReader, PlaybackWriter};
use super::{BLOCK, SAMPLE_RATE};
use crate::media::event::DeviceKind;
use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, FromSample, SampleFormat, SizedSample, StreamConfig};
use std::sync::Arc;
use std::time::Duration;

/// How long the sound system may take to set up a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Formats to try, best first: ours, then the device's own nearest to it, each first with a buffer of 10 ms.
pub(super) fn candidates(device: &cpal::Device, kind: DeviceKind) -> Vec<(SampleFormat, StreamConfig)> {
    let config = |channels, sample_rate, buffer_size| StreamConfig { channels, sample_rate, buffer_size };
    let ten_ms = |sample_rate: u32| BufferSize::Fixed(sample_rate / (SAMPLE_RATE / BLOCK as u32));
    let mut list = vec![(SampleFormat::F32, config(1, SAMPLE_RATE, ten_ms(SAMPLE_RATE)))];
    let speaker = kind == DeviceKind::Speaker;
    let mut own: Vec<(SampleFormat, u16, u32)> = ranges(device, speaker)
        .iter()
        .map(|range| {
            let rate = SAMPLE_RATE.clamp(range.min_sample_rate(), range.max_sample_rate());
            (range.sample_format(), range.channels(), rate)
        })
        .collect();
    own.sort_by_key(|(format, channels, rate)| {
        let coarse = matches!(format, SampleFormat::U8 | SampleFormat::I8);
        (*channels > 2, coarse, rate.abs_diff(SAMPLE_RATE), *channels)
    });
    own.truncate(4);
    let default = if speaker { device.default_output_config() } else { device.default_input_config() };
    if let Ok(default) = default {
        own.push((default.sample_format(), default.channels(), default.sample_rate()));
    }
    for (format, channels, rate) in own {
        list.push((format, config(channels, rate, ten_ms(rate))));
        list.push((format, config(channels, rate, BufferSize::Default)));
    }
    list
}

/// A running stream from a microphone.
pub(super) fn build_input(
    device: &cpal::Device,
    format: SampleFormat,
    config: StreamConfig,
) -> Result<(cpal::Stream, CaptureReader, Arc<Health>), cpal::Error> {
    fn of<T: SizedSample>(
        device: &cpal::Device,
        config: StreamConfig,
    ) -> Result<(cpal::Stream, CaptureReader, Arc<Health>), cpal::Error>
    where
        f32: FromSample<T>,
    {
        let (mut writer, reader, health) = ring::capture(config.sample_rate, config.channels);
        let callback = move |samples: &[T], _: &cpal::InputCallbackInfo| writer.push(samples);
        let stream = device.build_input_stream(config, callback, on_error(&health), Some(OPEN_TIMEOUT))?;
        stream.play()?;
        Ok((stream, reader, health))
    }
    match format {
        SampleFormat::F32 => of::<f32>(device, config),
        SampleFormat::F64 => of::<f64>(device, config),
        SampleFormat::I8 => of::<i8>(device, config),
        SampleFormat::I16 => of::<i16>(device, config),
        SampleFormat::I24 => of::<cpal::I24>(device, config),
        SampleFormat::I32 => of::<i32>(device, config),
        SampleFormat::U8 => of::<u8>(device, config),
        SampleFormat::U16 => of::<u16>(device, config),
        SampleFormat::U32 => of::<u32>(device, config),
        _ => Err(ErrorKind::UnsupportedConfig.into()),
    }
}

/// A running stream to a speaker.
pub(super) fn build_output(
    device: &cpal::Device,
    format: SampleFormat,
    config: StreamConfig,
) -> Result<(cpal::Stream, PlaybackWriter, Arc<Health>), cpal::Error> {
    fn of<T: SizedSample + FromSample<f32>>(
        device: &cpal::Device,
        config: StreamConfig,
    ) -> Result<(cpal::Stream, PlaybackWriter, Arc<Health>), cpal::Error> {
        let (writer, mut reader, health): (_, PlaybackReader, _) =
            ring::playback(config.sample_rate, config.channels);
        let callback = move |samples: &mut [T], _: &cpal::OutputCallbackInfo| reader.pop(samples);
        let stream = device.build_output_stream(config, callback, on_error(&health), Some(OPEN_TIMEOUT))?;
        stream.play()?;
        Ok((stream, writer, health))
    }
    match format {
        SampleFormat::F32 => of::<f32>(device, config),
        SampleFormat::F64 => of::<f64>(device, config),
        SampleFormat::I8 => of::<i8>(device, config),
        SampleFormat::I16 => of::<i16>(device, config),
        SampleFormat::I24 => of::<cpal::I24>(device, config),
        SampleFormat::I32 => of::<i32>(device, config),
        SampleFormat::U8 => of::<u8>(device, config),
        SampleFormat::U16 => of::<u16>(device, config),
        SampleFormat::U32 => of::<u32>(device, config),
        _ => Err(ErrorKind::UnsupportedConfig.into()),
    }
}

/// Only what ends a stream counts: a glitch, a change of route or a refused priority does not.
fn on_error(health: &Arc<Health>) -> impl FnMut(cpal::Error) + Send + 'static {
    let health = Arc::clone(health);
    move |error| match error.kind() {
        ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
        _ => health.fail(),
    }
}

/// The formats that a device offers.
pub(super) fn ranges(device: &cpal::Device, speaker: bool) -> Vec<cpal::SupportedStreamConfigRange> {
    if speaker {
        device.supported_output_configs().map(Iterator::collect)
    } else {
        device.supported_input_configs().map(Iterator::collect)
    }
    .unwrap_or_default()
}
