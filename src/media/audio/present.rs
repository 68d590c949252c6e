//! What sound devices there are, by their names, and which one somebody means.

use super::AudioError;
use crate::media::event::DeviceKind;

/// A device's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// Stays the same from one start to the next.
    pub(super) id: String,
    /// For people.
    pub(super) name: String,
}

impl Names {
    /// Whether this is the device that somebody chose by id (with or without the sound system's name) or by name.
    fn is(&self, chosen: &str) -> bool {
        let bare = self.id.split_once(':').map_or("", |(_, bare)| bare);
        chosen == self.id || chosen == bare || chosen == self.name
    }
}

/// The device that was chosen: an id tells it apart from another one of the same name.
pub(super) fn pick<'a>(devices: &'a [Names], chosen: &str) -> Option<&'a Names> {
    devices.iter().find(|known| known.id == chosen).or_else(|| devices.iter().find(|known| known.is(chosen)))
}

/// What there is, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) microphones: Vec<Names>,
    pub(super) speakers: Vec<Names>,
    /// The default microphone.
    pub(super) microphone: Option<String>,
    /// The default speaker.
    pub(super) speaker: Option<String>,
}

impl Present {
    /// The devices of a kind.
    pub(super) fn of(&self, kind: DeviceKind) -> &[Names] {
        match kind {
            DeviceKind::Speaker => &self.speakers,
            DeviceKind::Microphone | DeviceKind::Camera => &self.microphones,
        }
    }

    /// The default of a kind.
    pub(super) fn default_of(&self, kind: DeviceKind) -> Option<&str> {
        match kind {
            DeviceKind::Speaker => self.speaker.as_deref(),
            DeviceKind::Microphone | DeviceKind::Camera => self.microphone.as_deref(),
        }
    }
}

pub(super) fn none_found(kind: DeviceKind) -> AudioError {
    AudioError::NoDevice(format!("no {} was found; connect one and it is used", word(kind)))
}

pub(super) fn word(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Speaker => "speaker",
        DeviceKind::Microphone | DeviceKind::Camera => "microphone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_devices_of_one_name_apart() {
        let names = |id: &str, name: &str| Names { id: id.into(), name: name.into() };
        let all =
            [names("pulseaudio:a", "Headset"), names("pulseaudio:b", "Headset"), names("pulseaudio:c", "a")];
        for (chosen, id) in
            [("pulseaudio:b", "pulseaudio:b"), ("b", "pulseaudio:b"), ("Headset", "pulseaudio:a")]
        {
            assert_eq!(pick(&all, chosen).map(|found| found.id.as_str()), Some(id), "{chosen}");
        }
        assert_eq!(pick(&all, "gone"), None);
    }
}
