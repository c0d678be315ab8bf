//! The poller with a scripted reader, in virtual time.

mod backlog_age;
mod credentials;
mod double;
mod groups;
mod limits;
mod polls;
mod pool;
mod rig;
mod topics;
