//! The headless participant: the engine of the window, driven by JSON lines on stdin, reporting JSON lines on
//! stdout. For scripts, kiosks, echo bots, tests and benchmarks.
//!
//! [`commands`] reads, [`reporter`] compares each snapshot with the one before and says what changed, [`frames`]
//! looks at pictures on a thread of its own, [`output`] is the one writer of stdout.

mod commands;
mod frames;
mod output;
mod reporter;

use crate::engine::{self, EngineHandle, EngineOptions, Intent};
use crate::process::StopSignal;
use commands::Command;
use output::Output;
use reporter::Reporter;
use tokio::io::{AsyncBufReadExt, BufReader};

/// Longest line read from stdin, bytes; a longer one is an error and is passed over.
const LINE_BYTES: usize = 1 << 20;

/// Runs until `quit`, SIGINT or SIGTERM.
///
/// # Errors
/// If the engine ends by itself.
pub async fn run(name: String, server: String, options: EngineOptions) -> anyhow::Result<()> {
    let output = Output::default();
    output.ready();
    let mut engine = engine::start(options);
    if engine.send(Intent::SignIn { name, server }).await.is_err() {
        anyhow::bail!("the engine did not start");
    }
    tokio::spawn(read_commands(engine.clone(), output.clone()));
    tokio::spawn(quit_on_signal(engine.clone()));
    let mut reporter = Reporter::new(output);
    while let Some(snapshot) = engine.changed().await {
        reporter.report(&snapshot);
        if snapshot.finished {
            return Ok(());
        }
    }
    anyhow::bail!("the engine ended unexpectedly")
}

/// The end of stdin is not the end of the agent: a kiosk has no stdin.
async fn read_commands(engine: EngineHandle, output: Output) {
    let mut lines = BufReader::new(tokio::io::stdin());
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.read_until(b'\n', &mut line).await {
            Ok(0) => return,
            Ok(length) if length > LINE_BYTES => output.error("a command line is at most 1 MiB long"),
            Ok(_) => match Command::parse(&line) {
                Ok(None) => {}
                Ok(Some(Command::Frames { on })) => output.show_frames(on),
                Ok(Some(Command::Picture { file })) => {
                    let newest = engine.snapshot().call.as_ref().and_then(|call| call.remote_frames.peek());
                    let output = output.clone();
                    // A slow disk must not keep the next command waiting.
                    tokio::task::spawn_blocking(move || frames::save(newest, &file, &output));
                }
                Ok(Some(command)) => {
                    for intent in command.intents() {
                        if engine.send(intent).await.is_err() {
                            return;
                        }
                    }
                }
                Err(reason) => output.error(&reason),
            },
            Err(error) => {
                output.error(&format!("stdin cannot be read: {error}"));
                return;
            }
        }
    }
}

async fn quit_on_signal(engine: EngineHandle) {
    match StopSignal::new() {
        Ok(mut signal) => signal.wait().await,
        Err(error) => return tracing::error!(%error, "stop signals cannot be received"),
    }
    if engine.send(Intent::Quit).await.is_err() {
        tracing::debug!("the engine is gone");
    }
}
