//! Looks at the pictures of a call on a thread of its own: reports the first remote one, and on demand every one.

use super::output::Output;
use crate::engine::CallView;
use crate::media::video::counter::luma_probe;
use crate::media::video::frame::Frame;
use crate::media::video::latest::{Latest, Next};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How long a thread waits for a picture before it looks whether the call is still there.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts the two threads of a call; they end with the call's pictures.
pub(super) fn watch(call: &CallView, output: &Output) -> std::io::Result<()> {
    spawn("agent-remote", call.remote_frames.clone(), "remote", Some(call.peer.clone()), output.clone())?;
    spawn("agent-local", call.local_frames.clone(), "local", None, output.clone())
}

fn spawn(
    thread: &str,
    frames: Latest<Arc<Frame>>,
    side: &'static str,
    first_of: Option<String>,
    output: Output,
) -> std::io::Result<()> {
    let look = move || {
        let mut first_of = first_of;
        let mut reader = frames.reader();
        loop {
            match reader.wait(PATIENCE) {
                Next::Value(frame) => {
                    if let Some(peer) = first_of.take() {
                        let size = frame.size();
                        let fields = json!({ "peer": peer, "width": size.width, "height": size.height });
                        output.event("first-frame", fields);
                    }
                    if output.frames_shown() {
                        output.event("frame", json!({ "side": side, "luma": luma_probe(&frame) }));
                    }
                }
                Next::Timeout => {}
                Next::Closed => return,
            }
        }
    };
    std::thread::Builder::new().name(thread.to_owned()).spawn(look).map(drop)
}
