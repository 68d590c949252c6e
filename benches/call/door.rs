//! The way to the signaling server and to the page's web server, from inside a namespace.
//!
//! Each namespace has, on its own loopback, a door at the same address as the server outside. So signaling needs no
//! network interface that ICE could find: media has the emulated link and nothing else. A blackout closes the doors,
//! too. What is written meanwhile arrives when TCP would deliver it: with the first retransmission after the link is
//! back, their intervals doubling from Linux's shortest timeout (RFC 6298 section 5.5, `TCP_RTO_MIN`).

use crate::link::netns::Namespace;
use std::io::Result;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener as Listener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Linux's first retransmission comes after this, on a path as short as ours.
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(200);
const CHUNK: usize = 64 * 1024;

/// All doors; they close when this is dropped.
pub(crate) struct Doors {
    runtime: Runtime,
    outages: watch::Sender<Vec<Outage>>,
}

/// When nothing passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

impl Doors {
    pub(crate) fn new() -> Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("doors").enable_all().build()?;
        Ok(Self { runtime, outages: watch::Sender::default() })
    }

    /// Opens a door inside to what listens at that loopback address outside.
    pub(crate) fn open(&self, namespace: &Namespace, address: SocketAddr) -> Result<()> {
        let listener = namespace.run(|| TcpListener::bind(address))?;
        listener.set_nonblocking(true)?;
        let listener = self.runtime.block_on(async { Listener::from_std(listener) })?;
        let outages = self.outages.subscribe();
        self.runtime.spawn(async move {
            while let Ok((inner, _)) = listener.accept().await {
                let Ok(outer) = TcpStream::connect(address).await else { continue };
                for socket in [&inner, &outer] {
                    // Delay is the emulated link's affair.
                    socket.set_nodelay(true).ok();
                }
                let ((inner_read, inner_write), (outer_read, outer_write)) =
                    (inner.into_split(), outer.into_split());
                tokio::spawn(pass(inner_read, outer_write, outages.clone()));
                tokio::spawn(pass(outer_read, inner_write, outages.clone()));
            }
        });
        Ok(())
    }

    /// From now on the doors are closed at these times, and at no others.
    pub(crate) fn close_during(&self, outages: Vec<Outage>) {
        self.outages.send_replace(outages);
    }
}

/// Copies one way until either end closes.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, outages: watch::Receiver<Vec<Outage>>) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let now = Instant::now();
        let at = delivery(now, &outages.borrow());
        if at > now {
            tokio::time::sleep_until(at.into()).await;
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}

/// When TCP delivers what is written at `written`.
fn delivery(written: Instant, outages: &[Outage]) -> Instant {
    let closed = |at: Instant| outages.iter().any(|outage| (outage.from..outage.until).contains(&at));
    let (mut at, mut interval) = (written, FIRST_RETRANSMISSION);
    while closed(at) {
        at += interval;
        interval *= 2;
    }
    at
}
