//! One direction of the keeper's: what was chosen, what runs, and when a device that does not work is tried again.

use super::opened::OpenStream;
use super::present::{Present, pick};
use crate::media::event::DeviceKind;
use std::time::{Duration, Instant};

/// A device that dies this soon, or that cannot be opened, is given a rest.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// The first rest. Each that follows is twice as long: what only stumbled is soon back, and what stays broken is not
/// heard (and told of) every second.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(15);

/// What was chosen for one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// Something that is no device.
    NoDevice,
    /// Whatever the system's default is.
    Default,
    /// The device of this id or name.
    Named(String),
}

/// One direction: what was chosen and what runs.
pub(super) struct Slot {
    kind: DeviceKind,
    chosen: Chosen,
    pub(super) stream: Option<OpenStream>,
    opened: Instant,
    rests: Rests,
}

impl Slot {
    pub(super) fn new(kind: DeviceKind) -> Self {
        let rests = Rests::default();
        Self { kind, chosen: Chosen::NoDevice, stream: None, opened: Instant::now(), rests }
    }

    /// Another choice. What runs goes on until something takes its place.
    pub(super) fn choose(&mut self, chosen: Chosen) {
        self.chosen = chosen;
        self.rests = Rests::default();
    }

    /// What was just opened.
    pub(super) fn run(&mut self, stream: OpenStream, now: Instant) {
        self.opened = now;
        self.stream = Some(stream);
    }

    /// What ran is lost. One that was pulled out is welcome back at once; one that is `there` and does not work is not.
    pub(super) fn handle_loss(&mut self, there: bool, now: Instant) {
        if there && now.saturating_duration_since(self.opened) < SHORT_LIFE {
            self.rests.begin(now);
        } else {
            self.rests = Rests::default();
        }
    }

    /// What was wanted could not be opened.
    pub(super) fn rest(&mut self, now: Instant) {
        self.rests.begin(now);
    }

    /// Whether what was chosen is not to be tried yet.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.rests.last(now)
    }

    pub(super) fn wants_device(&self) -> bool {
        self.chosen != Chosen::NoDevice
    }

    /// Whether something that was chosen does not run.
    pub(super) fn is_in_need(&self) -> bool {
        self.wants_device() && self.stream.is_none()
    }

    /// The id of the device that ought to run, given what there is.
    pub(super) fn wanted<'a>(&self, present: &'a Present) -> Option<&'a str> {
        let default = present.default_of(self.kind);
        match &self.chosen {
            Chosen::NoDevice => None,
            Chosen::Default => default,
            Chosen::Named(name) => {
                pick(present.of(self.kind), name).map(|known| known.id.as_str()).or(default)
            }
        }
    }

    pub(super) fn named(&self) -> Option<String> {
        match &self.chosen {
            Chosen::Named(name) => Some(name.clone()),
            Chosen::NoDevice | Chosen::Default => None,
        }
    }

    /// What to call it where nothing is known of it but the choice.
    pub(super) fn label(&self) -> String {
        self.named().unwrap_or_else(|| match self.kind {
            DeviceKind::Speaker => "speaker".into(),
            DeviceKind::Microphone | DeviceKind::Camera => "microphone".into(),
        })
    }
}

/// Rests that double.
#[derive(Debug, Default)]
struct Rests {
    until: Option<Instant>,
    length: Duration,
}

impl Rests {
    fn begin(&mut self, now: Instant) {
        self.length = (2 * self.length).clamp(FIRST_REST, LONGEST_REST);
        self.until = Some(now + self.length);
    }

    fn last(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_broken_is_tried_ever_less_often() {
        let (mut rests, mut now) = (Rests::default(), Instant::now());
        let lengths: Vec<u64> = (0..6)
            .map(|_| {
                rests.begin(now);
                let began = now;
                while rests.last(now) {
                    now += Duration::from_millis(500);
                }
                (now - began).as_secs()
            })
            .collect();
        assert_eq!(lengths, [1, 2, 4, 8, 15, 15]);
    }

    #[test]
    fn only_what_is_there_and_dies_young_rests() {
        let mut slot = Slot::new(DeviceKind::Speaker);
        let now = slot.opened;
        slot.handle_loss(false, now);
        assert!(!slot.rests(now), "one that was pulled out");
        slot.handle_loss(true, now + SHORT_LIFE);
        assert!(!slot.rests(now + SHORT_LIFE), "one that ran for long");
        slot.handle_loss(true, now);
        assert!(slot.rests(now), "one that broke at once");
        slot.choose(Chosen::Default);
        assert!(!slot.rests(now), "a new choice is tried");
    }
}
