//! The sockets of a connection, between the `webrtc` crate's driver and the system.
//!
//! The crate takes its sockets from a runtime that is given to it. This one is tokio's, but for one thing: whatever
//! passes a socket while a connection is being set up passes [`flights`] as well, which knows when a piece of the DTLS
//! handshake got lost and has it sent again. Media passes untouched, at the price of one comparison.

mod datagram;
mod flights;
#[cfg(test)]
mod tests;

use flights::Flights;
use std::future::Future;
use std::io::{IoSliceMut, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

/// The way of a datagram out of this machine.
type Way = (Arc<dyn AsyncUdpSocket>, SocketAddr);

/// The handshake of one connection: its sockets report to it, its task repeats what got lost.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    /// Held for a few comparisons, by the crate's driver for each datagram of a handshake or check, and by our task.
    flights: Mutex<Flights<Way>>,
    /// There is another time to wait for.
    changed: Notify,
}

impl Handshake {
    /// Repeats what gets lost, for as long as the connection lives; to be aborted with it.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let due = self.flights().poll_timeout();
            let wait = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.changed.notified() => continue,
            }
            let flight = self.flights().handle_timeout(Instant::now());
            for ((socket, to), datagram) in flight {
                if let Err(error) = socket.send_to(&datagram, to).await {
                    tracing::debug!(%error, "a piece of the handshake could not be sent again");
                }
            }
        }
    }

    fn flights(&self) -> MutexGuard<'_, Flights<Way>> {
        // What a panic elsewhere left behind is still a list of datagrams.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, socket: &Arc<dyn AsyncUdpSocket>, transmit: &Transmit<'_>) {
        let step = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(step).filter(|datagram| datagram::concerns_setup(datagram)) {
            let way = (Arc::clone(socket), transmit.destination);
            if self.flights().handle_sent(way, datagram, Instant::now()) {
                self.changed.notify_one();
            }
        }
    }

    fn received(&self, buffer: &[u8], meta: &RecvMeta) {
        let filled = buffer.get(..meta.len).unwrap_or(buffer);
        for datagram in
            filled.chunks(meta.stride.max(1)).filter(|datagram| datagram::concerns_setup(datagram))
        {
            if self.flights().handle_received(datagram, Instant::now()) {
                self.changed.notify_one();
            }
        }
    }
}

/// Tokio's runtime, with sockets that report to a [`Handshake`].
#[derive(Debug)]
pub(super) struct Sockets(Arc<Handshake>);

impl Sockets {
    /// For one connection.
    pub(super) fn new(handshake: Arc<Handshake>) -> Self {
        Self(handshake)
    }
}

impl Runtime for Sockets {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> Result<Arc<dyn AsyncUdpSocket>> {
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(Socket { inner, handshake: Arc::clone(&self.0) }))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>>> + Send + 'a>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        TokioRuntime.name()
    }
}

/// One of them.
#[derive(Debug)]
struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    handshake: Arc<Handshake>,
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, context: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<Result<usize>> {
        let sent = self.inner.poll_send(context, transmit);
        // What the system refuses is as lost as what the network loses, and may be tried again like that.
        if sent.is_ready() {
            self.handshake.sent(&self.inner, transmit);
        }
        sent
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<Result<usize>> {
        let received = self.inner.poll_recv(context, buffers, meta);
        if let Poll::Ready(Ok(count)) = &received {
            for (buffer, meta) in buffers.iter().zip(meta.iter()).take(*count) {
                self.handshake.received(buffer, meta);
            }
        }
        received
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}
