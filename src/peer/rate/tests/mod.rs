//! The estimator against simulated paths, in virtual time. Every run is the same: the seeds are in the tests.

mod basics;
mod behaviour;
mod camera;
mod fitting;
mod measures;
mod network;
mod path;
mod seen;
mod viewer;
