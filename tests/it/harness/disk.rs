//! A disk that is full or broken on order, without a disk of its own: a small
//! library stands between the gateway and its system (`disk.c`, Linux).

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::gateway::Plan;
use super::preload;

pub struct Disk {
    /// Holds the library and the order, outside the folder that they rule.
    own: TempDir,
    folder: PathBuf,
}

impl Disk {
    /// The disk under the folder of `plan`, and the plan that meets it.
    pub fn under(plan: Plan) -> (Self, Plan) {
        let own = tempfile::Builder::new()
            .prefix("vestibule-disk-")
            .tempdir()
            .expect("folder");
        let library = preload::library("disk", own.path());
        let folder = plan.folder().canonicalize().expect("folder");
        let text = |path: &Path| path.display().to_string();
        let plan = plan
            .environment("LD_PRELOAD", &text(&library))
            .environment("DISK_FOLDER", &text(&folder))
            .environment("DISK_ORDER", &text(&own.path().join("order")));
        (Self { own, folder }, plan)
    }

    /// Not a byte more than there is now.
    pub fn is_full(&self) {
        let used: u64 = std::fs::read_dir(&self.folder)
            .expect("folder")
            .filter_map(|entry| entry.ok()?.metadata().ok())
            .filter(std::fs::Metadata::is_file)
            .map(|file| file.len())
            .sum();
        self.order(&format!("room {used}"));
    }

    /// Neither writes nor syncs.
    pub fn is_broken(&self) {
        self.order("broken");
    }

    pub fn is_well(&self) {
        self.order("well");
    }

    fn order(&self, text: &str) {
        preload::order(self.own.path(), text);
    }
}
