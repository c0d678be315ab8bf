//! Writes a recording while the operator works. A failure of the file is logged once and delays
//! nothing.

use std::io;
use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::file::Recording;
use super::recorder::{Entry, Recorder};

/// Decisions that may wait for a slow disk. Further ones are lost.
const WAITING: usize = 64;

/// Writes the entries of a [`Recorder`].
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    recording: Recording,
    entries: mpsc::Receiver<Entry>,
}

/// A recorder of a group, and the keeper that writes its entries to `path`, at most `limit` bytes.
pub fn recorder(namespace: String, name: String, path: PathBuf, limit: u64) -> (Recorder, Keeper) {
    let (sender, entries) = mpsc::channel(WAITING);
    let recorder = Recorder::new(namespace, name, sender);
    let keeper = Keeper {
        recording: Recording::new(path.clone(), limit),
        path,
        entries,
    };
    (recorder, keeper)
}

impl Keeper {
    /// Writes until `stop`, and then the entries that still wait.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            path,
            recording,
            mut entries,
        } = self;
        let path = path.display();
        let mut recording = Some(recording);
        let mut fails = false;
        loop {
            let entry = tokio::select! {
                biased;
                entry = entries.recv() => entry,
                () = stop.cancelled() => None,
            };
            let (Some(entry), Some(mut file)) = (entry, recording.take()) else {
                return;
            };
            let written = spawn_blocking(move || {
                let written = file.write(entry);
                (file, written)
            });
            let written: io::Result<()> = match written.await {
                Ok((file, written)) => {
                    recording = Some(file);
                    written
                }
                Err(_) => return warn!(%path, "recording stopped"),
            };
            match &written {
                Ok(()) if fails => info!(%path, "recording resumed"),
                Err(error) if !fails => warn!(%path, "cannot record: {error}"),
                Ok(()) | Err(_) => {}
            }
            fails = written.is_err();
        }
    }
}
