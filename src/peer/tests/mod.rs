//! Two peers in one process, through the real stack, on loopback.

mod codecs;
mod connecting;
mod lossy;
mod negotiating;
mod network;
mod pair;
mod parts;
mod relayed;
