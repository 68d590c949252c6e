//! What the playout counts.

/// Figures since the beginning, in samples where not said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PlayoutStats {
    /// Packets accepted.
    pub(crate) packets: u64,
    /// Packets that were malformed.
    pub(crate) malformed: u64,
    /// Packets that came twice.
    pub(crate) duplicates: u64,
    /// Packets that came after their turn.
    pub(crate) late: u64,
    /// Packets repaired from the one after.
    pub(crate) repaired: u64,
    /// Times that the timeline began anew.
    pub(crate) restarts: u64,
    /// Played since the first packet.
    pub(crate) played: u64,
    /// Of them made up.
    pub(crate) concealed: u64,
    /// Cut out to catch up.
    pub(crate) shortened: u64,
    /// Put in to fall back.
    pub(crate) lengthened: u64,
}
