//! Leader election: of all processes of one installation, one reads Kafka and writes to Kubernetes.
//! It holds a Lease of `coordination.k8s.io`, in the way of client-go:
//!
//! * A candidate measures by its own monotonic time how long ago it saw the Lease change. It never
//!   compares clocks, so wall clocks may differ and may be set.
//! * Every write carries the resourceVersion, so of two candidates one is refused.
//! * The leader gives up earlier ([`Timing::renew_deadline`]) than others may take the Lease
//!   ([`Timing::lease_duration`]), counted from before it sent its last renewal.
//! * A process that loses the Lease writes nothing more, and ends.
//!
//! Each write checks the time just before it is sent ([`Leadership::holds`]), so that a process
//! that was suspended writes nothing when it continues. docs/decisions/0021 says where else this
//! differs from client-go, and why.

mod candidate;
mod leadership;
mod lease;

pub use candidate::{Candidate, Election, Lost};
pub use leadership::Leadership;
pub use lease::Timing;
