//! The load: what the producer says about itself, one JSON object a line, in a file that grows.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use serde::Deserialize;

/// One line of `workload produce --output json`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Reading {
    /// Wanted records per second; the summary has none.
    #[serde(default)]
    pub(crate) rate: f64,
    pub(crate) acked_total: u64,
}

/// What is known of the load.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Records per second, whenever the lags were read, oldest first: all curves have one axis.
    pub(crate) rates: Vec<u64>,
    /// Records per second now.
    pub(crate) rate: u64,
    /// The highest rate so far.
    pub(crate) highest: u64,
    pub(crate) records: u64,
}

impl Load {
    /// Takes in one reading.
    pub(crate) fn take(&mut self, reading: Reading) {
        self.rate = rounded(reading.rate);
        self.highest = self.highest.max(self.rate);
        self.records = reading.acked_total;
    }

    /// Notes the present rate for the curve.
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
    /// A line whose end has not been written yet.
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

    /// What was added since the last call. A file that is not there yet has nothing to say.
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
