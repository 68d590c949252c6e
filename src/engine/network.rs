//! Watches this machine's addresses and its sleep.
//!
//! A task polls the system and tells the engine; [`Watch`] decides what is news, sans-IO. Polling is what works on every
//! system with what the program has already, costs some 50 µs, and is done more often while there is a call. It never
//! touches a call or a connection.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// News that may wait for the engine. When full the task waits, and what changes meanwhile becomes one piece of news.
pub(super) const NEWS_CAPACITY: usize = 4;
/// Between two looks while there is a call: a tenth of what a person calls an interruption.
const IN_CALL: Duration = Duration::from_millis(100);
/// Otherwise: only the signaling depends on it.
const IDLE: Duration = Duration::from_secs(2);
/// A look that comes later than this was held up by the machine's sleep, or by that of this program.
const ASLEEP: Duration = Duration::from_secs(3);

/// What happened to this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NetworkNews {
    /// It has other addresses than before.
    Changed {
        /// Those that it no longer has.
        gone: Vec<IpAddr>,
    },
    /// It has slept, or this program was stopped: whatever waited for us may have given up.
    Woke,
}

/// Tells old from new. Time and addresses come from outside.
#[derive(Debug)]
pub(super) struct Watch {
    addresses: BTreeSet<IpAddr>,
    /// The last look, by the clock that stands still while the machine sleeps (on Linux), and by the one that does not.
    looked: (Instant, SystemTime),
}

impl Watch {
    /// Begins with these addresses.
    pub(super) fn new(addresses: BTreeSet<IpAddr>, now: Instant, wall: SystemTime) -> Self {
        Self { addresses, looked: (now, wall) }
    }

    /// Takes a look: these are the addresses, after a pause that was to last `pause`.
    pub(super) fn handle_look(
        &mut self,
        addresses: BTreeSet<IpAddr>,
        pause: Duration,
        now: Instant,
        wall: SystemTime,
    ) -> Vec<NetworkNews> {
        let (was, wall_was) = std::mem::replace(&mut self.looked, (now, wall));
        let old = std::mem::replace(&mut self.addresses, addresses);
        let mut news = Vec::new();
        // A wall clock that was set looks like a sleep, and costs one needless check of the server.
        let passed =
            now.saturating_duration_since(was).max(wall.duration_since(wall_was).unwrap_or_default());
        if passed > pause + ASLEEP {
            news.push(NetworkNews::Woke);
        }
        if old != self.addresses {
            news.push(NetworkNews::Changed { gone: old.difference(&self.addresses).copied().collect() });
        }
        news
    }
}

/// Runs until the engine listens no longer. `in_call` sets the pace.
pub(super) async fn run(mut in_call: watch::Receiver<bool>, news: mpsc::Sender<NetworkNews>) {
    let Some(addresses) = addresses() else { return };
    let mut watch = Watch::new(addresses, Instant::now(), SystemTime::now());
    loop {
        let pause = if *in_call.borrow_and_update() { IN_CALL } else { IDLE };
        tokio::select! {
            () = sleep(pause) => {}
            changed = in_call.changed() => if changed.is_err() { return },
        }
        // A look that fails (out of file descriptors, mostly) shows nothing.
        let Some(addresses) = self::addresses() else { continue };
        for item in watch.handle_look(addresses, pause, Instant::now(), SystemTime::now()) {
            tracing::info!(?item, "this machine's network");
            if news.send(item).await.is_err() {
                return;
            }
        }
    }
}

/// The addresses of the interfaces that are up.
fn addresses() -> Option<BTreeSet<IpAddr>> {
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => Some(
            interfaces
                .iter()
                .filter(|interface| interface.is_oper_up() || interface.is_loopback())
                .map(|interface| interface.ip())
                .collect(),
        ),
        Err(error) => {
            tracing::debug!(%error, "the system does not tell its addresses");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().filter_map(|text| text.parse().ok()).collect()
    }

    #[test]
    fn an_address_that_goes_is_named_and_one_that_comes_is_news() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut watch = Watch::new(at(&["127.0.0.1", "10.0.0.2"]), now, wall);
        let mut look = |addresses: &[&str]| watch.handle_look(at(addresses), IN_CALL, now, wall);
        assert_eq!(look(&["10.0.0.2", "127.0.0.1"]), []);
        assert_eq!(look(&["127.0.0.1", "10.0.0.2", "10.0.0.3"]), [NetworkNews::Changed { gone: vec![] }]);
        let gone = vec!["10.0.0.2".parse().unwrap()];
        assert_eq!(look(&["127.0.0.1", "10.0.0.3"]), [NetworkNews::Changed { gone }]);
        assert_eq!(look(&["127.0.0.1", "10.0.0.3"]), []);
    }

    #[test]
    fn a_sleep_shows_on_either_clock_and_a_busy_machine_does_not_sleep() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut watch = Watch::new(at(&[]), now, wall);
        let second = Duration::from_secs(1);
        // Suspended: the monotonic clock stood still.
        assert_eq!(watch.handle_look(at(&[]), IDLE, now + second, wall + 3600 * second), [NetworkNews::Woke]);
        // Stopped and continued: both went on.
        let (later, wall_later) = (now + 9 * second, wall + 3608 * second);
        assert_eq!(watch.handle_look(at(&[]), IN_CALL, later, wall_later), [NetworkNews::Woke]);
        // Held up; and a wall clock that was set back.
        assert_eq!(watch.handle_look(at(&[]), IN_CALL, later + 2 * second, wall), []);
    }
}
