//! Units of the parameters, and how a value is read and printed.

use std::ops::Mul;

use jiff::SignedDuration;

/// A share of something, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(in crate::scaling) struct Share(pub(in crate::scaling) f64);

/// A multiple of something.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(in crate::scaling) struct Factor(pub(in crate::scaling) f64);

/// Replicas times seconds: the unit of J.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(in crate::scaling) struct ReplicaSeconds(pub(in crate::scaling) f64);

impl Mul<f64> for Share {
    type Output = f64;

    fn mul(self, of: f64) -> f64 {
        self.0 * of
    }
}

impl Mul<f64> for Factor {
    type Output = f64;

    fn mul(self, of: f64) -> f64 {
        self.0 * of
    }
}

/// A value that can be overridden by name.
pub(in crate::scaling) trait Parameter {
    /// Sets the value from a text. The error names what to write.
    fn read(&mut self, text: &str) -> Result<(), &'static str>;
    /// The value as it is written.
    fn show(&self) -> String;
}

impl Parameter for bool {
    fn read(&mut self, text: &str) -> Result<(), &'static str> {
        *self = text.parse().map_err(|_| "write true or false")?;
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Parameter for SignedDuration {
    fn read(&mut self, text: &str) -> Result<(), &'static str> {
        let read = text.parse().ok();
        let read = read.filter(|d: &Self| !d.is_negative() && d.as_secs() <= 31_536_000);
        *self = read.ok_or("write a duration such as 90s or 1h")?;
        Ok(())
    }

    fn show(&self) -> String {
        let seconds = self.as_secs();
        match (seconds % 3600, seconds % 60) {
            (0, _) if seconds > 0 => format!("{} h", seconds / 3600),
            (_, 0) if seconds > 60 => format!("{} min", seconds / 60),
            _ => format!("{seconds} s"),
        }
    }
}

impl Parameter for Share {
    fn read(&mut self, text: &str) -> Result<(), &'static str> {
        let read = text.parse().ok().filter(|n| (0.0..=1.0).contains(n));
        self.0 = read.ok_or("write a share from 0 to 1, such as 0.85")?;
        Ok(())
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Parameter for Factor {
    fn read(&mut self, text: &str) -> Result<(), &'static str> {
        let read = text.parse().ok().filter(|n| (0.0..=1e6).contains(n));
        self.0 = read.ok_or("write a factor, 0 or more, such as 1.5")?;
        Ok(())
    }

    fn show(&self) -> String {
        format!("× {}", self.0)
    }
}

impl Parameter for ReplicaSeconds {
    fn read(&mut self, text: &str) -> Result<(), &'static str> {
        let read = text.parse().ok().filter(|n| (0.0..=1e9).contains(n));
        self.0 = read.ok_or("write replica-seconds, 0 or more, such as 300")?;
        Ok(())
    }

    fn show(&self) -> String {
        format!("{} replica-s", self.0)
    }
}

/// The largest value of a count: it bounds the memory.
const MOST: usize = 100_000;

impl Parameter for usize {
    fn read(&mut self, text: &str) -> Result<(), &'static str> {
        let read = text.parse().ok().filter(|n| (1..=MOST).contains(n));
        *self = read.ok_or("write a whole number from 1 to 100000")?;
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Declares the parameters of one mechanism: `name: type = default;`, each with the reason for its
/// value. The reasons are the documentation of the fields and the rows of
/// `docs/reference/tuning.md`.
macro_rules! parameters {
    (
        $(#[doc = $about:literal])+
        $group:ident {
            $($(#[doc = $why:literal])+ $field:ident: $unit:ty = $default:expr;)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub(in crate::scaling) struct $group {
            $($(#[doc = $why])+ pub(in crate::scaling) $field: $unit,)+
        }

        impl $group {
            pub(in crate::scaling) const DEFAULT: Self = Self { $($field: $default,)+ };

            /// Visits each parameter with its name and the reason for its value.
            pub(in crate::scaling) fn visit(
                &mut self,
                visit: &mut dyn FnMut(&'static str, &'static str, &mut dyn Parameter),
            ) {
                $(visit(stringify!($field), concat!($($why),+), &mut self.$field);)+
            }
        }
    };
}

pub(in crate::scaling) use parameters;
