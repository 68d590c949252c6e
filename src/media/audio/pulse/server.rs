//! A connection to the sound server: what devices it has, and streams from and to them.

use super::super::ring::{CaptureWriter, Health, PlaybackReader};
use super::PulseError;
use super::answers::read;
use super::link::{Link, Order};
use super::stream::End;
use super::{ahead, buffers, place};
use mio::Waker;
use pulseaudio::protocol::stream::StreamFlags;
use pulseaudio::protocol::{
    self, AuthParams, ChannelMap, Command, CommandReply, Prop, Props, SampleFormat, SampleSpec,
    SubscriptionMask,
};
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// Orders that may wait for the link. When full the order fails: the link is stuck.
const ORDERS: usize = 64;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How often a wait looks whether it is still wanted.
const GLANCE: Duration = Duration::from_millis(20);
/// A device of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Found {
    /// The server's name for it, which stays the same.
    pub(in super::super) name: String,
    /// The name for people.
    pub(in super::super) description: String,
    /// Its format, as text.
    pub(in super::super) format: String,
    /// For a source: it hears what this speaker plays.
    pub(in super::super) monitor_of: Option<String>,
}

/// Everything that the server has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Inventory {
    pub(in super::super) sources: Vec<Found>,
    pub(in super::super) sinks: Vec<Found>,
    pub(in super::super) default_source: Option<String>,
    pub(in super::super) default_sink: Option<String>,
}

/// A connection. Dropping it closes it, and every stream of it.
pub(in super::super) struct Server {
    orders: Sender<Order>,
    waker: Arc<Waker>,
    alive: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    version: AtomicU16,
    playbacks: AtomicU32,
    thread: Option<JoinHandle<()>>,
}

/// An open stream. Dropping it closes it, without waiting.
pub(in super::super) struct Stream {
    orders: Sender<Order>,
    waker: Arc<Waker>,
    channel: u32,
    playback: bool,
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A link that takes no orders any more has no streams either.
        if self.orders.try_send(Order::Close { channel: self.channel, playback: self.playback }).is_ok() {
            self.waker.wake().ok();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.orders.try_send(Order::Quit));
        self.waker.wake().ok();
        // It never waits for anybody, so this is quick.
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the sound server panicked");
        }
    }
}

impl Server {
    /// Connects. `changed` is called, on the connection's thread, when devices come or go or another becomes the
    /// default, when a stream is lost, and when the connection is. Waits end early when `stopping`.
    ///
    /// # Errors
    /// None runs, it refuses, or it does not answer within 1.5 s.
    pub(in super::super) fn connect(
        stopping: &Arc<AtomicBool>,
        changed: Box<dyn Fn() + Send>,
    ) -> Result<Self, PulseError> {
        let path = place::socket().ok_or(PulseError::NotRunning)?;
        // A socket without a server behind it is what one that died leaves.
        let socket = mio::net::UnixStream::connect(path).map_err(|error| {
            tracing::debug!(%error, "no connection to the sound server");
            PulseError::NotRunning
        })?;
        let (orders, ordered) = tokio::sync::mpsc::channel(ORDERS);
        let alive = Arc::new(AtomicBool::new(true));
        let (link, waker) = Link::new(socket, ordered, Arc::clone(&alive), changed)?;
        let thread = std::thread::Builder::new().name("audio-pulse".into()).spawn(move || link.run())?;
        let server = Self {
            orders,
            waker: Arc::new(waker),
            alive,
            stopping: Arc::clone(stopping),
            version: AtomicU16::new(protocol::MAX_VERSION),
            playbacks: AtomicU32::new(0),
            thread: Some(thread),
        };
        server.introduce()?;
        Ok(server)
    }

    fn introduce(&self) -> Result<(), PulseError> {
        let auth = AuthParams {
            version: protocol::MAX_VERSION,
            supports_shm: false,
            supports_memfd: false,
            cookie: place::cookie(),
        };
        let reply: protocol::AuthReply = self.ask(Command::Auth(auth))?;
        let version = reply.version.min(protocol::MAX_VERSION);
        self.version.store(version, Ordering::Relaxed);
        self.order(Order::Version(version))?;
        let mut props = Props::new();
        props.set(Prop::ApplicationName, c"Ahoy");
        props.set(
            Prop::ApplicationProcessId,
            CString::new(std::process::id().to_string()).unwrap_or_default(),
        );
        let _: protocol::SetClientNameReply = self.ask(Command::SetClientName(props))?;
        let mask = SubscriptionMask::SINK | SubscriptionMask::SOURCE | SubscriptionMask::SERVER;
        self.raw(|reply| Order::Ask(Command::Subscribe(mask), reply)).map(drop)
    }

    /// Whether the connection stands.
    pub(in super::super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Everything that there is.
    ///
    /// # Errors
    /// The server does not answer.
    pub(in super::super) fn inventory(&self) -> Result<Inventory, PulseError> {
        let info: protocol::ServerInfo = self.ask(Command::GetServerInfo)?;
        let sinks: protocol::SinkInfoList = self.ask(Command::GetSinkInfoList)?;
        let sources: protocol::SourceInfoList = self.ask(Command::GetSourceInfoList)?;
        let sinks = sinks.into_iter().map(|sink| Found {
            description: sink.description.as_deref().map_or_else(|| text(&sink.name), text),
            name: text(&sink.name),
            format: format(&sink.sample_spec),
            monitor_of: None,
        });
        let sources = sources.into_iter().map(|source| Found {
            description: source.description.as_deref().map_or_else(|| text(&source.name), text),
            name: text(&source.name),
            format: format(&source.sample_spec),
            monitor_of: source.monitor_of_sink_name.as_deref().map(text),
        });
        Ok(Inventory {
            sinks: sinks.collect(),
            sources: sources.collect(),
            default_sink: info.default_sink_name.as_deref().map(text),
            default_source: info.default_source_name.as_deref().map(text),
        })
    }

    /// Records from a source of that name, 48 kHz mono.
    ///
    /// # Errors
    /// The server refuses or does not answer.
    pub(in super::super) fn record(
        &self,
        source: &str,
        writer: CaptureWriter,
        health: Arc<Health>,
    ) -> Result<Stream, PulseError> {
        let params = protocol::RecordStreamParams {
            sample_spec: buffers::SPEC,
            channel_map: ChannelMap::mono(),
            source_name: Some(name(source)?),
            buffer_attr: buffers::recording(),
            flags: StreamFlags { adjust_latency: true, ..StreamFlags::default() },
            props: purpose(),
            ..protocol::RecordStreamParams::default()
        };
        let command = Command::CreateRecordStream(params);
        let reply = self.raw(|reply| Order::Open(command, End::Capture(writer), health, reply))?;
        let made: protocol::CreateRecordStreamReply = read(&reply, self.version.load(Ordering::Relaxed))?;
        Ok(self.stream(made.channel, false))
    }

    /// Plays to a sink of that name, 48 kHz mono.
    ///
    /// # Errors
    /// The server refuses or does not answer.
    pub(in super::super) fn play(
        &self,
        sink: &str,
        reader: PlaybackReader,
        health: Arc<Health>,
    ) -> Result<Stream, PulseError> {
        let params = protocol::PlaybackStreamParams {
            sample_spec: buffers::SPEC,
            channel_map: ChannelMap::mono(),
            sink_name: Some(name(sink)?),
            buffer_attr: buffers::playback(ahead::LEAST),
            // Streams of one number play in step, and so only to one device.
            sync_id: self.playbacks.fetch_add(1, Ordering::Relaxed),
            flags: StreamFlags { adjust_latency: true, ..StreamFlags::default() },
            props: purpose(),
            ..protocol::PlaybackStreamParams::default()
        };
        let waker = Arc::clone(&self.waker);
        health.tell(move || drop(waker.wake()));
        let command = Command::CreatePlaybackStream(params);
        let reply = self.raw(|reply| Order::Open(command, End::Playback(reader), health, reply))?;
        let made: protocol::CreatePlaybackStreamReply = read(&reply, self.version.load(Ordering::Relaxed))?;
        tracing::debug!(attributes = ?made.buffer_attr, latency_us = made.stream_latency, "a stream to a speaker");
        Ok(self.stream(made.channel, true))
    }

    fn stream(&self, channel: u32, playback: bool) -> Stream {
        Stream { orders: self.orders.clone(), waker: Arc::clone(&self.waker), channel, playback }
    }

    fn ask<T: CommandReply>(&self, command: Command) -> Result<T, PulseError> {
        let body = self.raw(|reply| Order::Ask(command, reply))?;
        Ok(read(&body, self.version.load(Ordering::Relaxed))?)
    }

    fn raw(
        &self,
        order: impl FnOnce(SyncSender<Result<Vec<u8>, PulseError>>) -> Order,
    ) -> Result<Vec<u8>, PulseError> {
        let (reply, answer) = sync_channel(1);
        self.order(order(reply))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match answer.recv_timeout(GLANCE) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(PulseError::Silent),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= deadline || self.stopping.load(Ordering::Acquire) {
                return Err(PulseError::Silent);
            }
        }
    }

    fn order(&self, order: Order) -> Result<(), PulseError> {
        self.orders.try_send(order).map_err(|error| {
            tracing::debug!(%error, "the sound server's thread takes no order");
            PulseError::Silent
        })?;
        self.waker.wake()?;
        Ok(())
    }
}

fn text(name: &CStr) -> String {
    name.to_string_lossy().into_owned()
}

fn name(name: &str) -> Result<CString, PulseError> {
    // The names come from the server itself, which ends them with a zero.
    CString::new(name)
        .map_err(|error| PulseError::Protocol(protocol::ProtocolError::Invalid(error.to_string())))
}

fn format(spec: &SampleSpec) -> String {
    let kind = match spec.format {
        SampleFormat::U8 => "u8",
        SampleFormat::S16Le | SampleFormat::S16Be => "i16",
        SampleFormat::S24Le | SampleFormat::S24Be | SampleFormat::S24In32Le | SampleFormat::S24In32Be => {
            "i24"
        }
        SampleFormat::S32Le | SampleFormat::S32Be => "i32",
        SampleFormat::Float32Le | SampleFormat::Float32Be => "f32",
        _ => "other",
    };
    format!("{} Hz {} ch {kind}", spec.sample_rate, spec.channels)
}

/// What the stream is for: servers lower music during a call, and route headsets.
fn purpose() -> Props {
    let mut props = Props::new();
    props.set(Prop::MediaName, c"Call");
    props.set(Prop::MediaRole, c"phone");
    props
}
