//! The wall clock of a gateway, set on order while it runs (`clock.c`, Linux).

use tempfile::TempDir;

use super::gateway::Plan;
use super::preload;

pub struct WallClock(TempDir);

impl WallClock {
    /// The clock of everything that `plan` starts.
    pub fn of(plan: Plan) -> (Self, Plan) {
        let own = tempfile::Builder::new()
            .prefix("vestibule-clock-")
            .tempdir()
            .expect("folder");
        let library = preload::library("clock", own.path());
        let plan = plan
            .environment("LD_PRELOAD", &library.display().to_string())
            .environment(
                "CLOCK_ORDER",
                &own.path().join("order").display().to_string(),
            );
        (Self(own), plan)
    }

    /// So many seconds before or after the real time.
    pub fn is_off(&self, seconds: i64) {
        preload::order(self.0.path(), &seconds.to_string());
    }
}
