//! The sound devices of the system: finding, opening, closing.
//!
//! Driven by the `audio-devices` thread and by whoever lists devices. Where a sound server runs (PulseAudio, or PipeWire
//! in its place) it is asked through [`pulse`](super::pulse), else the system's own library through
//! [`native`](super::native). Neither can hang its caller.

use super::AudioError;
use super::native;
use super::opened::Opened;
use super::present::Present;
#[cfg(target_os = "linux")]
use super::present::{Names, none_found, pick, word};
#[cfg(target_os = "linux")]
use super::pulse;
#[cfg(target_os = "linux")]
use super::resample::Resampler;
#[cfg(target_os = "linux")]
use super::ring::Health;
use super::ring::{CaptureReader, PlaybackWriter};
#[cfg(target_os = "linux")]
use super::{SAMPLE_RATE, ring};
use crate::media::device::Device;
#[cfg(target_os = "linux")]
use crate::media::event::DeviceKind;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// A sound server that went away gets this long to come back before its devices are opened behind its back, which
/// would keep it from them.
#[cfg(target_os = "linux")]
const SERVER_MAY_RETURN: Duration = Duration::from_secs(10);
/// What the ids of a sound server's devices begin with.
#[cfg(target_os = "linux")]
const SERVER_PREFIX: &str = "pulseaudio:";

/// The microphones and the speakers of this machine, the default first and the monitors of speakers last. Takes at
/// most some seconds, and lists nothing then.
pub fn list_devices() -> (Vec<Device>, Vec<Device>) {
    #[cfg(target_os = "linux")]
    if let Ok(server) = pulse::Server::connect(&Arc::default(), Box::new(|| {})) {
        return server.inventory().map(|inventory| listed(&inventory)).unwrap_or_default();
    }
    native::list()
}

/// The sound system, as one session sees it.
pub(super) struct System {
    stopping: Arc<AtomicBool>,
    #[cfg(target_os = "linux")]
    changed: Arc<dyn Fn() + Send + Sync>,
    #[cfg(target_os = "linux")]
    server: Option<pulse::Server>,
    /// When the server was last there.
    #[cfg(target_os = "linux")]
    server_seen: Option<Instant>,
}

impl System {
    /// Nothing is opened yet. `changed` is called on another thread when it is worth looking what there is. Waits end
    /// early when `stopping`.
    pub(super) fn new(stopping: Arc<AtomicBool>, changed: Arc<dyn Fn() + Send + Sync>) -> Self {
        #[cfg(target_os = "linux")]
        return Self { stopping, changed, server: None, server_seen: None };
        #[cfg(not(target_os = "linux"))]
        {
            drop(changed);
            Self { stopping }
        }
    }

    /// Whether `changed` is called when devices come and go.
    pub(super) fn tells_of_changes(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.server.as_ref().is_some_and(pulse::Server::is_alive);
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// What there is at this moment; `None` if the sound system does not answer.
    pub(super) fn present(&mut self) -> Option<Present> {
        #[cfg(target_os = "linux")]
        match self.server() {
            Server::Here(server) => return server.inventory().ok().map(|inventory| present(&inventory)),
            Server::Away => return Some(Present::default()),
            Server::Never(_) => {}
        }
        native::present(&self.stopping)
    }

    /// Opens the chosen microphone, or the default one.
    pub(super) fn open_microphone(
        &mut self,
        chosen: Option<&str>,
    ) -> Result<Opened<CaptureReader>, AudioError> {
        #[cfg(target_os = "linux")]
        let trouble = match self.server() {
            Server::Here(server) => {
                let names = wanted(server, DeviceKind::Microphone, chosen)?;
                let (writer, reader, health) = ring::capture(SAMPLE_RATE, 1);
                let stream = server.record(bare(&names), writer, Arc::clone(&health));
                return from_server(stream, reader, health, names);
            }
            Server::Away => return Err(server_away()),
            Server::Never(trouble) => trouble,
        };
        #[cfg(not(target_os = "linux"))]
        let trouble = None;
        explain(native::open_microphone(chosen.map(str::to_owned), &self.stopping), trouble)
    }

    /// Opens the chosen speaker, or the default one.
    pub(super) fn open_speaker(
        &mut self,
        chosen: Option<&str>,
    ) -> Result<Opened<PlaybackWriter>, AudioError> {
        #[cfg(target_os = "linux")]
        let trouble = match self.server() {
            Server::Here(server) => {
                let names = wanted(server, DeviceKind::Speaker, chosen)?;
                let (writer, reader, health) = ring::playback(SAMPLE_RATE, 1);
                let stream = server.play(bare(&names), reader, Arc::clone(&health));
                return from_server(stream, writer, health, names);
            }
            Server::Away => return Err(server_away()),
            Server::Never(trouble) => trouble,
        };
        #[cfg(not(target_os = "linux"))]
        let trouble = None;
        explain(native::open_speaker(chosen.map(str::to_owned), &self.stopping), trouble)
    }

    /// The sound server, if one runs: connects when there is no connection, or none any more.
    #[cfg(target_os = "linux")]
    fn server(&mut self) -> Server<'_> {
        let now = Instant::now();
        let mut trouble = None;
        if self.server.as_ref().is_none_or(|server| !server.is_alive()) {
            self.server = None;
            let changed = Arc::clone(&self.changed);
            match pulse::Server::connect(&self.stopping, Box::new(move || changed())) {
                Ok(server) => self.server = Some(server),
                Err(pulse::PulseError::NotRunning) => tracing::debug!("no sound server"),
                Err(error) => {
                    tracing::debug!(%error, "the sound server is of no use");
                    trouble = Some(AudioError::NoDevice(error.to_string()));
                }
            }
        }
        match &self.server {
            Some(server) => {
                self.server_seen = Some(now);
                Server::Here(server)
            }
            None if self.server_seen.is_some_and(|seen| now.duration_since(seen) < SERVER_MAY_RETURN) => {
                Server::Away
            }
            None => Server::Never(trouble),
        }
    }
}

#[cfg(target_os = "linux")]
enum Server<'a> {
    Here(&'a pulse::Server),
    /// It was there a moment ago.
    Away,
    /// With what is wrong, if one runs and is of no use.
    Never(Option<AudioError>),
}

/// Who finds no device because the server that has them all is of no use is told that.
fn explain<End>(
    opened: Result<Opened<End>, AudioError>,
    trouble: Option<AudioError>,
) -> Result<Opened<End>, AudioError> {
    match (opened, trouble) {
        (Err(AudioError::NoDevice(_)), Some(trouble)) => Err(trouble),
        (opened, _) => opened,
    }
}

#[cfg(target_os = "linux")]
fn server_away() -> AudioError {
    AudioError::NoDevice("the sound service stopped; it is used again when it is back".into())
}

#[cfg(target_os = "linux")]
fn from_server<End>(
    stream: Result<pulse::Stream, pulse::PulseError>,
    end: End,
    health: Arc<Health>,
    names: Names,
) -> Result<Opened<End>, AudioError> {
    let stream = stream.map_err(|error| match error {
        pulse::PulseError::Refused(pulseaudio::protocol::PulseError::AccessDenied) => {
            AudioError::Refused(names.name.clone())
        }
        error => AudioError::Device { device: names.name.clone(), reason: error.to_string() },
    })?;
    let resampler = Resampler::new(SAMPLE_RATE, SAMPLE_RATE);
    Ok(Opened::new(end, resampler, SAMPLE_RATE, Box::new(stream), health, names))
}

/// The names of the chosen device, or of the default one.
#[cfg(target_os = "linux")]
fn wanted(server: &pulse::Server, kind: DeviceKind, chosen: Option<&str>) -> Result<Names, AudioError> {
    let inventory = server.inventory().map_err(|error| AudioError::NoDevice(error.to_string()))?;
    let present = present(&inventory);
    match chosen {
        Some(chosen) => pick(present.of(kind), chosen).cloned().ok_or_else(|| {
            AudioError::NoDevice(format!(
                "there is no {} \"{chosen}\"; connect or choose another",
                word(kind)
            ))
        }),
        None => {
            let id = present.default_of(kind).ok_or_else(|| none_found(kind))?;
            present.of(kind).iter().find(|known| known.id == id).cloned().ok_or_else(|| none_found(kind))
        }
    }
}

#[cfg(target_os = "linux")]
fn bare(names: &Names) -> &str {
    names.id.strip_prefix(SERVER_PREFIX).unwrap_or(&names.id)
}

#[cfg(target_os = "linux")]
fn named(found: &pulse::Found) -> Names {
    Names { id: format!("{SERVER_PREFIX}{}", found.name), name: found.description.clone() }
}

#[cfg(target_os = "linux")]
fn present(inventory: &pulse::Inventory) -> Present {
    let default = |name: &Option<String>, all: &[pulse::Found]| {
        let found = all.iter().find(|found| Some(&found.name) == name.as_ref())?;
        Some(named(found).id)
    };
    // A sound server without a microphone offers what its speaker plays, which would send the other side's own voice
    // back.
    let heard = inventory.sources.iter().find(|source| {
        Some(&source.name) == inventory.default_source.as_ref()
            && source.monitor_of.is_some()
            && source.monitor_of == inventory.default_sink
    });
    let microphone = match heard {
        Some(_) => None,
        None => default(&inventory.default_source, &inventory.sources),
    };
    Present {
        microphones: inventory.sources.iter().map(named).collect(),
        speakers: inventory.sinks.iter().map(named).collect(),
        microphone,
        speaker: default(&inventory.default_sink, &inventory.sinks),
    }
}

#[cfg(target_os = "linux")]
fn listed(inventory: &pulse::Inventory) -> (Vec<Device>, Vec<Device>) {
    let present = present(inventory);
    let list = |all: &[pulse::Found], default: Option<&str>| {
        let mut all: Vec<&pulse::Found> = all.iter().collect();
        all.sort_by_key(|found| (Some(named(found).id.as_str()) != default, found.monitor_of.is_some()));
        let device = |found: &pulse::Found| {
            let Names { id, name } = named(found);
            Device { default: Some(id.as_str()) == default, id, name, formats: vec![found.format.clone()] }
        };
        all.into_iter().map(device).collect()
    };
    (
        list(&inventory.sources, present.microphone.as_deref()),
        list(&inventory.sinks, present.speaker.as_deref()),
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_the_speaker_plays_is_no_microphone_unless_somebody_chose_it() {
        let found = |name: &str, monitor_of: Option<&str>| pulse::Found {
            name: name.into(),
            description: name.to_uppercase(),
            format: "44100 Hz 2 ch i16".into(),
            monitor_of: monitor_of.map(str::to_owned),
        };
        let mut inventory = pulse::Inventory {
            sources: vec![found("out.monitor", Some("out")), found("mic", None)],
            sinks: vec![found("out", None)],
            default_source: Some("out.monitor".into()),
            default_sink: Some("out".into()),
        };
        let there = present(&inventory);
        assert_eq!((there.microphone, there.microphones.len()), (None, 2));
        inventory.default_source = Some("mic".into());
        assert_eq!(present(&inventory).microphone.as_deref(), Some("pulseaudio:mic"));
        let (microphones, speakers) = listed(&inventory);
        assert!(microphones[0].default && microphones[0].id == "pulseaudio:mic");
        assert!(!microphones[1].default && microphones[1].name == "OUT.MONITOR");
        assert_eq!(speakers[0].formats, ["44100 Hz 2 ch i16"]);
    }
}
