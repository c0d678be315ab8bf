//! The load: reports of the producer, one JSON object per line, in a growing file.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use serde::Deserialize;

/// One line of `workload produce --output json`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Reading {
    /// Intended records per second; the summary has none.
    #[serde(default)]
    pub(crate) rate: f64,
    pub(crate) acked_total: u64,
}

/// The load so far.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Records per second at each reading of the lags, oldest first, so that all curves have the
    /// same time axis.
    pub(crate) rates: Vec<u64>,
    /// Records per second now.
    pub(crate) rate: u64,
    /// The highest rate so far.
    pub(crate) highest: u64,
    pub(crate) records: u64,
}

impl Load {
    /// Adds a reading.
    pub(crate) fn take(&mut self, reading: Reading) {
        self.rate = rounded(reading.rate);
        self.highest = self.highest.max(self.rate);
        self.records = reading.acked_total;
    }

    /// Adds the current rate to the curve.
    pub(crate) fn mark(&mut self) {
        self.rates.push(self.rate);
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and rates are not below 0"
)]
fn rounded(rate: f64) -> u64 {
    rate.round() as u64
}

/// The file, and how far it has been read.
#[derive(Debug)]
pub(crate) struct LoadFile {
    path: PathBuf,
    position: u64,
    /// A line that is not complete yet.
    begun: String,
}

impl LoadFile {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self {
            path,
            position: 0,
            begun: String::new(),
        }
    }

    /// The readings since the last call; none if the file does not exist yet.
    pub(crate) fn read(&mut self) -> Vec<Reading> {
        let mut added = String::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.position))?;
            file.read_to_string(&mut added)
        });
        let Ok(count) = read else {
            return Vec::new();
        };
        self.position += count as u64;
        self.begun.push_str(&added);
        let Some(end) = self.begun.rfind('\n') else {
            return Vec::new();
        };
        let rest = self.begun.split_off(end + 1);
        let whole = std::mem::replace(&mut self.begun, rest);
        whole
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}
