//! The border between the playout and the codec, so that the playout can be tested without one.

/// What the playout needs of a decoder.
pub trait FrameDecoder {
    /// Samples that the packet holds at 48 kHz; `None` if it is malformed.
    fn samples(&self, payload: &[u8]) -> Option<usize>;
    /// False if the packet only announces a pause (DTX).
    fn carries_sound(&self, payload: &[u8]) -> bool;
    /// How many samples right before its own the packet also carries.
    fn carries_before(&mut self, payload: &[u8]) -> usize;
    /// Decodes into the head of `out`; `None` if the packet is malformed.
    fn decode(&mut self, payload: &[u8], out: &mut [f32]) -> Option<usize>;
    /// Fills `out` with sound that begins so many samples before that of `later_payload`, from what that one carries.
    fn repair(&mut self, later_payload: &[u8], before: usize, out: &mut [f32]) -> bool;
    /// Fills `out` with a guess at what is missing.
    fn conceal(&mut self, out: &mut [f32]) -> bool;
    /// Forgets the past.
    fn reset(&mut self);
}
