//! Options of a baseline, as written on the command line.

use std::cell::RefCell;
use std::collections::BTreeSet;

/// `key:value` pairs; a value without a key is the main one of the baseline.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Options(Vec<(String, String)>);

/// Options while they are read; an option that is never read is a mistake.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    options: &'a Options,
    known: RefCell<BTreeSet<&'static str>>,
}

impl Options {
    pub(super) fn add(&mut self, word: &str) {
        let (key, value) = word.split_once(':').unwrap_or(("", word));
        self.0
            .push((key.trim().to_owned(), value.trim().to_owned()));
    }

    pub(super) fn read(&self) -> Reading<'_> {
        Reading {
            options: self,
            known: RefCell::default(),
        }
    }
}

impl Reading<'_> {
    fn text(&self, key: &'static str) -> Option<&str> {
        self.known.borrow_mut().insert(key);
        let mut pairs = self.options.0.iter();
        pairs
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    /// A number from `least` to `most`.
    pub(super) fn number(
        &self,
        key: &'static str,
        least: f64,
        most: f64,
    ) -> Result<Option<f64>, String> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        let number = text.trim_end_matches('%').parse();
        match number.ok().filter(|n| (least..=most).contains(n)) {
            Some(number) => Ok(Some(number)),
            None => Err(format!(
                "{}{text} is not possible; write {least} to {most}",
                colon(key)
            )),
        }
    }

    /// The same, as seconds.
    pub(super) fn seconds(&self, key: &'static str, default: i64) -> Result<i64, String> {
        let seconds = self.number(key, 0.0, 86_400.0)?;
        Ok(seconds.map_or(default, crate::simulate::number::nearest))
    }

    /// A switch: true or false.
    pub(super) fn switch(&self, key: &'static str, default: bool) -> Result<bool, String> {
        match self.text(key) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(text) => Err(format!(
                "{}{text} is not possible; write true or false",
                colon(key)
            )),
        }
    }

    /// Whether the main value is this word.
    pub(super) fn is(&self, word: &str) -> bool {
        self.text("") == Some(word)
    }

    /// Returns an error for an option that was never read.
    pub(super) fn done(&self) -> Result<(), String> {
        let known = self.known.borrow();
        let mut keys = self.options.0.iter().map(|(key, _)| key.as_str());
        match keys.find(|key| !known.contains(key)) {
            None => Ok(()),
            Some("") => {
                Err("it has no value of its own; leave = out, or write key:value".to_owned())
            }
            Some(key) => {
                let known: Vec<&str> = known.iter().copied().filter(|k| !k.is_empty()).collect();
                let known = known.join(", ");
                Err(format!("no option {key}; there are {known}"))
            }
        }
    }
}

fn colon(key: &str) -> String {
    if key.is_empty() {
        String::new()
    } else {
        format!("{key}:")
    }
}
