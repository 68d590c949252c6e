//! The sound devices of the system, through cpal: finding, opening, closing.
//!
//! Driven by the `audio-devices` thread and by whoever lists devices. Sound systems may hang in any call, so each runs
//! on a thread of its own with a bounded wait, and is left behind if it takes longer.

use super::resample::Resampler;
use super::ring::{CaptureReader, Health, PlaybackWriter};
use super::streams::{build_input, build_output, candidates, ranges};
use super::{AudioError, SAMPLE_RATE};
use crate::media::device::Device;
use crate::media::event::DeviceKind;
use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{ErrorKind, HostId, SampleFormat};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait for the sound system to list or open a device.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for a device to close. PulseAudio never confirms the end of a stream whose device has gone.
const CLOSE_PATIENCE: Duration = Duration::from_millis(300);
/// Formats named in a list; more than this is a sound server that converts from anything.
const FORMATS_SHOWN: usize = 16;

/// The connection to the sound server, kept for the whole program: its client leaves a thread and a socket behind for
/// every connection that is dropped.
static SERVER: Mutex<Option<Arc<cpal::Host>>> = Mutex::new(None);

/// The microphones and the speakers of this machine, the default first and the monitors of speakers last. Takes at
/// most 5 s, and lists nothing then.
pub fn list_devices() -> (Vec<Device>, Vec<Device>) {
    let never = AtomicBool::new(false);
    bounded("audio-list", &never, || {
        let host = host();
        (list(&host, DeviceKind::Microphone), list(&host, DeviceKind::Speaker))
    })
    .unwrap_or_default()
}

/// What there is, by id.
#[derive(Clone, Debug, Default)]
pub(super) struct Present {
    /// Every device.
    pub(super) all: Vec<Names>,
    /// The default microphone.
    pub(super) microphone: Option<String>,
    /// The default speaker.
    pub(super) speaker: Option<String>,
}

/// A device's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) id: String,
    pub(super) name: String,
}

impl Names {
    /// Whether this is the device that somebody chose by id (with or without the sound system's name) or by name.
    pub(super) fn is(&self, chosen: &str) -> bool {
        let bare = self.id.split_once(':').map_or("", |(_, bare)| bare);
        chosen == self.id || chosen == bare || chosen == self.name
    }
}

/// What there is at this moment; `None` if the sound system does not answer.
pub(super) fn present(stopping: &AtomicBool) -> Option<Present> {
    bounded("audio-list", stopping, || {
        let host = host();
        let all = host.devices().ok()?.filter_map(|device| known(&device)).collect();
        let speaker = default_speaker(&host).and_then(|device| known(&device)).map(|known| known.id);
        let microphone = default_microphone(&host).and_then(|device| known(&device)).map(|known| known.id);
        Some(Present { all, microphone, speaker })
    })?
}

/// An open device.
pub(super) struct Opened<End> {
    /// The `audio` thread's end of its ring.
    pub(super) end: End,
    /// Between its rate and ours.
    pub(super) resampler: Resampler,
    /// Its rate.
    pub(super) hertz: u32,
    /// Dropping it closes the device.
    pub(super) stream: OpenStream,
}

/// A running stream; closed when dropped.
pub(super) struct OpenStream {
    stream: Option<cpal::Stream>,
    /// What its callback leaves behind.
    pub(super) health: Arc<Health>,
    /// The device's names.
    pub(super) names: Names,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        let never = AtomicBool::new(false);
        if bounded_for("audio-close", &never, CLOSE_PATIENCE, move || drop(stream)).is_none() {
            tracing::debug!(device = self.names.name, "did not confirm that it is closed");
        }
    }
}

/// Opens the chosen microphone, or the default one.
pub(super) fn open_microphone(
    chosen: Option<String>,
    stopping: &AtomicBool,
) -> Result<Opened<CaptureReader>, AudioError> {
    answered(bounded("audio-open", stopping, move || {
        let device = find(&host(), DeviceKind::Microphone, chosen.as_deref())?;
        let mut failure = None;
        for (format, config) in candidates(&device, DeviceKind::Microphone) {
            match build_input(&device, format, config) {
                Ok((stream, end, health)) => {
                    let resampler = Resampler::new(config.sample_rate, SAMPLE_RATE);
                    return Ok(opened(&device, stream, health, end, resampler, config.sample_rate));
                }
                Err(error) => {
                    tracing::debug!(%device, ?format, ?config, %error, "could not be opened like this");
                    failure = Some(worse(failure, error));
                }
            }
        }
        Err(refusal(&device, DeviceKind::Microphone, chosen.is_none(), failure))
    }))
}

/// Opens the chosen speaker, or the default one.
pub(super) fn open_speaker(
    chosen: Option<String>,
    stopping: &AtomicBool,
) -> Result<Opened<PlaybackWriter>, AudioError> {
    answered(bounded("audio-open", stopping, move || {
        let shared = host();
        let mut device = find(&shared, DeviceKind::Speaker, chosen.as_deref())?;
        if is_sound_server(shared.id()) {
            // PulseAudio synchronizes all playback streams of a connection and so refuses a second one to another
            // device: each gets a connection of its own, which ends with it.
            device = find(&cpal::default_host(), DeviceKind::Speaker, chosen.as_deref())?;
        }
        let mut failure = None;
        for (format, config) in candidates(&device, DeviceKind::Speaker) {
            match build_output(&device, format, config) {
                Ok((stream, end, health)) => {
                    let resampler = Resampler::new(SAMPLE_RATE, config.sample_rate);
                    return Ok(opened(&device, stream, health, end, resampler, config.sample_rate));
                }
                Err(error) => {
                    tracing::debug!(%device, ?format, ?config, %error, "could not be opened like this");
                    failure = Some(worse(failure, error));
                }
            }
        }
        Err(refusal(&device, DeviceKind::Speaker, chosen.is_none(), failure))
    }))
}

/// The refusal of access is the one reason that must not be lost among the failures of other formats.
fn worse(before: Option<cpal::Error>, error: cpal::Error) -> cpal::Error {
    before.filter(|before| before.kind() == ErrorKind::PermissionDenied).unwrap_or(error)
}

fn answered<T>(result: Option<Result<T, AudioError>>) -> Result<T, AudioError> {
    result.unwrap_or_else(|| {
        // The next attempt begins with a new connection.
        *SERVER.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Err(AudioError::NoDevice("the system's sound service does not answer; restart it".into()))
    })
}

fn opened<End>(
    device: &cpal::Device,
    stream: cpal::Stream,
    health: Arc<Health>,
    end: End,
    resampler: Resampler,
    hertz: u32,
) -> Opened<End> {
    let names = known(device).unwrap_or_else(|| Names { id: device.to_string(), name: device.to_string() });
    Opened { end, resampler, hertz, stream: OpenStream { stream: Some(stream), health, names } }
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

/// The sound system: PulseAudio (or PipeWire in its place) if it answers, else the system's own.
fn host() -> Arc<cpal::Host> {
    let cached = SERVER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(host) = cached.filter(|host| host.devices().is_ok()) {
        return host;
    }
    let host = Arc::new(cpal::default_host());
    *SERVER.lock().unwrap_or_else(PoisonError::into_inner) =
        is_sound_server(host.id()).then(|| Arc::clone(&host));
    host
}

#[cfg(target_os = "linux")]
fn is_sound_server(id: HostId) -> bool {
    id != HostId::Alsa
}

#[cfg(not(target_os = "linux"))]
fn is_sound_server(_: HostId) -> bool {
    false
}

fn known(device: &cpal::Device) -> Option<Names> {
    let id = device.id().ok()?.to_string();
    let name = device.description().map_or_else(|_| id.clone(), |text| text.name().to_owned());
    Some(Names { id, name })
}

/// The default speaker.
fn default_speaker(host: &cpal::Host) -> Option<cpal::Device> {
    host.default_output_device().filter(|_| has_sound(host))
}

/// Whether there is anything behind the default. ALSA names one, and a dozen plugins, on a machine without any sound
/// card, and complains on stderr whenever one of them is opened.
fn has_sound(host: &cpal::Host) -> bool {
    is_sound_server(host.id())
        || host.devices().is_ok_and(|mut devices| devices.any(|device| is_real(&device)))
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

/// The default microphone. A sound server without one offers what its speaker plays, which would send the other side's
/// own voice back.
fn default_microphone(host: &cpal::Host) -> Option<cpal::Device> {
    let device = host.default_input_device().filter(|_| has_sound(host))?;
    let speaker = default_speaker(host).and_then(|speaker| known(&speaker));
    match (known(&device), speaker) {
        (Some(input), Some(output)) if input.id == format!("{}.monitor", output.id) => None,
        _ => Some(device),
    }
}

fn find(host: &cpal::Host, kind: DeviceKind, chosen: Option<&str>) -> Result<cpal::Device, AudioError> {
    let default = match kind {
        DeviceKind::Speaker => default_speaker(host),
        DeviceKind::Microphone | DeviceKind::Camera => default_microphone(host),
    };
    let Some(chosen) = chosen else { return default.ok_or_else(|| none_found(kind)) };
    let devices = host.devices().map_err(|error| AudioError::NoDevice(error.to_string()))?;
    devices
        .filter(|device| known(device).is_some_and(|known| known.is(chosen)))
        .find(|device| usable(device, kind))
        .ok_or_else(|| {
            AudioError::NoDevice(format!(
                "there is no {} \"{chosen}\"; connect or choose another",
                word(kind)
            ))
        })
}

fn none_found(kind: DeviceKind) -> AudioError {
    AudioError::NoDevice(format!("no {} was found; connect one and it is used", word(kind)))
}

fn word(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Speaker => "speaker",
        DeviceKind::Microphone | DeviceKind::Camera => "microphone",
    }
}

fn usable(device: &cpal::Device, kind: DeviceKind) -> bool {
    match kind {
        DeviceKind::Speaker => device.supports_output(),
        DeviceKind::Microphone | DeviceKind::Camera => device.supports_input(),
    }
}

fn list(host: &cpal::Host, kind: DeviceKind) -> Vec<Device> {
    let default = match kind {
        DeviceKind::Speaker => default_speaker(host),
        DeviceKind::Microphone | DeviceKind::Camera => default_microphone(host),
    };
    let default = default.and_then(|device| known(&device)).map(|known| known.id);
    if !has_sound(host) {
        return Vec::new();
    }
    let Ok(devices) = host.devices() else { return Vec::new() };
    let mut list: Vec<Device> = devices
        .filter(is_listed)
        .filter(|device| usable(device, kind))
        .filter_map(|device| known(&device).map(|known| (known, formats(&device, kind))))
        .map(|(Names { id, name }, formats)| Device {
            default: default.as_ref() == Some(&id),
            id,
            name,
            formats,
        })
        .collect();
    list.sort_by_key(|device| (!device.default, device.id.ends_with(".monitor")));
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
    let ranges = ranges(device, speaker);
    if ranges.len() <= FORMATS_SHOWN {
        formats.extend(ranges.iter().map(|range| {
            let (low, high) = (range.min_sample_rate(), range.max_sample_rate());
            let rate = if low == high { low.to_string() } else { format!("{low}-{high}") };
            text(rate, range.channels(), range.sample_format())
        }));
        formats.dedup();
    }
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
            Err(RecvTimeoutError::Timeout) => {
                if Instant::now() >= deadline || stopping.load(Ordering::Acquire) {
                    return None;
                }
            }
        }
    }
}
