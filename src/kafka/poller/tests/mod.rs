//! The poller over a scripted reader, in virtual time.

mod credentials;
mod double;
mod earlier;
mod groups;
mod limits;
mod looks;
mod pool;
mod rig;
mod topics;
