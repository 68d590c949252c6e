//! The command line of `ahoy`: the window and the agent take the same options.

use crate::config::{AcceptPolicy, CameraChoice, IceServer, MicrophoneChoice, Settings, SpeakerChoice};
use crate::engine::EngineOptions;
use crate::media::ports::VideoCodec;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Video calls from this machine to another one, or to a browser. Without a subcommand the window opens.
#[derive(Debug, Parser)]
#[command(name = "ahoy", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of opening the window.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of the window.
    #[command(flatten)]
    pub participant: Participant,
}

/// What to do instead of opening the window.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take part without a window: JSON lines in, JSON lines out.
    Agent(Box<Agent>),
    /// List cameras, microphones and speakers with their formats.
    Devices {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Options of the agent.
#[derive(Debug, Args)]
pub struct Agent {
    /// Those of the window.
    #[command(flatten)]
    pub participant: Participant,
    /// Seconds between two reports of a call's figures.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub stats_interval: Duration,
}

/// A codec as it is named on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CodecName {
    /// H.264.
    H264,
    /// VP8.
    Vp8,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// Options of a participant.
#[derive(Clone, Debug, Args)]
pub struct Participant {
    /// The signaling server, ws://HOST:PORT. Left out: this machine.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// The name that others see. The window signs in at once when it is given.
    #[arg(long)]
    pub name: Option<String>,
    /// none, default, pattern, FILE.y4m or a camera's name or path.
    #[arg(long, value_name = "SOURCE")]
    pub camera: Option<CameraChoice>,
    /// Ask the camera for 1920x1080 instead of 1280x720.
    #[arg(long, value_enum, value_name = "on|off")]
    pub full_hd: Option<Switch>,
    /// none, default, tone, FILE.wav or an input's name or id.
    #[arg(long, value_name = "SOURCE")]
    pub microphone: Option<MicrophoneChoice>,
    /// none, default, FILE.wav or an output's name or id.
    #[arg(long, value_name = "SINK")]
    pub speaker: Option<SpeakerChoice>,
    /// Take the other side's voice out of the microphone's sound.
    #[arg(long, value_enum, value_name = "on|off")]
    pub echo_cancellation: Option<Switch>,
    /// Lower steady noise in the microphone's sound.
    #[arg(long, value_enum, value_name = "on|off")]
    pub noise_suppression: Option<Switch>,
    /// Raise faint voices in the microphone's sound, hold back loud ones.
    #[arg(long, value_enum, value_name = "on|off")]
    pub automatic_gain: Option<Switch>,
    /// Record the other side's picture, uncompressed.
    #[arg(long, value_name = "FILE.y4m")]
    pub record_video: Option<PathBuf>,
    /// Who answers an incoming call.
    #[arg(long, value_enum)]
    pub accept: Option<AcceptPolicy>,
    /// A STUN or TURN server; may be given several times.
    #[arg(long = "ice-server", value_name = "URL[,USERNAME,CREDENTIAL]")]
    pub ice_servers: Vec<IceServer>,
    /// Send media through TURN relays only.
    #[arg(long)]
    pub relay_only: bool,
    /// Highest send rate, bits per second. Left out: 2500000, or 4500000 with --full-hd on.
    #[arg(long, value_name = "BITS_PER_SECOND",
          value_parser = clap::value_parser!(u32).range(30_000..=50_000_000))]
    pub max_bitrate: Option<u32>,
    /// The video codec to prefer, for what we send and in what we offer and answer; the other one stays second.
    #[arg(long, value_enum, default_value = "h264")]
    pub codec: CodecName,
    /// Settings file to use instead of the user's own.
    #[arg(long, value_name = "FILE.toml")]
    pub settings: Option<PathBuf>,
    /// Say more on stderr; again for still more. RUST_LOG wins.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Participant {
    /// The settings with what the command line says laid over them.
    pub fn over(&self, mut settings: Settings) -> Settings {
        fn set<T: Clone>(setting: &mut T, given: Option<&T>) {
            if let Some(given) = given {
                setting.clone_from(given);
            }
        }
        set(&mut settings.name, self.name.as_ref());
        set(&mut settings.server, self.server.as_ref());
        set(&mut settings.camera, self.camera.as_ref());
        set(&mut settings.microphone, self.microphone.as_ref());
        set(&mut settings.speaker, self.speaker.as_ref());
        let switch = |given: Option<Switch>| given.map(|switch| switch == Switch::On);
        set(&mut settings.full_hd, switch(self.full_hd).as_ref());
        let processing = &mut settings.sound_processing;
        set(&mut processing.echo_cancellation, switch(self.echo_cancellation).as_ref());
        set(&mut processing.noise_suppression, switch(self.noise_suppression).as_ref());
        set(&mut processing.automatic_gain, switch(self.automatic_gain).as_ref());
        set(&mut settings.accept, self.accept.as_ref());
        if !self.ice_servers.is_empty() {
            settings.ice_servers.clone_from(&self.ice_servers);
        }
        settings.relay_only |= self.relay_only;
        settings
    }

    /// What the engine is started with.
    pub fn engine_options(&self, settings: Settings) -> EngineOptions {
        EngineOptions {
            settings,
            record_video: self.record_video.clone(),
            max_bits_per_second: self.max_bitrate,
            video_codecs: match self.codec {
                CodecName::H264 => vec![VideoCodec::H264, VideoCodec::Vp8],
                CodecName::Vp8 => vec![VideoCodec::Vp8, VideoCodec::H264],
            },
            ..EngineOptions::default()
        }
    }

    /// The settings of an agent: nothing is opened, kept or answered that was not asked for.
    pub fn agent_settings(&self) -> Settings {
        self.over(Settings {
            camera: CameraChoice::None,
            microphone: MicrophoneChoice::None,
            speaker: SpeakerChoice::None,
            ..Settings::default()
        })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{text} is no number: {error}"))?;
    if (0.05..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("give a number of seconds from 0.05 to 3600".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SoundProcessing;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn an_agent_opens_nothing_that_was_not_asked_for() {
        let cli = Cli::try_parse_from(["ahoy", "agent", "--name", "bob"]).unwrap();
        let Some(Command::Agent(agent)) = cli.command else { panic!("no agent") };
        let settings = agent.participant.agent_settings();
        assert_eq!(settings.camera, CameraChoice::None);
        assert_eq!(settings.microphone, MicrophoneChoice::None);
        assert_eq!(settings.speaker, SpeakerChoice::None);
        assert_eq!(settings.accept, AcceptPolicy::Ask);
        assert_eq!(agent.stats_interval, Duration::from_secs(1));
    }

    #[test]
    fn the_microphones_sound_is_processed_unless_it_is_switched_off() {
        let settings = |arguments: &[&str]| {
            let cli = Cli::try_parse_from([&["ahoy", "agent"], arguments].concat()).unwrap();
            let Some(Command::Agent(agent)) = cli.command else { panic!("no agent") };
            agent.participant.agent_settings().sound_processing
        };
        assert_eq!(settings(&[]), SoundProcessing::default());
        let off = settings(&["--echo-cancellation=off", "--noise-suppression=off", "--automatic-gain=off"]);
        assert_eq!(off, SoundProcessing::OFF);
        let some = settings(&["--echo-cancellation", "on", "--noise-suppression", "off"]);
        assert_eq!(some, SoundProcessing { noise_suppression: false, ..SoundProcessing::default() });
    }

    #[test]
    fn a_turn_server_without_credential_is_refused() {
        assert!(Cli::try_parse_from(["ahoy", "--ice-server", "turn:relay.example"]).is_err());
        assert!(Cli::try_parse_from(["ahoy", "--ice-server", "http://relay.example"]).is_err());
        let cli = Cli::try_parse_from(["ahoy", "--ice-server", "turn:relay.example,user,secret,with,commas"])
            .unwrap();
        assert_eq!(cli.participant.ice_servers[0].credential, "secret,with,commas");
    }

    #[test]
    fn the_command_line_wins_over_the_settings() {
        let cli = Cli::try_parse_from(["ahoy", "--camera", "pattern", "--name", "zoë"]).unwrap();
        let stored = Settings { name: "old".into(), server: "host".into(), ..Settings::default() };
        let settings = cli.participant.over(stored);
        assert_eq!((settings.name.as_str(), settings.server.as_str()), ("zoë", "host"));
        assert_eq!(settings.camera, CameraChoice::Pattern);
    }
}
