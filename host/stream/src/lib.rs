//! Kafka: from the records of a topic to decoded slices, in order, each exactly where the ledger wants it.
//!
//! A [`Lanes`] is a few threads ("lanes") of one consumer group. Where a partition starts is not Kafka's to say:
//! a lane asks [`Positions`], which the ledger implements, and reads from there. A partition whose wanted offset
//! is gone, or whose topic was re-created, halts with a reason and a way to go on; nothing is ever skipped
//! silently. Offsets that are committed to Kafka are hints for lag tools and never read back.
//!
//! This crate knows Kafka and the words of the domain, and no database, no rule and no async runtime.

pub mod admin;
mod assignment;
mod close;
mod config;
mod context;
mod error;
mod halt;
mod headers;
mod lane;
mod lanes;
mod log;
mod positions;
mod properties;
mod publisher;
mod range;
mod reading;
mod shared;
mod status;
mod ticket;
mod topic_id;
pub mod topics;
mod unwound;
mod watch;

pub use config::{FirstSight, StreamConfig};
pub use error::StreamError;
pub use halt::Halt;
pub use lanes::{Lanes, StopReport};
pub use positions::{Acquired, Acquisition, Positions, PositionsError};
pub use properties::{PropertyError, check_properties};
pub use publisher::{PublishError, Publisher};
pub use range::{Bound, Range, RangeReader, RangeRecord};
pub use status::{LaneState, LaneStatus, PartitionStatus, Status, TopicState};
pub use ticket::{Delivery, Ticket};
