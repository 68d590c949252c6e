//! The two ends of the line between the engine and whoever draws it.

use super::{Intent, Snapshot};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Intents that may wait for the engine. When full the sender keeps its intent and tries again.
pub const INTENT_CAPACITY: usize = 64;

/// The user's end: wishes in, the newest snapshot out. Never blocks.
#[derive(Clone)]
pub struct EngineHandle {
    intents: mpsc::Sender<Intent>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

/// The engine's end.
pub struct EnginePort {
    /// What the user wants, in order.
    pub intents: mpsc::Receiver<Intent>,
    /// What the user sees.
    pub snapshots: watch::Sender<Arc<Snapshot>>,
}

impl EngineHandle {
    /// A connected pair of ends, showing the default snapshot.
    pub fn pair() -> (Self, EnginePort) {
        let (intent_sender, intents) = mpsc::channel(INTENT_CAPACITY);
        let (snapshot_sender, snapshots) = watch::channel(Arc::new(Snapshot::default()));
        (Self { intents: intent_sender, snapshots }, EnginePort { intents, snapshots: snapshot_sender })
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Hands a wish over.
    ///
    /// # Errors
    /// Gives the intent back if the engine is busy (try again) or gone.
    pub fn try_send(&self, intent: Intent) -> Result<(), Intent> {
        self.intents.try_send(intent).map_err(|error| error.into_inner())
    }

    /// Waits for a snapshot that this handle has not seen; `None` when the engine is gone.
    pub async fn changed(&mut self) -> Option<Arc<Snapshot>> {
        self.snapshots.changed().await.ok()?;
        Some(Arc::clone(&self.snapshots.borrow_and_update()))
    }

    /// Like [`Self::try_send`], but waits for room.
    ///
    /// # Errors
    /// Gives the intent back if the engine is gone.
    pub async fn send(&self, intent: Intent) -> Result<(), Intent> {
        self.intents.send(intent).await.map_err(|error| error.0)
    }
}
