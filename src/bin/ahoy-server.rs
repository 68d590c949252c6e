//! The standalone signaling server: arguments, log, signals. What it serves is `ahoy::signaling::server`.

use ahoy::protocol::DEFAULT_PORT;
use ahoy::signaling::server::Server;
use anyhow::Context as _;
use clap::Parser;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

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
    let mut signals = Signals::new().context("cannot watch for signals")?;
    let mut server = Server::new();
    let address = server.listen(arguments.listen).await?;
    announce(address);
    signals.wait().await;
    tracing::info!("shutting down");
    server.close().await;
    Ok(())
}

fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "ahoy=debug,info",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
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

/// What to enter on this computer, and on others, to reach `bound`.
fn reachable(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let mut addresses: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into()];
    // Connecting a UDP socket sends nothing; it only asks for the route, and so for our address towards the network
    // (192.0.2.1 is reserved for documentation, RFC 5737).
    let route = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    match route {
        Ok(local) if !addresses.contains(&local.ip()) && !local.ip().is_unspecified() => {
            addresses.push(local.ip())
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "no route to a network"),
    }
    addresses.into_iter().map(|address| SocketAddr::new(address, bound.port())).collect()
}

/// What ends the server: Ctrl+C, and SIGTERM where there is such a thing.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(not(unix))]
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(unix)]
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn wait(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "cannot watch for Ctrl+C");
            std::future::pending::<()>().await;
        }
    }
}
