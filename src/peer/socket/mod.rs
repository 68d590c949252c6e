//! The sockets of a connection, between the `webrtc` crate's driver and the system.
//!
//! The crate takes its sockets from a runtime that is given to it. This one is tokio's, but for one thing: whatever
//! passes a socket while a connection is being set up passes [`flights`] as well, which knows when a piece of the DTLS
//! handshake got lost and has it sent again, and [`nomination`], which saves that handshake a round trip of waiting; and media that comes before the handshake is
//! complete waits for its keys in [`inbox`]. Afterwards media passes untouched, at the price of one comparison.

mod datagram;
mod flights;
mod inbox;
mod nomination;
#[cfg(test)]
mod tests;

use flights::Flights;
use inbox::Inbox;
use nomination::Nominations;
use std::future::Future;
use std::io::{IoSliceMut, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// What is known of the connection's beginning.
#[derive(Debug, Default)]
struct State {
    flights: Flights<Way>,
    nominations: Nominations<Way>,
}

/// The setting up of one connection: its sockets report to it, its task repeats what got lost.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    /// Held for a few comparisons, by the crate's driver for each datagram of a handshake or check, and by our task.
    state: Mutex<State>,
    /// There is another time to wait for.
    changed: Notify,
    /// The handshake is complete on this side.
    over: AtomicBool,
}

impl Handshake {
    /// The `ice-pwd` of the other side's newest description.
    pub(super) fn set_remote_password(&self, password: &str) {
        self.state().nominations.set_password(password);
    }

    /// Repeats what gets lost, for as long as the connection lives; to be aborted with it.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let due = self.poll_timeout();
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
            for ((socket, to), datagram) in self.handle_timeout(Instant::now()) {
                if let Err(error) = socket.send_to(&datagram, to).await {
                    tracing::debug!(%error, "a piece of the handshake could not be sent again");
                }
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let state = self.state();
        [state.flights.poll_timeout(), state.nominations.poll_timeout()].into_iter().flatten().min()
    }

    /// Nominations first: without one, the other side does not take the handshake.
    fn handle_timeout(&self, now: Instant) -> Vec<(Way, Vec<u8>)> {
        let mut state = self.state();
        let mut again = state.nominations.handle_timeout(now);
        again.extend(state.flights.handle_timeout(now));
        again
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic elsewhere left behind are still lists of datagrams.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Datagrams leave. The answer to one of them that is not to be waited for.
    fn sent(&self, socket: &Arc<dyn AsyncUdpSocket>, transmit: &Transmit<'_>) -> Option<Vec<u8>> {
        let step = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let mut answer = None;
        for datagram in transmit.contents.chunks(step).filter(|datagram| datagram::concerns_setup(datagram)) {
            let now = Instant::now();
            let way = || (Arc::clone(socket), transmit.destination);
            let from = socket.local_addr().ok();
            let mut state = self.state();
            let nominated = from.and_then(|from| state.nominations.handle_sent(way(), datagram, from, now));
            if state.flights.handle_sent(way(), datagram, now) || nominated.is_some() {
                self.changed.notify_one();
            }
            self.over.store(state.flights.is_over(), Ordering::Relaxed);
            answer = nominated.or(answer);
        }
        answer
    }

    fn received(&self, buffer: &[u8], meta: &RecvMeta) {
        let filled = buffer.get(..meta.len).unwrap_or(buffer);
        for datagram in
            filled.chunks(meta.stride.max(1)).filter(|datagram| datagram::concerns_setup(datagram))
        {
            let mut state = self.state();
            state.nominations.handle_received(datagram);
            if state.flights.handle_received(datagram, Instant::now()) {
                self.changed.notify_one();
            }
            self.over.store(state.flights.is_over(), Ordering::Relaxed);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
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
        Ok(Arc::new(Socket { inner, handshake: Arc::clone(&self.0), inbox: Mutex::default() }))
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
    /// Read and written by the crate's driver alone, in turn.
    inbox: Mutex<Inbox>,
}

impl Socket {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, context: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<Result<usize>> {
        let sent = self.inner.poll_send(context, transmit);
        // What the system refuses is as lost as what the network loses, and may be tried again like that.
        if sent.is_ready()
            && let Some(answer) = self.handshake.sent(&self.inner, transmit)
        {
            self.inbox().answer(transmit.destination, answer);
        }
        sent
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<Result<usize>> {
        loop {
            let over = self.handshake.is_over();
            match self.inbox().poll(context, over, buffers, meta) {
                inbox::Polled::Datagram => return Poll::Ready(Ok(1)),
                inbox::Polled::Pause => return Poll::Pending,
                inbox::Polled::Nothing => {}
            }
            let received = self.inner.poll_recv(context, buffers, meta);
            match &received {
                Poll::Ready(Ok(count)) => {
                    for (buffer, meta) in buffers.iter().zip(meta.iter()).take(*count) {
                        self.handshake.received(buffer, meta);
                    }
                    // The driver asks for one message at a time.
                    let first = buffers.first().zip(meta.first()).filter(|_| *count == 1);
                    if !over
                        && let Some((buffer, meta)) = first
                        && self.inbox().hold(buffer, meta, Instant::now())
                    {
                        continue;
                    }
                    if !over && self.handshake.is_over() {
                        self.inbox().pause();
                    }
                }
                Poll::Ready(Err(_)) => {}
                Poll::Pending => self.inbox().set_reader(context),
            }
            return received;
        }
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}
