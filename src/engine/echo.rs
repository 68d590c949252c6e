//! The Echo contact: a participant like any other, whose camera and microphone are what it receives.
//!
//! It lives as long as the embedded server, so that a newcomer's first call works alone. It runs an engine of its own
//! and calls over the network like everybody else: nothing in a call knows that the other side is an echo.

use super::{
    AcceptPolicy, CameraChoice, EngineHandle, EngineOptions, Intent, MicrophoneChoice, Settings,
    SpeakerChoice,
};

/// Its name, unless somebody else has it already.
pub const ECHO_NAME: &str = "Echo";

/// The running contact. Dropping it ends it too, without waiting.
pub(super) struct Echo(EngineHandle);

impl Echo {
    /// What its engine is to be like, at the server at `url`.
    pub(super) fn options(url: &str) -> EngineOptions {
        let settings = Settings {
            name: ECHO_NAME.into(),
            server: url.to_owned(),
            camera: CameraChoice::Echo,
            microphone: MicrophoneChoice::Echo,
            speaker: SpeakerChoice::None,
            accept: AcceptPolicy::Always,
            ..Settings::default()
        };
        EngineOptions { settings, may_host: false, ..EngineOptions::default() }
    }

    /// Signs in to that server, with an engine that was started with these options.
    pub(super) fn sign_in(echo: EngineHandle, url: String) -> Self {
        if echo.try_send(Intent::SignIn { name: ECHO_NAME.into(), server: url }).is_err() {
            tracing::error!("the Echo contact did not start");
        }
        Self(echo)
    }

    /// Ends its call, if it is in one, and signs out.
    pub(super) async fn stop(mut self) {
        if self.0.send(Intent::Quit).await.is_err() {
            return;
        }
        while let Some(snapshot) = self.0.changed().await {
            if snapshot.finished {
                return;
            }
        }
    }
}
