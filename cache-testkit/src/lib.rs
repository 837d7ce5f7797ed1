//! What Strata is tested and measured with: recorded and generated accesses, the same questions for every backend,
//! and time by hand.
//!
//! ```text
//! trace    accesses that really happened, from a file      what a policy is judged by
//! load     accesses made up from a seed                    what a limit is pushed with
//! share    a part of a whole                               how a capacity is given
//! clock    time by hand                                    what a lifetime is tested with
//! chaos    stores and transports that fail as told         what a layer and a bus are tested with
//! parts    a store whose removals take long                 what may not be begun anew for ever
//! fuse     keys and values that panic                      what the user's code may do
//! race     loads against invalidations                  whether an old value can come back
//! history  what was asked and answered                     whether that can be right
//! suite    one promise of a seam, one function             what every backend must keep
//! redis    real servers and a network that misbehaves      what a backend has to live with
//! tls      certificates for this machine                   what a sealed connection is tested with
//! ```
//!
//! Only tests and the measuring tools depend on this crate; no part of a running cache does.

pub mod chaos;
pub mod clock;
pub mod fuse;
pub mod history;
pub mod hold;
pub mod load;
pub mod parts;
pub mod race;
#[cfg(feature = "redis")]
pub mod redis;
pub mod share;
pub mod suite;
#[cfg(feature = "redis")]
pub mod tls;
pub mod trace;
