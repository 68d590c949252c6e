//! Ahoy: a native desktop video-call application.

#[cfg(feature = "desktop")]
pub mod call;
#[cfg(feature = "desktop")]
pub mod config;
#[cfg(feature = "desktop")]
pub mod engine;
#[cfg(feature = "desktop")]
pub mod media;
#[cfg(feature = "desktop")]
pub mod peer;
pub mod protocol;
pub mod signaling;
#[cfg(feature = "desktop")]
pub mod ui;
