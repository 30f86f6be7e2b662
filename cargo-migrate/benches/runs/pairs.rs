//! Two sides timed by turns. Only what stands in one pair is compared: another program may take the machine meanwhile.

use std::time::{Duration, Instant};

/// The times of two sides, a pair for each round.
pub struct Pairs(Vec<(Duration, Duration)>);

impl Pairs {
    /// Runs both sides once a round, each going first in every other one. A round before the first warms both up.
    pub fn measure(rounds: usize, mut ours: impl FnMut() -> Duration, mut bare: impl FnMut() -> Duration) -> Self {
        let mut pair = |ours_first: bool| {
            if ours_first {
                let ours = ours();
                (ours, bare())
            } else {
                let bare = bare();
                (ours(), bare)
            }
        };
        pair(true);
        Self((0..rounds).map(|round| pair(round % 2 == 0)).collect())
    }

    /// `min`, `median` of the ratios, then the medians of both sides.
    pub fn ratio(&self) -> String {
        let ratios = self.sorted(|(ours, bare)| ours.as_secs_f64() / bare.as_secs_f64());
        format!("ratio min {:.3} median {:.3}   {}", ratios[0], middle(&ratios), self.sides())
    }

    /// `min`, `median` of the differences, then the ratio.
    pub fn difference(&self) -> String {
        let differences = self.sorted(|(ours, bare)| millis(ours) - millis(bare));
        format!("difference min {:.1} ms median {:.1} ms   {}", differences[0], middle(&differences), self.ratio())
    }

    /// The medians of both sides in microseconds.
    pub fn micros(&self) -> String {
        let (ours, bare) = (self.sorted(|(ours, _)| millis(ours) * 1e3), self.sorted(|(_, bare)| millis(bare) * 1e3));
        format!("{:.1} µs beside {:.1} µs, {} rounds", middle(&ours), middle(&bare), self.0.len())
    }

    fn sides(&self) -> String {
        let (ours, bare) = (self.sorted(|(ours, _)| millis(ours)), self.sorted(|(_, bare)| millis(bare)));
        format!("({:.1} ms beside {:.1} ms, {} rounds)", middle(&ours), middle(&bare), self.0.len())
    }

    fn sorted(&self, of: impl Fn((Duration, Duration)) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.0.iter().map(|pair| of(*pair)).collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

fn middle(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How long something takes.
pub fn time<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = act();
    (start.elapsed(), done)
}
