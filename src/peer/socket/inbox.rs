//! What a socket gives to the crate's driver besides what has just come: answers from this machine itself, and media
//! that came before there were keys for it.
//!
//! Driven by its socket. Whoever completes the handshake first sends at once, so the first picture may overtake the
//! handshake's last datagram, or come while that is repeated; and the crate drops what it cannot decrypt yet, even when
//! both come in one burst, because it takes note of the keys only after the burst. A call would then begin with a
//! keyframe that is lost, unknown to anybody. So media waits until the handshake is complete and the crate has had a
//! turn to take note of it.

use super::datagram;
use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use webrtc::runtime::RecvMeta;

/// Datagrams of media that wait for keys: a first picture and a second of sound. When full, newer ones are passed on
/// (and dropped by the crate).
const CAPACITY: usize = 128;
/// They wait for so long: what is older than the longest wait for a repetition has no use.
const PATIENCE: Duration = Duration::from_secs(2);

/// What there is for the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polled {
    /// A datagram, which is now in its buffer.
    Datagram,
    /// Nothing before the reader has had its turn at other things; it has been woken already.
    Pause,
    /// Nothing but what comes from the network.
    Nothing,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    ready: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Media without keys, and since when.
    held: VecDeque<(SocketAddr, Vec<u8>)>,
    since: Option<Instant>,
    paused: bool,
    /// Who waits for a datagram.
    reader: Option<Waker>,
}

impl Inbox {
    /// Gives a datagram to the reader as if it had come from there.
    pub(super) fn answer(&mut self, from: SocketAddr, answer: Vec<u8>) {
        self.ready.push_back((from, answer));
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Who is to be woken.
    pub(super) fn set_reader(&mut self, context: &Context<'_>) {
        match &mut self.reader {
            Some(reader) => reader.clone_from(context.waker()),
            None => self.reader = Some(context.waker().clone()),
        }
    }

    /// The handshake is complete with the datagram that the reader gets now.
    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    /// The next datagram, into the first buffer. `over`: there are keys for media.
    pub(super) fn poll(
        &mut self,
        context: &Context<'_>,
        over: bool,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Polled {
        if std::mem::take(&mut self.paused) {
            context.waker().wake_by_ref();
            return Polled::Pause;
        }
        let ready = self.ready.pop_front();
        let next = ready.or_else(|| if over { self.held.pop_front() } else { None });
        let Some((from, datagram)) = next else { return Polled::Nothing };
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else {
            return Polled::Nothing;
        };
        let Some(room) = buffer.get_mut(..datagram.len()) else { return Polled::Nothing };
        room.copy_from_slice(&datagram);
        *meta = RecvMeta::default();
        (meta.addr, meta.len, meta.stride) = (from, datagram.len(), datagram.len().max(1));
        Polled::Datagram
    }

    /// Takes what has come if it is media; before there are keys.
    pub(super) fn hold(&mut self, buffer: &[u8], meta: &RecvMeta, now: Instant) -> bool {
        let filled = buffer.get(..meta.len).unwrap_or(buffer);
        if !datagram::is_media(filled) || self.held.len() >= CAPACITY {
            return false;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) > PATIENCE {
            return false;
        }
        self.held.extend(filled.chunks(meta.stride.max(1)).map(|datagram| (meta.addr, datagram.to_vec())));
        true
    }
}
