//! A wall clock for a process under test, which can be set while the process runs.

use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use crate::script;

/// The wall clock of the processes that are started with its environment. Their monotonic time
/// stays the machine's.
#[derive(Debug)]
pub struct WallClock {
    library: String,
    file: PathBuf,
    ahead: i64,
}

impl WallClock {
    /// A clock that shows the machine's time; `file` is where its setting is kept.
    pub async fn at(file: &Path) -> Self {
        let library = spawn_blocking(|| script("faketime.sh", &[])).await.unwrap();
        let mut clock = Self {
            library,
            file: file.to_owned(),
            ahead: 0,
        };
        clock.set_ahead(0);
        clock
    }

    /// Sets it to this many seconds after the machine's time.
    pub fn set_ahead(&mut self, seconds: i64) {
        // A rename, because a process may read the file at any moment.
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{seconds:+}")).unwrap();
        std::fs::rename(&next, &self.file).unwrap();
        self.ahead = seconds;
    }

    /// The seconds that it is ahead of the machine's time.
    pub fn ahead(&self) -> i64 {
        self.ahead
    }

    /// The environment of a process that uses it.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.clone()),
            (
                "FAKETIME_TIMESTAMP_FILE",
                self.file.to_str().unwrap().to_owned(),
            ),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}
