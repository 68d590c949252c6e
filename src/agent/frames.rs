//! Looks at the pictures of a call on a thread of its own: reports the first remote one, on demand every one; writes
//! the newest to a file.

use super::output::Output;
use crate::engine::CallView;
use crate::media::video::counter::luma_probe;
use crate::media::video::frame::Frame;
use crate::media::video::latest::{Latest, Next};
use crate::media::video::record;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a thread waits for a picture before it looks whether the call is still there.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts the two threads of a call; they end with the call's pictures.
pub(super) fn watch(call: &CallView, output: &Output) -> std::io::Result<()> {
    spawn("agent-remote", call.remote_frames.clone(), "remote", Some(call.peer.clone()), output.clone())?;
    spawn("agent-local", call.local_frames.clone(), "local", None, output.clone())
}

/// Writes the other side's newest picture to a file as Y4M, in the size in which it came, and says so.
pub(super) fn save(newest: Option<Arc<Frame>>, file: &Path, output: &Output) {
    let name = file.display();
    let Some(frame) = newest else {
        return output.error(&format!("there is no picture to write to {name}: no call shows one"));
    };
    let size = frame.size();
    match record::save_picture(&frame, file) {
        Ok(()) => {
            output.event("picture", json!({ "file": file, "width": size.width, "height": size.height }));
        }
        Err(error) => output.error(&error.to_string()),
    }
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
                    let size = frame.size();
                    if let Some(peer) = first_of.take() {
                        let fields = json!({ "peer": peer, "width": size.width, "height": size.height });
                        output.event("first-frame", fields);
                    }
                    if output.frames_shown() {
                        let luma = luma_probe(&frame);
                        let fields =
                            json!({ "side": side, "width": size.width, "height": size.height, "luma": luma });
                        output.event("frame", fields);
                    }
                }
                Next::Timeout => {}
                Next::Closed => return,
            }
        }
    };
    std::thread::Builder::new().name(thread.to_owned()).spawn(look).map(drop)
}
