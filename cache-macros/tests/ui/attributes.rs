//! Attributes that say what cannot be, each for itself.

use strata::cached;

#[cached(tll = "5m")]
fn unknown(id: u64) -> u64 {
    id
}

#[cached(ttl = "5x")]
fn no_duration(id: u64) -> u64 {
    id
}

#[cached(ttl = 300)]
fn no_text(id: u64) -> u64 {
    id
}

#[cached(ttl)]
fn no_value(id: u64) -> u64 {
    id
}

#[cached(ttl = "5m", ttl = "6m")]
fn twice(id: u64) -> u64 {
    id
}

#[cached(skip(trace))]
fn skips_nothing(id: u64) -> u64 {
    id
}

#[cached(skip())]
fn skips_no_name(id: u64) -> u64 {
    id
}

#[cached(cache = cache(), key = id, skip(id))]
fn key_and_skip(id: u64) -> u64 {
    id
}

#[cached(cache = cache(), key = id, name = "ids")]
fn key_and_name(id: u64) -> u64 {
    id
}

#[cached(key = id)]
fn key_without_cache(id: u64) -> u64 {
    id
}

#[cached(cache = cache(), max_entries = 10)]
fn limit_of_another(id: u64) -> u64 {
    id
}

#[cached(max_entries = 0)]
fn no_room(id: u64) -> u64 {
    id
}

#[cached(name = "")]
fn no_name(id: u64) -> u64 {
    id
}

#[cached(tags = ["user:{user}"])]
fn tag_of_nothing(id: u64) -> u64 {
    id
}

#[cached(tags = ["user:{}"])]
fn tag_without_a_name(id: u64) -> u64 {
    id
}

#[cached(tags = "user")]
fn tag_alone(id: u64) -> u64 {
    id
}

#[cached(eager_at = 1.5)]
async fn beyond_its_life(id: u64) -> u64 {
    id
}

#[cached(stale_for = "5m")]
fn sync_refresh(id: u64) -> u64 {
    id
}

#[cached(negative_ttl = "5m")]
fn never_none(id: u64) -> u64 {
    id
}

fn main() {}
