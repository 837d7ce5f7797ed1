//! Everything that is tested through the public interface, in one binary.

#[cfg(test)]
#[path = "it/load.rs"]
mod load;
#[cfg(test)]
#[cfg(feature = "redis")]
#[path = "it/redis.rs"]
mod redis;
#[cfg(test)]
#[path = "it/shipped.rs"]
mod shipped;
#[cfg(test)]
#[path = "it/text.rs"]
mod text;
#[cfg(test)]
#[path = "it/trace.rs"]
mod trace;
