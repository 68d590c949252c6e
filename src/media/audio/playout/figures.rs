//! What the playout counts.

/// Figures since the beginning, in samples where not said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlayoutStats {
    /// Packets accepted.
    pub packets: u64,
    /// Packets that were malformed.
    pub malformed: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after their turn.
    pub late: u64,
    /// Packets repaired from the one after.
    pub repaired: u64,
    /// Packets that never came but were carried by another one.
    pub carried: u64,
    /// Times that the timeline began anew.
    pub restarts: u64,
    /// Played since the first packet.
    pub played: u64,
    /// Of them made up.
    pub concealed: u64,
    /// Cut out to catch up.
    pub shortened: u64,
    /// Put in to fall back.
    pub lengthened: u64,
}
