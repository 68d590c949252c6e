//! Ahoy: a native desktop video-call application.
//!
//! It is the system of MDN's article "Signaling and video calling", built natively: it speaks the article's JSON
//! protocol, so it also calls, and is called by, a plain browser page written after that article.
//!
//! # What happens in a call
//!
//! ```text
//! camera ─▶ Latest<Frame> ─▶ encoder ─▶ packetize, pace ─▶ RTP ─▶ reorder, repair ─▶ decoder ─▶ Latest<Frame> ─▶ window
//! mic ─▶ ring ─▶ AEC, NS, AGC ─▶ Opus ───────────────────▶ RTP ─▶ playout (FEC, PLC, stretch) ─▶ ring ─▶ speaker
//!                     ▲ far-end reference ◀─────────────────────────────────────────────────────┘
//! click ─▶ Intent ─▶ engine ─▶ Call (state machine) ─▶ Action ─▶ signaling, peer connection, media
//! ```
//!
//! # Rooms, in reading order
//!
//! | Module | What it holds | What it never does |
//! |---|---|---|
//! | [`protocol`] | the wire messages | I/O |
//! | [`call`] | the state machine of one call | I/O, clocks |
//! | [`engine`] | the one owner of the call and of all that it opened; `Intent` in, `Snapshot` out | wait |
//! | [`signaling`] | the WebSocket client and the server | know what a call is |
//! | [`peer`] | the adapter to the `webrtc` crate: packets, bandwidth, statistics | know what a picture is |
//! | [`media`] | devices, codecs, reassembly, playout | know what a network is |
//! | [`ui`] | draws a `Snapshot`, returns `Intent`s | reach past [`engine`] |
//! | [`agent`] | the same engine, driven by JSON lines | |
//!
//! # Threads
//!
//! | Thread | Work |
//! |---|---|
//! | main | the window: draws, never blocks and never converts a pixel |
//! | `ahoy-io` (2) | tokio: engine, signaling, peer connection, pacer |
//! | `media-desk` | opens, switches and closes devices, one after the other |
//! | `video-capture` | the camera (or draws the test pattern, or reads the file) |
//! | `video-encoder`, `video-receiver` | H.264 and VP8 |
//! | `video-rgba` (2, window only) | converts pictures for the screen |
//! | `video-recorder` (on demand) | writes what arrives to a file |
//! | `audio` | Opus and playout, in steps of 10 ms; scheduled in real time where the system grants it |
//! | `audio-devices` | opens and watches microphone and speaker |
//! | `ringer` (window only) | rings, and tries out speaker and microphone; opens a device only while it does |
//! | `audio-pulse` | the connection to the sound server: moves samples between its socket and the rings; in real time, too |
//! | the sound library's own | its callbacks only move samples through rings |
//!
//! Wherever a picture waits for a slower stage it waits in a [`media::video::latest::Latest`], one frame and never a
//! queue: a slow reader sees fewer frames, never later ones. Every other line between two threads is bounded, and
//! its constant says what happens when it is full.
//!
//! # Where the code went another way than first designed
//!
//! * Devices are opened and closed by a thread of their own (`media-desk`) instead of by the engine: opening a
//!   camera blocks, and one queue for opening and closing makes "close the old, then open the new" true by itself.
//! * On Linux cameras are read by `v4l` first and by `nokhwa` where that fails, not the other way round: `nokhwa`
//!   waits for a picture without a time limit, so a camera that stalls could not be let go.
//! * The encoder looks for room before it encodes and skips the picture if there is none, so that a slow transport
//!   costs pictures but no keyframes.
//! * A lost path does not lead to an ICE restart at once: the `webrtc` crate throws the old pair away when it restarts,
//!   and after most interruptions the old pair is the quickest way back. A restart is made at once only when the
//!   machine's address is gone; otherwise when both sides have told each other over the server (`path-check`) that they
//!   are there and still hear nothing.
//! * OpenH264's own rate control is off, and the quantizer of every picture is ours (`media::video::quantizer`): on the
//!   tests' footage every second lands within a tenth of the rate, and a keyframe costs about a seventh of a second of it.
//! * H.264 comes first, but whoever takes VP8 as well gets that while bits are few: there libvpx keeps texture that OpenH264
//!   loses, and shows 360 lines where it shows 270 (`media::video::codec_choice`).
//! * Congestion control leaves the draft where it lets a queue stand. The estimate gives way to any queue by small steps,
//!   pictures are paced at what the bottleneck serves once that is known, and when the path falls behind none are made
//!   until it has caught up: sound goes on, and no keyframe is needed afterwards. What a full queue swallowed by then is
//!   replaced by a keyframe as soon as the feedback on the sound behind it tells, which is long before the other side can
//!   ask (`peer/chain/jam.rs`). A path that became wide again is seen by how long large packets take (`peer::rate`).
//! * The picture has one temporal layer. Two looked cheaper at the same PSNR in a rough comparison, but pictures would
//!   alternate 3 to 1 in size, which is delay on a narrow link, and losing one of the smaller half helps only a receiver
//!   that knows it.
//! * PulseAudio (and PipeWire in its place) is spoken to by a client of our own, not through `cpal`: that polled the
//!   latency of each stream and cleared a megabyte for every read, which cost 160 ms of processor time a second, told
//!   nothing of devices that come and go, and could not let go of a device without the server's consent. The server has
//!   sound ahead of its own, so ours waits for what is not made yet instead of filling in silence, and no second cushion
//!   is needed before it: with that, and since devices wake the thread `audio`, a voice is 10 ms earlier at the ear.
//! * Lost packets of a picture are asked for, and over long paths that lose by chance also given back by parities
//!   (`peer::fec`): on others those cost more than they mend (`peer/tests/network/decision.rs` has the figures).
//! * The other side's picture does not go through the toolkit's textures: where there is no graphics card, drawing it
//!   as one took half of the window's own processor time. It is uploaded in the window's order of colours and copied
//!   by the driver (`ui::screen`).
//! * Whoever shows a picture smaller than it comes says so (`view`), and gets no more pixels than are seen: in a window of
//!   the usual size 42 % of those of 720 lines, for both sides to code. Without a graphics card a picture is also enlarged
//!   by us, not by the driver, which takes several times as long.
//! * Both ends of a call keep their first direction `sendrecv`; who is muted says so by `media-state`.

#[cfg(feature = "desktop")]
pub mod agent;
#[cfg(all(test, feature = "desktop"))]
mod allocations;
#[cfg(feature = "desktop")]
pub mod call;
#[cfg(feature = "desktop")]
pub mod cli;
#[cfg(feature = "desktop")]
pub mod config;
#[cfg(feature = "desktop")]
pub mod devices;
#[cfg(feature = "desktop")]
pub mod engine;
#[cfg(feature = "desktop")]
pub mod media;
#[cfg(feature = "desktop")]
pub mod peer;
pub mod process;
pub mod protocol;
pub mod signaling;
#[cfg(feature = "desktop")]
pub mod ui;
