//! The two clocks of the core, read from the machine that the process runs on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agent_sandbox_core::time::{Mono, Now, Wall};

/// Counts monotonic time from the start of the process. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Returns a clock that starts at zero.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Reads the monotonic clock.
    pub fn mono(self) -> Mono {
        Mono::from_micros(micros(self.start.elapsed()))
    }

    /// Reads both clocks.
    pub fn now(self) -> Now {
        Now { mono: self.mono(), wall: wall(SystemTime::now()) }
    }

    /// Returns the moment at which the runtime should wake up for `at`.
    pub fn instant(self, at: Mono) -> tokio::time::Instant {
        // The core says "never" with moments that no clock reaches; a day is far enough to look again.
        const FAR: Duration = Duration::from_secs(86_400);
        let ahead = at.since(self.mono()).min(FAR);
        tokio::time::Instant::now() + ahead
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn wall(time: SystemTime) -> Wall {
    let signed = |duration| i64::try_from(micros(duration)).unwrap_or(i64::MAX);
    Wall::from_micros(match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    })
}
