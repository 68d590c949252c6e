//! The links over which calls are measured: the rows of the table.

use crate::link::loss::{Bursts, Loss};
use crate::link::schedule::{Rate, Schedule, Shape};
use std::time::Duration;

/// A row: a link and how many calls share it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// For the command line.
    pub(crate) name: &'static str,
    /// For the table.
    pub(crate) title: &'static str,
    pub(crate) schedule: Schedule,
    /// From the click to the end.
    pub(crate) length: Duration,
    /// Calls on the link at once.
    pub(crate) calls: usize,
    /// When the link changes and changes back.
    pub(crate) change: Option<Change>,
}

/// A spell during which the link is worse. Times count from the click.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    /// Whether nothing passes, signaling included.
    pub(crate) blackout: bool,
}

/// All rows, each steady link `span` long, the changing ones half of it before and half of it after their change.
/// `delay` (one way) comes on top of each.
pub(crate) fn all(span: Duration, delay: Duration) -> Vec<Row> {
    let shape = |shape: Shape| Shape { delay: shape.delay + delay, ..shape };
    let clean = shape(Shape::CLEAN);
    let steady = |name, title, worse| Row {
        name,
        title,
        schedule: Schedule::steady(shape(worse)),
        length: span,
        calls: 1,
        change: None,
    };
    let changing = |name, title, worse: Shape, seconds| {
        let from = span / 2;
        let until = from + Duration::from_secs(seconds);
        Row {
            name,
            title,
            schedule: Schedule::steady(clean).then(from, shape(worse)).then(until, clean),
            length: until + span / 2,
            calls: 1,
            change: Some(Change { from, until, blackout: !worse.up }),
        }
    };
    let lossy = |loss| Shape { loss, ..Shape::CLEAN };
    let narrow = |bits_per_second| Shape { rate: Some(Rate::of(bits_per_second)), ..Shape::CLEAN };
    let far = |delay, jitter, reorders| Shape {
        delay: Duration::from_millis(delay),
        jitter: Duration::from_millis(jitter),
        reorders,
        ..Shape::CLEAN
    };
    vec![
        steady("clean", "clean", Shape::CLEAN),
        steady("loss2", "2 % loss", lossy(Loss::Random(0.02))),
        steady("loss10", "10 % loss", lossy(Loss::Random(0.1))),
        steady("loss20", "20 % loss", lossy(Loss::Random(0.2))),
        steady("bursts", "5 % loss in bursts of 5", lossy(Loss::Bursts(Bursts::of(0.05, 5.0)))),
        steady("1mbit", "1 Mbit/s", narrow(1_000_000)),
        steady("300k", "300 kbit/s", narrow(300_000)),
        steady("100k", "100 kbit/s", narrow(100_000)),
        steady("far", "100 ms RTT, 20 ms jitter", far(50, 20, false)),
        steady("far_loss", "100 ms RTT, 5 % loss", Shape { loss: Loss::Random(0.05), ..far(50, 0, false) }),
        steady(
            "remote_loss",
            "200 ms RTT, 5 % loss",
            Shape { loss: Loss::Random(0.05), ..far(100, 0, false) },
        ),
        steady("reorder", "40 ms RTT, 3 ms jitter, reordering", far(20, 3, true)),
        changing("blackout5", "5 s blackout", Shape::DOWN, 5),
        changing("blackout12", "12 s blackout", Shape::DOWN, 12),
        changing("step", "400 kbit/s for 15 s", narrow(400_000), 15),
        Row { calls: 2, ..steady("shared", "2 calls on 2 Mbit/s", narrow(2_000_000)) },
    ]
}
