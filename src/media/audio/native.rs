//! The sound devices of a system without a sound server, through cpal: ALSA, CoreAudio, WASAPI.
//!
//! Driven by `devices`. Sound systems may hang in any call, so each call runs on a thread of its own with a bounded
//! wait, and is left behind if it takes longer.

use super::opened::Opened;
use super::present::{Names, Present, none_found, pick, word};
use super::resample::Resampler;
use super::ring::{CaptureReader, Health, PlaybackWriter};
use super::streams::{build_input, build_output, candidates, ranges};
use super::{AudioError, SAMPLE_RATE};
use crate::media::device::Device;
use crate::media::event::DeviceKind;
use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{ErrorKind, SampleFormat, StreamConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Longest wait for the sound system to list or open a device.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for a device to close.
const CLOSE_PATIENCE: Duration = Duration::from_millis(300);
/// Formats named in a list.
const FORMATS_SHOWN: usize = 16;

/// A running stream; closed when dropped.
struct Stream(Option<cpal::Stream>);

impl Drop for Stream {
    fn drop(&mut self) {
        let Some(stream) = self.0.take() else { return };
        let never = AtomicBool::new(false);
        if bounded_for("audio-close", &never, CLOSE_PATIENCE, move || drop(stream)).is_none() {
            tracing::debug!("a device did not confirm that it is closed");
        }
    }
}

/// What there is at this moment; `None` if the sound system does not answer.
pub(super) fn present(stopping: &AtomicBool) -> Option<Present> {
    bounded("audio-list", stopping, || {
        let host = cpal::default_host();
        let of = |kind| {
            let devices = devices(&host, kind);
            devices.iter().filter_map(known).collect()
        };
        let default = |kind| default(&host, kind).as_ref().and_then(known).map(|known| known.id);
        Present {
            microphones: of(DeviceKind::Microphone),
            speakers: of(DeviceKind::Speaker),
            microphone: default(DeviceKind::Microphone),
            speaker: default(DeviceKind::Speaker),
        }
    })
}

/// Everything that can be chosen, the default first: microphones and speakers.
pub(super) fn list() -> (Vec<Device>, Vec<Device>) {
    bounded("audio-list", &AtomicBool::new(false), || {
        let host = cpal::default_host();
        (list_kind(&host, DeviceKind::Microphone), list_kind(&host, DeviceKind::Speaker))
    })
    .unwrap_or_default()
}

/// Opens the chosen microphone, or the default one.
pub(super) fn open_microphone(
    chosen: Option<String>,
    stopping: &AtomicBool,
) -> Result<Opened<CaptureReader>, AudioError> {
    open(DeviceKind::Microphone, chosen, stopping, |device, format, config| {
        let (stream, end, health) = build_input(device, format, config)?;
        Ok((stream, end, health, Resampler::new(config.sample_rate, SAMPLE_RATE)))
    })
}

/// Opens the chosen speaker, or the default one.
pub(super) fn open_speaker(
    chosen: Option<String>,
    stopping: &AtomicBool,
) -> Result<Opened<PlaybackWriter>, AudioError> {
    open(DeviceKind::Speaker, chosen, stopping, |device, format, config| {
        let (stream, end, health) = build_output(device, format, config)?;
        Ok((stream, end, health, Resampler::new(SAMPLE_RATE, config.sample_rate)))
    })
}

type Built<End> = Result<(cpal::Stream, End, Arc<Health>, Resampler), cpal::Error>;

/// Opens a device in the first format that it takes.
fn open<End: Send + 'static>(
    kind: DeviceKind,
    chosen: Option<String>,
    stopping: &AtomicBool,
    build: impl Fn(&cpal::Device, SampleFormat, StreamConfig) -> Built<End> + Send + 'static,
) -> Result<Opened<End>, AudioError> {
    bounded("audio-open", stopping, move || {
        let device = find(&cpal::default_host(), kind, chosen.as_deref())?;
        let mut failure = None;
        for (format, config) in candidates(&device, kind) {
            match build(&device, format, config) {
                Ok((stream, end, health, resampler)) => {
                    let text = device.to_string();
                    let names = known(&device).unwrap_or_else(|| Names { id: text.clone(), name: text });
                    let hertz = config.sample_rate;
                    let stream = Box::new(Stream(Some(stream)));
                    return Ok(Opened::new(end, resampler, hertz, stream, health, names));
                }
                Err(error) => {
                    tracing::debug!(%device, ?format, ?config, %error, "could not be opened like this");
                    failure = Some(worse(failure, error));
                }
            }
        }
        Err(refusal(&device, kind, chosen.is_none(), failure))
    })
    .unwrap_or_else(|| Err(AudioError::NoDevice("the sound system does not answer".into())))
}

/// The refusal of access is the one reason that must not be lost among the failures of other formats.
fn worse(before: Option<cpal::Error>, error: cpal::Error) -> cpal::Error {
    before.filter(|before| before.kind() == ErrorKind::PermissionDenied).unwrap_or(error)
}

fn refusal(
    device: &cpal::Device,
    kind: DeviceKind,
    default: bool,
    failure: Option<cpal::Error>,
) -> AudioError {
    let device = device.to_string();
    match failure {
        // ALSA names a default on machines without any sound card.
        Some(error) if default && error.kind() == ErrorKind::DeviceNotAvailable => none_found(kind),
        Some(error) if error.kind() == ErrorKind::PermissionDenied => AudioError::Refused(device),
        Some(error) => AudioError::Device { device, reason: error.to_string() },
        None => AudioError::Device { device, reason: "it offers no format".into() },
    }
}

fn known(device: &cpal::Device) -> Option<Names> {
    let id = device.id().ok()?.to_string();
    let name = device.description().map_or_else(|_| id.clone(), |text| text.name().to_owned());
    Some(Names { id, name })
}

fn default(host: &cpal::Host, kind: DeviceKind) -> Option<cpal::Device> {
    let device = match kind {
        DeviceKind::Speaker => host.default_output_device(),
        DeviceKind::Microphone | DeviceKind::Camera => host.default_input_device(),
    };
    // ALSA names a default, and a dozen plugins, on a machine without any sound card, and complains on stderr whenever
    // one of them is opened.
    device.filter(|_| host.devices().is_ok_and(|mut devices| devices.any(|device| is_real(&device))))
}

/// Whether sound can come from there or go there: ALSA's plugins convert, discard, or lead to servers that do not run.
fn is_real(device: &cpal::Device) -> bool {
    known(device).is_some_and(|Names { id, .. }| match id.strip_prefix("alsa:") {
        Some(name) => name.contains("CARD=") || name == "pipewire",
        None => true,
    })
}

/// Whether somebody may want to choose it.
fn is_listed(device: &cpal::Device) -> bool {
    is_real(device) || known(device).is_some_and(|Names { id, .. }| id == "alsa:default")
}

fn devices(host: &cpal::Host, kind: DeviceKind) -> Vec<cpal::Device> {
    let usable = |device: &cpal::Device| match kind {
        DeviceKind::Speaker => device.supports_output(),
        DeviceKind::Microphone | DeviceKind::Camera => device.supports_input(),
    };
    host.devices().map(|devices| devices.filter(usable).collect()).unwrap_or_default()
}

fn find(host: &cpal::Host, kind: DeviceKind, chosen: Option<&str>) -> Result<cpal::Device, AudioError> {
    let Some(chosen) = chosen else { return default(host, kind).ok_or_else(|| none_found(kind)) };
    let mut devices = devices(host, kind);
    let names: Vec<Names> = devices.iter().filter_map(known).collect();
    let wanted = pick(&names, chosen);
    let at = devices.iter().position(|device| wanted.is_some() && known(device).as_ref() == wanted);
    at.map(|at| devices.swap_remove(at)).ok_or_else(|| {
        AudioError::NoDevice(format!("there is no {} \"{chosen}\"; connect or choose another", word(kind)))
    })
}

fn list_kind(host: &cpal::Host, kind: DeviceKind) -> Vec<Device> {
    let Some(default) = default(host, kind) else { return Vec::new() };
    let default = known(&default).map(|known| known.id);
    let mut list: Vec<Device> = devices(host, kind)
        .iter()
        .filter(|device| is_listed(device))
        .filter_map(|device| known(device).map(|known| (known, formats(device, kind))))
        .map(|(Names { id, name }, formats)| Device {
            default: default.as_ref() == Some(&id),
            id,
            name,
            formats,
        })
        .collect();
    list.sort_by_key(|device| !device.default);
    list
}

fn formats(device: &cpal::Device, kind: DeviceKind) -> Vec<String> {
    let text =
        |rate: String, channels: u16, format: SampleFormat| format!("{rate} Hz {channels} ch {format}");
    let speaker = kind == DeviceKind::Speaker;
    let default = if speaker { device.default_output_config() } else { device.default_input_config() };
    let mut formats: Vec<String> = default
        .map(|config| text(config.sample_rate().to_string(), config.channels(), config.sample_format()))
        .into_iter()
        .collect();
    formats.extend(ranges(device, speaker).iter().take(FORMATS_SHOWN).map(|range| {
        let (low, high) = (range.min_sample_rate(), range.max_sample_rate());
        let rate = if low == high { low.to_string() } else { format!("{low}-{high}") };
        text(rate, range.channels(), range.sample_format())
    }));
    formats.dedup();
    formats
}

/// Runs `work` on a thread of its own and waits for it up to [`PATIENCE`], or until `stopping`.
fn bounded<T: Send + 'static>(
    name: &str,
    stopping: &AtomicBool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    bounded_for(name, stopping, PATIENCE, work)
}

fn bounded_for<T: Send + 'static>(
    name: &str,
    stopping: &AtomicBool,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, result) = sync_channel(1);
    let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
        // A result that nobody waits for any more is dropped here: a device that opens too late closes again.
        drop(done.send(work()));
    });
    if let Err(error) = thread {
        tracing::error!(%error, name, "the system gave no thread");
        return None;
    }
    let deadline = Instant::now() + patience;
    loop {
        match result.recv_timeout(Duration::from_millis(20)) {
            Ok(value) => return Some(value),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if Instant::now() >= deadline || stopping.load(Ordering::Acquire) {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_left_behind() {
        let never = AtomicBool::new(false);
        let began = Instant::now();
        let nap = || std::thread::sleep(Duration::from_secs(20));
        assert!(bounded_for("audio-nap", &never, Duration::from_millis(50), nap).is_none());
        let stopping = AtomicBool::new(true);
        assert!(bounded("audio-nap", &stopping, nap).is_none());
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(bounded("audio-quick", &never, || 7), Some(7));
    }
}
