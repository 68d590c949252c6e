//! The thread `audio-pulse`: one socket, its streams, and what is asked of the server.
//!
//! Driven by the socket and by [`Order`]s. It moves sound and passes answers on; it decides nothing and waits for
//! nobody.

use super::super::BLOCK;
use super::super::ring::Health;
use super::super::urgency;
use super::PulseError;
use super::answers::{Pending, answer, take};
use super::buffers::{self, Hold};
use super::stream::{End, Stream, find};
use super::wire::{AT_ONCE, Inbox, Outbox, SAMPLE, for_samples};
use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token, Waker};
use pulseaudio::protocol::{
    self, Command, LatencyParams, SetPlaybackStreamBufferAttrParams, SubscriptionEventFacility,
    SubscriptionEventType,
};
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

pub(super) const WAKE: Token = Token(0);
const SOCKET: Token = Token(1);
/// How often the server is asked how late its devices are.
const TIMING_INTERVAL: Duration = Duration::from_secs(1);
/// A server rounds what it is asked to hold up to what its device takes at once, samples.
const ROUGHLY: usize = 2 * BLOCK;
/// Streams and questions that are open at once before anything has to grow.
const EXPECTED: usize = 16;

/// What the link is told.
pub(super) enum Order {
    /// Send this and pass the answer on.
    Ask(Command, SyncSender<Result<Vec<u8>, PulseError>>),
    /// Make a stream.
    Open(Command, End, Arc<Health>, SyncSender<Result<Vec<u8>, PulseError>>),
    /// Let a stream go. The server is told; its answer does not matter.
    Close { channel: u32, playback: bool },
    /// The version that both sides speak.
    Version(u16),
    /// End.
    Quit,
}

/// The thread's state.
pub(super) struct Link {
    socket: UnixStream,
    poll: Poll,
    /// What the socket wakes us for.
    interest: Interest,
    orders: Receiver<Order>,
    alive: Arc<AtomicBool>,
    /// Called when devices came, went, or became the default, and when the connection is lost.
    changed: Box<dyn Fn() + Send>,
    version: u16,
    sequence: u32,
    pending: Vec<(u32, Pending)>,
    streams: Vec<Stream>,
    inbox: Inbox,
    outbox: Outbox,
    scratch: Vec<f32>,
    next_timing: Instant,
}

/// What an event of the socket comes to.
enum Heard {
    Nothing,
    DevicesChanged,
}

impl Link {
    /// A link over a connected socket, and what wakes it.
    pub(super) fn new(
        mut socket: UnixStream,
        orders: Receiver<Order>,
        alive: Arc<AtomicBool>,
        changed: Box<dyn Fn() + Send>,
    ) -> std::io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let interest = Interest::READABLE;
        poll.registry().register(&mut socket, SOCKET, interest)?;
        let link = Self {
            socket,
            poll,
            interest,
            orders,
            alive,
            changed,
            version: protocol::MAX_VERSION,
            sequence: 0,
            pending: Vec::with_capacity(EXPECTED),
            streams: Vec::with_capacity(EXPECTED),
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            scratch: vec![0.0; AT_ONCE],
            next_timing: Instant::now(),
        };
        Ok((link, waker))
    }

    /// Runs until told to stop, or until the connection breaks.
    pub(super) fn run(mut self) {
        urgency::claim();
        if let Err(error) = self.serve() {
            tracing::info!(%error, "the connection to the sound server is lost");
        }
        self.alive.store(false, Ordering::Release);
        for stream in &self.streams {
            stream.health.fail();
        }
        // Whoever waits for an answer is told by the end of the channel.
        self.pending.clear();
        while self.orders.try_recv().is_ok() {}
        (self.changed)();
    }

    fn serve(&mut self) -> Result<(), PulseError> {
        let mut events = Events::with_capacity(EXPECTED);
        loop {
            let wait = self.next_timing.saturating_duration_since(Instant::now());
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            let mut changed = false;
            loop {
                let more = self.inbox.fill(&mut self.socket)?;
                while let Some(heard) = self.hear()? {
                    changed |= matches!(heard, Heard::DevicesChanged);
                }
                if !more {
                    break;
                }
            }
            if changed {
                (self.changed)();
            }
            if self.follow_orders()? {
                return Ok(());
            }
            self.play();
            self.ask_timing()?;
            self.flush()?;
        }
    }

    /// Handles the next message.
    fn hear(&mut self) -> Result<Option<Heard>, PulseError> {
        let Some((channel, body)) = self.inbox.next()? else { return Ok(None) };
        if channel != u32::MAX {
            // A stream that was let go may still speak.
            if let Some(Stream { end: End::Capture(writer), .. }) =
                self.streams.iter_mut().find(|stream| stream.channel == channel && !stream.is_playback())
            {
                for_samples(body, &mut self.scratch, |samples| writer.push(samples));
            }
            return Ok(Some(Heard::Nothing));
        }
        let mut cursor = Cursor::new(body);
        let (sequence, command) = match Command::read_tag_prefixed(&mut cursor, self.version) {
            Ok(read) => read,
            // Newer servers may tell of things that concern nobody here; the frame says where the next one begins.
            Err(_) => return Ok(Some(Heard::Nothing)),
        };
        match command {
            Command::Reply => {
                let at = cursor.position() as usize;
                let unwanted = take(&mut self.pending, sequence)
                    .and_then(|pending| answer(pending, &body[at..], self.version, &mut self.streams));
                if let Some((channel, playback)) = unwanted {
                    self.close(channel, playback)?;
                }
            }
            Command::Error(error) => match take(&mut self.pending, sequence) {
                Some(Pending::Asked(reply) | Pending::Opened(_, _, reply)) => {
                    drop(reply.try_send(Err(PulseError::Refused(error))));
                }
                Some(Pending::Timing { .. } | Pending::Nobody) | None => {}
            },
            Command::Request(request) => {
                if let Some(stream) = find(&mut self.streams, request.channel, true) {
                    stream.wanted += request.length as usize;
                }
            }
            Command::Underflow(underflow) => {
                if let Some(stream) = find(&mut self.streams, underflow.channel, true) {
                    stream.health.starve();
                    if let Some(hold) = stream.ahead.handle_dry(Instant::now()) {
                        self.hold(underflow.channel, hold)?;
                    }
                }
            }
            Command::PlaybackStreamKilled(channel) => self.lose(channel, true),
            Command::RecordStreamKilled(channel) => self.lose(channel, false),
            Command::SubscribeEvent(event) => {
                let is_server = event.event_facility == SubscriptionEventFacility::Server;
                // A sink changes with every turn of its volume.
                if is_server || event.event_type != SubscriptionEventType::Changed {
                    return Ok(Some(Heard::DevicesChanged));
                }
            }
            _ => {}
        }
        Ok(Some(Heard::Nothing))
    }

    fn lose(&mut self, channel: u32, playback: bool) {
        if let Some(stream) = find(&mut self.streams, channel, playback) {
            stream.health.fail();
        }
        self.streams.retain(|stream| stream.channel != channel || stream.is_playback() != playback);
        (self.changed)();
    }

    /// Sends what the socket takes. Of room for more it tells after every message that the server reads, so it is only asked
    /// to while something waits.
    fn flush(&mut self) -> std::io::Result<()> {
        self.outbox.flush(&mut self.socket)?;
        let waits = !self.outbox.is_empty();
        let interest = if waits { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        if std::mem::replace(&mut self.interest, interest) != interest {
            self.poll.registry().reregister(&mut self.socket, SOCKET, interest)?;
        }
        Ok(())
    }

    /// True if told to end.
    fn follow_orders(&mut self) -> Result<bool, PulseError> {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Ask(command, reply)) => self.send(&command, Pending::Asked(reply))?,
                Ok(Order::Open(command, end, health, reply)) => {
                    self.send(&command, Pending::Opened(end, health, reply))?;
                }
                Ok(Order::Close { channel, playback }) => self.close(channel, playback)?,
                Ok(Order::Version(version)) => self.version = version,
                Err(TryRecvError::Empty) => return Ok(false),
                Ok(Order::Quit) | Err(TryRecvError::Disconnected) => {
                    // What was said last (that a stream is closed) still goes out if the server reads.
                    self.outbox.flush(&mut self.socket)?;
                    return Ok(true);
                }
            }
        }
    }

    fn close(&mut self, channel: u32, playback: bool) -> Result<(), PulseError> {
        self.streams.retain(|stream| stream.channel != channel || stream.is_playback() != playback);
        let command = if playback {
            Command::DeletePlaybackStream(channel)
        } else {
            Command::DeleteRecordStream(channel)
        };
        self.send(&command, Pending::Nobody)
    }

    fn send(&mut self, command: &Command, pending: Pending) -> Result<(), PulseError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.outbox.command(self.sequence, command, self.version)?;
        self.pending.push((self.sequence, pending));
        Ok(())
    }

    /// Gives the server the sound that it asked for, as much as there is: the rest is due when it was made, since the
    /// server has some ahead. What the server lacks beyond that is in the past, and silence.
    fn play(&mut self) {
        for stream in &mut self.streams {
            let End::Playback(reader) = &mut stream.end else { continue };
            let mut sounds = true;
            while stream.wanted >= SAMPLE {
                let lacking = (stream.wanted / SAMPLE).saturating_sub(stream.ahead.hold().target + ROUGHLY);
                let count = if sounds { stream.wanted / SAMPLE } else { lacking }.min(AT_ONCE);
                if count == 0 || !self.outbox.has_room(count * SAMPLE) {
                    break;
                }
                let samples = &mut self.scratch[..count];
                let taken = if sounds {
                    reader.take(samples)
                } else {
                    samples.fill(0.0);
                    stream.health.miss(count);
                    count
                };
                sounds &= taken == count;
                if taken > 0 {
                    self.outbox.sound(stream.channel, &samples[..taken]);
                    stream.wanted -= taken * SAMPLE;
                }
            }
        }
    }

    /// Lets the server hold so much for a speaker from now on.
    fn hold(&mut self, channel: u32, hold: Hold) -> Result<(), PulseError> {
        let params = SetPlaybackStreamBufferAttrParams {
            index: channel,
            buffer_attr: buffers::playback(hold),
            adjust_latency: true,
            early_requests: false,
        };
        self.send(&Command::SetPlaybackStreamBufferAttr(params), Pending::Nobody)
    }

    /// Asks how late the devices are; lets the server hold less where it has long had enough.
    fn ask_timing(&mut self) -> Result<(), PulseError> {
        let now = Instant::now();
        if now < self.next_timing {
            return Ok(());
        }
        self.next_timing = now + TIMING_INTERVAL;
        for at in 0..self.streams.len() {
            let (channel, playback) = (self.streams[at].channel, self.streams[at].is_playback());
            let params = LatencyParams { channel, now: SystemTime::now() };
            let command = if playback {
                Command::GetPlaybackLatency(params)
            } else {
                Command::GetRecordLatency(params)
            };
            self.send(&command, Pending::Timing { channel, playback })?;
            if playback && let Some(hold) = self.streams[at].ahead.handle_time(now) {
                self.hold(channel, hold)?;
            }
        }
        Ok(())
    }
}
