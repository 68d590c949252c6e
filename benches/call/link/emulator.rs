//! The thread that carries packets from one TUN device to the other, through one [`Direction`] each way.
//!
//! It is told only what the link is to be like; it says what became of the packets, and how late it was itself, so
//! that a machine too busy to emulate a link in time does not pass for a slow link.

use super::direction::{Counts, Direction};
use super::random::Random;
use super::schedule::{Schedule, Shape};
use super::system;
use super::tun::Tun;
use std::io::Result;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How soon a command is noticed at the latest.
const COMMAND_POLL: Duration = Duration::from_millis(10);
/// Commands that wait; whoever sends more of them waits, too.
const COMMANDS: usize = 4;

/// The running link between two devices. Dropping it takes it down.
pub(crate) struct Emulator {
    commands: SyncSender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// What the link did since [`Emulator::begin`].
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// From the first device to the second, and back.
    pub(crate) counts: [Counts; 2],
    /// How long packets that were due had to wait for us: median, 99th percentile and worst.
    pub(crate) lateness: [Duration; 3],
}

enum Command {
    Begin { schedule: Schedule, seed: u64, at: Instant },
    Report(SyncSender<Report>),
    Stop,
}

struct Worker {
    devices: [Tun; 2],
    /// `directions[0]` takes what `devices[0]` sends.
    directions: [Direction; 2],
    began: Instant,
    lateness: Vec<Duration>,
}

impl Emulator {
    /// Joins two devices by a clean link.
    pub(crate) fn start(devices: [Tun; 2]) -> Result<Self> {
        let (commands, received) = sync_channel(COMMANDS);
        let mut worker = Worker {
            devices,
            directions: directions(&Schedule::steady(Shape::CLEAN), 0),
            began: Instant::now(),
            lateness: Vec::new(),
        };
        let carry = move || {
            if !system::hurry() {
                tracing::warn!("the link runs at ordinary priority: on a busy machine it will be late");
            }
            if let Err(error) = worker.carry(&received) {
                tracing::error!(%error, "the link broke");
            }
        };
        let thread = Builder::new().name("link".into()).spawn(carry)?;
        Ok(Self { commands, thread: Some(thread) })
    }

    /// Begins a schedule at `at`, whatever was before; packets that are on their way are lost.
    pub(crate) fn begin(&self, schedule: Schedule, seed: u64, at: Instant) {
        self.tell(Command::Begin { schedule, seed, at });
    }

    /// What happened since the schedule began; `None` if the link broke (the log says why).
    pub(crate) fn report(&self) -> Option<Report> {
        let (answer, answered) = sync_channel(1);
        self.tell(Command::Report(answer));
        answered.recv().ok()
    }

    fn tell(&self, command: Command) {
        // The thread ends by itself only after an error, which it has logged.
        self.commands.send(command).ok();
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.tell(Command::Stop);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Worker {
    fn carry(&mut self, commands: &Receiver<Command>) -> Result<()> {
        loop {
            match commands.try_recv() {
                Ok(Command::Begin { schedule, seed, at }) => {
                    self.directions = directions(&schedule, seed);
                    self.began = at;
                    self.lateness.clear();
                }
                Ok(Command::Report(answer)) => {
                    answer.send(self.report()).ok();
                }
                Ok(Command::Stop) => return Ok(()),
                Err(_) => {}
            }
            for (device, direction) in self.devices.iter().zip(&mut self.directions) {
                while let Some(packet) = device.receive()? {
                    direction.handle_packet(self.began.elapsed(), packet);
                }
            }
            for (direction, device) in self.directions.iter_mut().zip(self.devices.iter().rev()) {
                loop {
                    let now = self.began.elapsed();
                    let Some((arrived, packet)) = direction.poll_packet(now) else { break };
                    self.lateness.push(now - arrived);
                    device.deliver(&packet)?;
                }
            }
            let next = self.directions.iter().filter_map(Direction::poll_timeout).min();
            let patience = next.map_or(COMMAND_POLL, |at| at.saturating_sub(self.began.elapsed()));
            let [one, other] = &self.devices;
            system::wait_readable([one.as_fd(), other.as_fd()], patience.min(COMMAND_POLL))?;
        }
    }

    fn report(&self) -> Report {
        let mut sorted = self.lateness.clone();
        sorted.sort();
        let at = |share: usize| sorted.get((sorted.len() * share / 100).min(sorted.len().saturating_sub(1)));
        Report {
            counts: self.directions.each_ref().map(Direction::counts),
            lateness: [50, 99, 100].map(|share| at(share).copied().unwrap_or_default()),
        }
    }
}

/// Both ways of a link are alike, but lose different packets.
fn directions(schedule: &Schedule, seed: u64) -> [Direction; 2] {
    let random = Random::new(seed);
    [1, 2].map(|way| Direction::new(schedule.clone(), random.split(way).next()))
}
