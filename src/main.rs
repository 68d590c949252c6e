//! `ahoy`: reads the arguments, starts the log, then the window, the agent or the list of devices.

use ahoy::cli::{Cli, Command, Participant};
use ahoy::engine::{self, EngineHandle, EngineOptions, Intent, settings_file};
use ahoy::process::{self, exit_code};
use ahoy::{agent, devices, ui};
use anyhow::Context;
use clap::Parser;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Threads that move packets: one for the media of a call, one for everything else.
const WORKERS: usize = 2;
/// How long the window waits at its end for devices and connections to be closed.
const FAREWELL: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    process::share_one_arena();
    let cli = Cli::parse();
    let verbosity = match &cli.command {
        Some(Command::Agent(agent)) => agent.participant.verbose,
        Some(Command::Devices { .. }) | None => cli.participant.verbose,
    };
    process::start_log(verbosity);
    process::report_panics();
    let done = match cli.command {
        Some(Command::Agent(agent)) => run_agent(&agent.participant, agent.stats_interval),
        Some(Command::Devices { json }) => devices::print(json).context("the list could not be printed"),
        None => return run_window(&cli.participant),
    };
    finish(done, exit_code::SOFTWARE)
}

fn finish(done: anyhow::Result<()>, code: u8) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr gone there is nobody to tell.
            writeln!(std::io::stderr(), "ahoy: {error:#}").ok();
            ExitCode::from(code)
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("ahoy-io")
        .enable_all()
        .build()
        .context("the program's threads could not be started")
}

fn run_agent(participant: &Participant, stats_interval: Duration) -> anyhow::Result<()> {
    let settings = participant.agent_settings();
    let name = if settings.name.is_empty() { "agent".to_owned() } else { settings.name.clone() };
    let server = settings.server.clone();
    let options = EngineOptions { stats_interval, may_host: false, ..participant.engine_options(settings) };
    let runtime = runtime()?;
    let done = runtime.block_on(agent::run(name, server, options));
    // A read of stdin cannot be cancelled: the runtime is left to it.
    runtime.shutdown_background();
    done
}

fn run_window(participant: &Participant) -> ExitCode {
    let settings_file = participant.settings.clone().or_else(settings_file::default_path);
    let (stored, complaint) = match settings_file.as_deref().map(settings_file::load) {
        Some(Ok(settings)) => (settings, None),
        Some(Err(error)) => (engine::Settings::default(), Some(error.to_string())),
        None => (engine::Settings::default(), None),
    };
    let settings = participant.over(stored.clone());
    let sign_in = participant
        .name
        .is_some()
        .then(|| Intent::SignIn { name: settings.name.clone(), server: settings.server.clone() });
    let options = EngineOptions {
        stored,
        settings_file,
        pictures: true,
        list_devices: true,
        complaint,
        ..participant.engine_options(settings)
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(error), exit_code::SOFTWARE),
    };
    let guard = runtime.enter();
    let engine = engine::start(options);
    if let Some(intent) = sign_in
        && engine.try_send(intent).is_err()
    {
        return finish(Err(anyhow::anyhow!("the engine did not start")), exit_code::SOFTWARE);
    }
    let watched = engine.clone();
    let spawner = runtime.handle().clone();
    let shown = ui::run(engine.clone(), ui::WindowOptions::default(), move |repaint| {
        spawner.spawn(forward_changes(watched, repaint));
    });
    drop(guard);
    runtime.block_on(quit(engine));
    runtime.shutdown_background();
    // The toolkit's error cannot cross threads, so its words are taken.
    finish(shown.map_err(|error| anyhow::anyhow!("{error}")), exit_code::UNAVAILABLE)
}

/// Has the window painted anew whenever there is something new to see.
async fn forward_changes(mut engine: EngineHandle, repaint: Box<dyn Fn() + Send + Sync>) {
    while let Some(snapshot) = engine.changed().await {
        repaint();
        if snapshot.finished {
            return;
        }
    }
    // The engine is gone without a farewell; its call and devices went with it.
    writeln!(std::io::stderr(), "ahoy: the engine ended unexpectedly").ok();
    std::process::exit(exit_code::SOFTWARE.into());
}

async fn quit(mut engine: EngineHandle) {
    let farewell = async {
        if engine.snapshot().finished || engine.send(Intent::Quit).await.is_err() {
            return;
        }
        while let Some(snapshot) = engine.changed().await {
            if snapshot.finished {
                return;
            }
        }
    };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::warn!("closing took too long: a device does not answer");
    }
}
