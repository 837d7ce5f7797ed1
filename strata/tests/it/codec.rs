//! Codecs: every value comes back, whatever was set when it was written, and no bytes do harm.

#![expect(clippy::option_option, reason = "an Option in an Option is what has to come back")]

#[path = "codec/golden.rs"]
mod golden;
#[path = "codec/hostile.rs"]
mod hostile;
#[path = "codec/limits.rs"]
mod limits;
#[path = "codec/made.rs"]
mod made;
#[path = "codec/round_trip.rs"]
mod round_trip;
#[path = "codec/seal.rs"]
mod seal;
#[path = "codec/secrets.rs"]
mod secrets;
#[path = "codec/squeeze.rs"]
mod squeeze;

use std::time::Duration;

use strata::codec::{CodecError, Step};
use strata::{Header, Life, Tags, Ttl, Wall};

use self::made::{Account, Held, Impostor, Place, Unit, forge, key, ring};

fn header() -> Header {
    let life = Life::new(Wall::from_unix_millis(1_800_000_000_000), Ttl::from_secs(300));
    Header::new(life.with_due_at(0.8).with_stale_for(Duration::from_hours(2)))
        .with_tags(Tags::new(["team:7"]).expect("legal"))
        .with_marks(|_| 0x0123_4567_89AB_CDEF)
}

#[track_caller]
fn step<V: std::fmt::Debug>(outcome: Result<V, CodecError>) -> Step {
    outcome.expect_err("no value may come of this").step()
}
