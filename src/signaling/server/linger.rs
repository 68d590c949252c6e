//! The end of a stream whose peer is still to read what it was told.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long what the peer still sends is read away, so that it is not reset before it has read why we close.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Read away at once, bytes.
const PIECE: usize = 8 * 1024;

/// Ends our half of the stream and discards the peer's, for a limited time.
pub(super) async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut discarded = [0; PIECE];
    let drained = timeout(LINGER_TIMEOUT, async {
        while matches!(stream.read(&mut discarded).await, Ok(count) if count > 0) {}
    });
    if drained.await.is_err() {
        tracing::debug!("the peer goes on sending: cut off");
    }
}
