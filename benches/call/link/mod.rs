//! A network link that does not exist: rate and queue, loss and bursts, delay, jitter and reordering, changing by a
//! schedule, the same every time for the same seed.
//!
//! [`direction::Direction`] is one way of the link. It does no I/O and knows no clock: packets and the time go in,
//! packets come out, so its tests run in virtual time. [`emulator::Emulator`] is the thread that carries packets
//! between two TUN devices ([`tun`]) through two of them; each device lies in a network namespace of its own
//! ([`netns`]), so that whatever runs there sees an ordinary network interface.
//!
//! A packet passes, in this order: the rate's queue (drop-tail), loss, delay. So a lost packet has cost its share of
//! the rate, as on a radio link, and the queue never hides a loss.

pub(crate) mod direction;
pub(crate) mod loss;
pub(crate) mod random;
pub(crate) mod schedule;

#[cfg(target_os = "linux")]
pub(crate) mod emulator;
#[cfg(target_os = "linux")]
pub(crate) mod netns;
#[cfg(target_os = "linux")]
mod system;
#[cfg(target_os = "linux")]
pub(crate) mod tun;
