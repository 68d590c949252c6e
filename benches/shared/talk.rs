//! Two who speak in turns, for ever: while one does, the other is silent, as people mostly are.

use crate::common::process::Guarded;
use crate::common::pulse::RATE;
use crate::common::studio::{NAMES, Studio};
use std::io::Write;
use std::process::ChildStdin;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Both voices, until dropped.
pub(crate) struct Talk {
    players: Vec<Guarded>,
    writers: Vec<JoinHandle<()>>,
    turn: Duration,
}

impl Talk {
    pub(crate) fn start(studio: &Studio) -> Self {
        let speeches: Vec<Vec<u8>> = (0..NAMES.len())
            .map(|index| {
                let mut reader = hound::WavReader::open(studio.speech(index)).unwrap();
                reader.samples::<i16>().flat_map(|sample| sample.unwrap().to_le_bytes()).collect()
            })
            .collect();
        let turn = Duration::from_secs_f64(speeches.concat().len() as f64 / 2.0 / f64::from(RATE));
        let (mut players, mut writers) = (Vec::new(), Vec::new());
        for index in 0..NAMES.len() {
            // The other's part is silence in this one.
            let part = |of: usize| {
                if of == index { speeches[of].clone() } else { vec![0; speeches[of].len()] }
            };
            let round: Arc<[u8]> = (0..NAMES.len()).flat_map(part).collect();
            let mut player = studio.mouth(index);
            let mouth = player.stdin.take().unwrap();
            let writer = Builder::new().name(format!("voice-{index}")).spawn(move || speak(mouth, &round));
            players.push(player);
            writers.push(writer.unwrap());
        }
        Self { players, writers, turn }
    }

    /// How long it takes until both have said all they have to say.
    pub(crate) fn turn(&self) -> Duration {
        self.turn
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // The end of the players ends those who write to them.
        self.players.clear();
        for writer in self.writers.drain(..) {
            writer.join().ok();
        }
    }
}

/// Until nobody takes it any more; the player takes no more than it plays.
fn speak(mut mouth: ChildStdin, round: &[u8]) {
    while mouth.write_all(round).is_ok() {}
}
