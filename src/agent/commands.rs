//! The commands on stdin.

use crate::engine::Intent;
use serde::Deserialize;
use std::path::PathBuf;

/// One line of stdin.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Command {
    /// Call this user.
    Call {
        /// Whom.
        peer: String,
    },
    /// Answer the ringing call.
    Accept {
        /// Send our picture.
        #[serde(default = "yes")]
        video: bool,
    },
    /// Refuse it.
    Decline,
    /// End the call.
    HangUp,
    /// Chat.
    Message {
        /// What to say.
        text: String,
        /// To whom; everyone if left out.
        #[serde(default)]
        to: Option<String>,
    },
    /// Turn microphone (`audio`) and camera (`video`) off (`true`) or on; what is left out stays as it is.
    Mute {
        /// Microphone off.
        #[serde(default)]
        audio: Option<bool>,
        /// Camera off.
        #[serde(default)]
        video: Option<bool>,
    },
    /// Use another camera.
    Camera {
        /// As `--camera`.
        source: String,
    },
    /// Use another microphone.
    Microphone {
        /// As `--microphone`.
        source: String,
    },
    /// Use another speaker.
    Speaker {
        /// As `--speaker`.
        source: String,
    },
    /// Report every frame.
    Frames {
        /// On or off.
        on: bool,
    },
    /// Write the other side's newest picture to a file.
    Picture {
        /// Y4M, made anew.
        file: PathBuf,
    },
    /// End the agent.
    Quit,
}

fn yes() -> bool {
    true
}

impl Command {
    /// Reads one line; an empty one is no command.
    ///
    /// # Errors
    /// In words: what is wrong with the line.
    pub(super) fn parse(line: &[u8]) -> Result<Option<Self>, String> {
        let text =
            std::str::from_utf8(line).map_err(|error| format!("a command must be UTF-8: {error}"))?.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let command: Self = serde_json::from_str(text)
            .map_err(|error| format!("the command {text:.200} was not understood: {error}"))?;
        command.check()?;
        Ok(Some(command))
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Camera { source } => source.parse::<crate::engine::CameraChoice>().map(drop),
            Self::Microphone { source } => source.parse::<crate::engine::MicrophoneChoice>().map(drop),
            Self::Speaker { source } => source.parse::<crate::engine::SpeakerChoice>().map(drop),
            Self::Mute { audio: None, video: None } => Err("mute needs \"audio\" or \"video\"".into()),
            _ => Ok(()),
        }
    }

    /// What the engine is asked for.
    pub(super) fn intents(self) -> Vec<Intent> {
        match self {
            Self::Call { peer } => vec![Intent::Call { peer }],
            Self::Accept { video } => vec![Intent::Answer { video }],
            Self::Decline => vec![Intent::Decline],
            Self::HangUp => vec![Intent::HangUp],
            Self::Message { text, to } => vec![Intent::Message { text, to }],
            Self::Mute { audio, video } => {
                audio.map(Intent::MuteMicrophone).into_iter().chain(video.map(Intent::MuteCamera)).collect()
            }
            Self::Camera { source } => source.parse().map(Intent::SelectCamera).into_iter().collect(),
            Self::Microphone { source } => source.parse().map(Intent::SelectMicrophone).into_iter().collect(),
            Self::Speaker { source } => source.parse().map(Intent::SelectSpeaker).into_iter().collect(),
            Self::Quit => vec![Intent::Quit],
            Self::Frames { .. } | Self::Picture { .. } => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_interface_is_understood() {
        let cases = [
            (r#"{"command":"call","peer":"bob"}"#, Intent::Call { peer: "bob".into() }),
            (r#"{"command":"accept"}"#, Intent::Answer { video: true }),
            (r#"{"command":"decline"}"#, Intent::Decline),
            (r#"{"command":"hang-up"}"#, Intent::HangUp),
            (
                r#"{"command":"message","text":"hi","to":"bob"}"#,
                Intent::Message { text: "hi".into(), to: Some("bob".into()) },
            ),
            (r#"{"command":"mute","video":true}"#, Intent::MuteCamera(true)),
            (r#"{"command":"quit"}"#, Intent::Quit),
        ];
        for (line, intent) in cases {
            assert_eq!(Command::parse(line.as_bytes()).unwrap().unwrap().intents(), vec![intent], "{line}");
        }
        let both = Command::parse(br#"{"command":"mute","audio":true,"video":false}"#).unwrap().unwrap();
        assert_eq!(both.intents(), vec![Intent::MuteMicrophone(true), Intent::MuteCamera(false)]);
    }

    #[test]
    fn a_bad_line_is_refused_in_words() {
        for line in [
            &b"{"[..],
            b"[]",
            b"\xff\xfe",
            br#"{"command":"dance"}"#,
            br#"{"command":"call"}"#,
            br#"{"command":"call","peer":"bob","loud":true}"#,
            br#"{"command":"mute"}"#,
            br#"{"command":"picture"}"#,
            br#"{"command":"camera","source":""}"#,
        ] {
            assert!(!Command::parse(line).unwrap_err().is_empty());
        }
        assert_eq!(Command::parse(b"  \n"), Ok(None));
    }
}
