//! The standalone signaling server: arguments, log, signals. What it serves is `ahoy::signaling::server`.

use ahoy::process::{StopSignal, report_panics, start_log};
use ahoy::protocol::DEFAULT_PORT;
use ahoy::signaling::address::reachable;
use ahoy::signaling::server::Server;
use anyhow::Context as _;
use clap::Parser;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

/// The signaling server of Ahoy: lets participants find each other. Sound and picture do not pass through it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; 0.0.0.0 means all IPv4 addresses of this computer, [::] all.
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)))]
    listen: SocketAddr,
    /// Say more; twice: everything. RUST_LOG takes precedence.
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(arguments.verbose);
    report_panics();
    match serve(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The words alone: a backtrace helps nobody whose port is taken. A closed stderr leaves the exit code.
            if let Err(unwritten) = writeln!(std::io::stderr().lock(), "ahoy-server: {error:#}") {
                tracing::debug!(%unwritten, "cannot print the error");
            }
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let mut stop = StopSignal::new().context("cannot watch for signals")?;
    let mut server = Server::new();
    let address = server.listen(arguments.listen).await?;
    announce(address);
    stop.wait().await;
    tracing::info!("shutting down");
    server.close().await;
    Ok(())
}

/// Prints the addresses under which participants reach us. A closed stdout is no reason to stop serving.
fn announce(bound: SocketAddr) {
    let mut text = String::from("Serving on");
    for address in reachable(bound) {
        text.push_str(&format!(" ws://{address}/"));
    }
    let mut output = std::io::stdout().lock();
    if let Err(error) = writeln!(output, "{text}").and_then(|()| output.flush()) {
        tracing::warn!(%error, "cannot print the address");
    }
}
