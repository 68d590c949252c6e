//! Tells an interceptor of our picture's stream.
//!
//! The crate binds a local stream once, by the one codec that its track was made with, and not at all if the remote
//! takes another. Ours has every codec that both sides agreed upon, so we bind it ourselves: once for each codec, and
//! again when a later negotiation has another result. What the interceptor does with packets is its own business.

use rtc::interceptor::{Interceptor, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::time::Instant;
use tokio::sync::watch;

/// Our picture's stream, once for each codec agreed upon; empty before that.
pub(in crate::peer) type Bindings = Vec<StreamInfo>;

/// An interceptor that is bound by us; see the module.
pub(in crate::peer) struct Bound<I> {
    inner: I,
    bindings: watch::Receiver<Bindings>,
}

impl<I: Interceptor> Bound<I> {
    /// Binds `inner` to what `bindings` says.
    pub(in crate::peer) fn new(inner: I, mut bindings: watch::Receiver<Bindings>) -> Self {
        bindings.mark_changed();
        Self { inner, bindings }
    }

    fn follow(&mut self) {
        // An error means that the owner of the connection is gone: nothing changes any more.
        if self.bindings.has_changed().unwrap_or(false) {
            for info in self.bindings.borrow_and_update().iter() {
                self.inner.bind_local_stream(info);
            }
        }
    }
}

impl<I: Interceptor> Protocol<TaggedPacket, TaggedPacket, ()> for Bound<I> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.inner.handle_read(tagged)
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inner.poll_read()
    }

    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.follow();
        self.inner.handle_write(tagged)
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.inner.poll_write()
    }

    fn handle_event(&mut self, event: ()) -> Result<(), Error> {
        self.inner.handle_event(event)
    }

    fn poll_event(&mut self) -> Option<()> {
        self.inner.poll_event()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.inner.handle_timeout(now)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.inner.poll_timeout()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.inner.close()
    }
}

impl<I: Interceptor> Interceptor for Bound<I> {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.inner.bind_local_stream(info);
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.inner.unbind_local_stream(info);
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.inner.bind_remote_stream(info);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.inner.unbind_remote_stream(info);
    }
}
