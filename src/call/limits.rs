//! The clocks and bounds of a call. One place, so that they can be weighed against each other.

use std::time::Duration;

/// How long a call rings, at either end, before it counts as unanswered.
pub const RING: Duration = Duration::from_secs(45);
/// From acceptance by both sides to the first connected moment.
pub const SETUP: Duration = Duration::from_secs(20);
/// How long a broken path may take to come back. RFC 7675 section 5.1 lets consent expire after 30 s.
pub const GRACE: Duration = Duration::from_secs(30);
/// The same against a stock page: it closes for good on ICE `disconnected`, so little is left to wait for.
pub const STOCK_GRACE: Duration = Duration::from_secs(10);
/// What is left of the grace when the other side is not even online any more: it may only be slower than we to find
/// the server again.
pub const ABSENT_GRACE: Duration = Duration::from_secs(5);
/// How long a path that fell silent is left to come back by itself before the other side is asked, over the server, to
/// make a new one. Most interruptions of a wireless link are over by then, and what comes back by itself does so at
/// once, where new credentials cost several round trips.
pub const CHECK_AFTER: Duration = Duration::from_millis(700);
/// The same for the side that does not restart first: the other will most likely have asked by then.
pub const CHECK_PATIENCE: Duration = Duration::from_secs(2);
/// Between two such questions, or two ICE restarts.
pub const REPAIR_INTERVAL: Duration = Duration::from_secs(3);
/// From the answer to the restart: if the answer only came because the network is back, so is the old path, which tells
/// so within this time and makes the restart needless.
pub const RESTART_HOLD: Duration = Duration::from_millis(250);
/// A wish to renegotiate is carried out when the signaling has been stable, and no new wish came, for this long:
/// wishes merge, and those that an answer just fulfilled do not become offers of their own.
pub const SETTLE: Duration = Duration::from_millis(100);
/// The same while the other side has not shown that it speaks Ahoy's extensions. A stock page re-offers right after
/// its first answer and cannot survive two offers that cross, so ours gives way.
pub const STOCK_SETTLE: Duration = Duration::from_millis(500);
/// An offer inside the call that was not answered for this long is taken back, so that others can follow.
pub const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// A stock page's offer that crossed ours is held for this long. If the answer to ours comes meanwhile, the page's
/// offer merely overtook it; if not, the page has rolled back and will never answer.
pub const GLARE_HOLD: Duration = Duration::from_millis(400);
/// Between the hang-up that resets a stuck stock page and our fresh offer.
pub const REDIAL_PAUSE: Duration = Duration::from_millis(500);
/// Fresh offers made to a stuck stock page before the call is given up.
pub const MAX_REDIALS: u32 = 2;
/// Remote candidates that wait for their description; likewise local ones that wait for ours to be sent. When full
/// the newest is dropped and noted: the first ones found are the likeliest to work.
pub const PENDING_CANDIDATES: usize = 64;
/// ICE generations remembered as dead, so that their late candidates are known for what they are. When full the
/// oldest is forgotten.
pub const RETIRED_FRAGMENTS: usize = 16;
