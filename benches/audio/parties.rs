//! Who calls: agents or Chromium, each in a network namespace and with a virtual sound card of its own.

use crate::common::agent::Agent;
use crate::common::browser::Browser;
use crate::common::page::{Guest, PageServer};
use crate::common::pair::SETUP;
use crate::common::server::Server;
use crate::common::studio::Studio;
use crate::link::netns::Namespace;
use std::io::Result;
use std::path::Path;
use std::time::Duration;

/// Until the other side's sound has come.
const FIRST_SOUND: Duration = Duration::from_secs(15);

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pairing {
    /// An agent calls an agent.
    Agents,
    /// Chromium calls Chromium.
    Chromiums,
    /// The same, with Chromium's processing of the microphone off.
    ChromiumsUnprocessed,
}

impl Pairing {
    pub(crate) const ALL: [Self; 3] = [Self::Agents, Self::Chromiums, Self::ChromiumsUnprocessed];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Chromiums => "Chromium",
            Self::ChromiumsUnprocessed => "Chromium, no processing",
        }
    }
}

/// Somebody in a call.
pub(crate) enum Party {
    Agent(Box<Agent>),
    // The browser lives as long as its page.
    Page(Box<(Guest, Browser)>),
}

impl Party {
    /// Starts it inside the namespace, with the sound card of that name.
    pub(crate) fn start(
        pairing: Pairing,
        (studio, name): (&Studio, &str),
        with_picture: bool,
        namespace: &Namespace,
        (server, page): (&Server, &PageServer),
        program: &Path,
    ) -> Result<Self> {
        if pairing == Pairing::Agents {
            let mut options = studio.agent(name).with_program(program);
            if with_picture {
                options = options.with("--camera", "pattern");
            }
            let agent = namespace.run(|| Ok(Agent::start(&server.url(), name, options)))?;
            return Ok(Self::Agent(Box::new(agent)));
        }
        let environment = studio.environment(name);
        let (guest, browser) = namespace.run(|| {
            let mut browser = Browser::start_with_sound_card(&environment);
            let mut guest = Guest::join(&mut browser, page, server.port(), name);
            let processing = pairing == Pairing::Chromiums;
            guest.evaluate(&format!("({MICROPHONE})({processing}, {with_picture})"));
            Ok((guest, browser))
        })?;
        Ok(Self::Page(Box::new((guest, browser))))
    }

    pub(crate) fn wait_user(&mut self, name: &str) {
        match self {
            Self::Agent(agent) => agent.wait_user(name),
            Self::Page(page) => page.0.wait_user(name),
        }
    }

    pub(crate) fn call(&mut self, name: &str) {
        match self {
            Self::Agent(agent) => agent.call(name),
            Self::Page(page) => page.0.invite(name),
        }
    }

    /// Returns when sound of the other side has arrived.
    pub(crate) fn wait_sound(&mut self) {
        match self {
            Self::Agent(agent) => {
                agent.wait_call("connected", SETUP);
                agent.wait_stats("receives sound", FIRST_SOUND, |stats| {
                    stats["audio_received"]["packets"].as_u64() > Some(10)
                });
            }
            Self::Page(page) => {
                crate::common::eventually("the page hears something", FIRST_SOUND, || {
                    (page.0.figures()["audioSeconds"].as_f64()? > 0.5).then_some(())
                });
            }
        }
    }
}

/// Gives the page the real microphone, processed as Chromium does by default or not at all, and for a picture what is
/// drawn: there is no camera.
const MICROPHONE: &str = r#"(processing, picture) => {
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async () => {
    const off = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await open({ audio: processing ? true : off });
    if (picture) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [1280, 720];
      const pen = canvas.getContext("2d");
      let n = 0;
      setInterval(() => {
        n += 1;
        for (let x = 0; x < 1280; x += 40) {
          for (let y = 0; y < 720; y += 40) {
            pen.fillStyle = `hsl(${(x * 3 + y * 7 + n * 4) % 360} 80% ${30 + (x + y + n * 5) % 40}%)`;
            pen.fillRect(x, y, 40, 40);
          }
        }
      }, 33);
      stream.addTrack(canvas.captureStream(30).getVideoTracks()[0]);
    }
    return stream;
  };
}"#;
