//! Signaling: how participants find each other and exchange descriptions. `client` joins, `server` serves.

pub mod address;
pub mod backoff;
pub mod client;
pub mod server;
