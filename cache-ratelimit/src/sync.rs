//! What the table is made of between threads. A model of the table puts its own in place of these.

pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

pub(crate) use parking_lot::{Mutex, MutexGuard};
