//! The signaling server inside this program.
//!
//! One task owns the server; the engine sends [`HostingOrder`]s and gets [`HostingEvent`]s, so that binding and
//! closing sockets never holds up a call.

use super::Hosting;
use crate::protocol::DEFAULT_PORT;
use crate::signaling::address::reachable;
use crate::signaling::server::{Server, ServerError};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Orders that may wait. When full the order is refused with a notice.
const ORDER_CAPACITY: usize = 8;
/// How long a server on this machine may take to accept a connection before we run our own.
const PROBE: Duration = Duration::from_millis(300);

/// What the engine wants of the hosting task.
#[derive(Debug)]
pub(super) enum HostingOrder {
    /// Serve all interfaces (true) or loopback only (false).
    ForOthers(bool),
    /// Close the server.
    Close,
}

/// What the hosting task reports.
#[derive(Debug)]
pub(super) enum HostingEvent {
    /// There is a server to sign in to; `hosting` if it is ours.
    Ready {
        /// Its URL.
        url: String,
        /// Ours.
        hosting: Option<Hosting>,
    },
    /// What others can reach has changed.
    Changed(Hosting),
    /// Something did not work.
    Failed {
        /// In words.
        reason: String,
    },
}

/// The line to the hosting task.
pub(super) struct HostingDesk {
    orders: mpsc::Sender<HostingOrder>,
    task: tokio::task::JoinHandle<()>,
}

impl HostingDesk {
    /// Uses the server that answers on this machine, or starts one.
    pub(super) fn start(may_host: bool, events: mpsc::Sender<HostingEvent>) -> Self {
        let (orders, inbox) = mpsc::channel(ORDER_CAPACITY);
        let task = tokio::spawn(run(may_host, inbox, events));
        Self { orders, task }
    }

    /// Hands an order over; false if the task is busy or gone.
    pub(super) fn order(&self, order: HostingOrder) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Closes the server and waits for it.
    pub(super) async fn close(self) {
        // A task that has ended already has nothing left to close.
        if self.orders.send(HostingOrder::Close).await.is_ok()
            && let Err(error) = self.task.await
        {
            tracing::error!(%error, "the embedded server's task failed");
        }
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT))
}

async fn run(may_host: bool, mut orders: mpsc::Receiver<HostingOrder>, events: mpsc::Sender<HostingEvent>) {
    let url = format!("ws://{}/", loopback());
    if answers().await || !may_host {
        report(&events, HostingEvent::Ready { url, hosting: None }).await;
        return;
    }
    let mut server = Server::new();
    if let Err(error) = server.listen(loopback()).await {
        // Two programs started together: the other one was quicker, and now there is a server to use.
        if answers().await {
            report(&events, HostingEvent::Ready { url, hosting: None }).await;
        } else {
            report(&events, HostingEvent::Failed { reason: error.to_string() }).await;
        }
        return;
    }
    let mut hosting = Hosting { for_others: false, addresses: Vec::new() };
    report(&events, HostingEvent::Ready { url, hosting: Some(hosting.clone()) }).await;
    while let Some(order) = orders.recv().await {
        match order {
            HostingOrder::ForOthers(wanted) if wanted == hosting.for_others => {}
            HostingOrder::ForOthers(wanted) => match rebind(&mut server, wanted).await {
                Ok(addresses) => {
                    hosting = Hosting { for_others: wanted, addresses };
                    report(&events, HostingEvent::Changed(hosting.clone())).await;
                }
                Err(error) => {
                    report(&events, HostingEvent::Failed { reason: error.to_string() }).await;
                }
            },
            HostingOrder::Close => break,
        }
    }
    server.close().await;
}

async fn report(events: &mpsc::Sender<HostingEvent>, event: HostingEvent) {
    if events.send(event).await.is_err() {
        tracing::debug!("the engine is gone");
    }
}

/// Whether something accepts connections on the default port of this machine.
async fn answers() -> bool {
    matches!(timeout(PROBE, TcpStream::connect(loopback())).await, Ok(Ok(_)))
}

/// Moves the listener; those who are signed in stay connected.
async fn rebind(server: &mut Server, for_others: bool) -> Result<Vec<String>, ServerError> {
    server.stop_listening().await;
    let wanted =
        if for_others { SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)) } else { loopback() };
    if let Err(error) = server.listen(wanted).await {
        // Better reachable from this machine alone than not at all.
        server.listen(loopback()).await?;
        return Err(error);
    }
    if !for_others {
        return Ok(Vec::new());
    }
    // Without IPv6 on this machine the bind fails, and IPv4 is all there is.
    if let Err(error) = server.listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT))).await {
        tracing::debug!(%error, "not listening on IPv6");
    }
    Ok(addresses())
}

/// The addresses of this machine that others may be given.
fn addresses() -> Vec<String> {
    let all = reachable(SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT)));
    all.into_iter()
        .filter(|address| !address.ip().is_loopback())
        .map(|address| format!("ws://{address}"))
        .collect()
}
