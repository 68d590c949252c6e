//! Signaling: how participants find each other and exchange descriptions. `client` joins, `server` serves.

#[cfg(feature = "desktop")]
pub mod client;
pub mod server;
