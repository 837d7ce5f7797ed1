//! Which types are known to be plain bits.

use std::any::TypeId;
use std::num::{NonZeroI32, NonZeroI64, NonZeroU32, NonZeroU64, NonZeroU128, NonZeroUsize};
use std::time::{Duration, Instant, SystemTime};

/// Tells whether these are certainly `Copy`: numbers and the like.
///
/// The language has no way to ask that of any type; of others their user [says](crate::Memory::with_lock_free_reads) it.
pub(crate) fn are_plain<K: 'static, V: 'static>() -> bool {
    is_plain::<K>() && is_plain::<V>()
}

fn is_plain<T: 'static>() -> bool {
    let asked = TypeId::of::<T>();
    let mut known = COPY.iter().map(|type_id| type_id());
    known.any(|known| known == asked)
}

/// What is named here is `Copy`, or does not compile.
const COPY: &[fn() -> TypeId] = &[
    of::<u8>,
    of::<u16>,
    of::<u32>,
    of::<u64>,
    of::<u128>,
    of::<usize>,
    of::<i8>,
    of::<i16>,
    of::<i32>,
    of::<i64>,
    of::<i128>,
    of::<isize>,
    of::<f32>,
    of::<f64>,
    of::<bool>,
    of::<char>,
    of::<()>,
    of::<NonZeroU32>,
    of::<NonZeroU64>,
    of::<NonZeroU128>,
    of::<NonZeroUsize>,
    of::<NonZeroI32>,
    of::<NonZeroI64>,
    of::<Duration>,
    of::<Instant>,
    of::<SystemTime>,
    of::<&'static str>,
    of::<[u8; 4]>,
    of::<[u8; 8]>,
    of::<[u8; 16]>,
    of::<[u8; 32]>,
    of::<(u32, u32)>,
    of::<(u64, u64)>,
    of::<(f64, f64)>,
];

fn of<T: Copy + 'static>() -> TypeId {
    TypeId::of::<T>()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn numbers_are_plain_and_what_owns_or_changes_is_not() {
        assert!(are_plain::<u64, f64>() && are_plain::<&'static str, ()>());
        assert!(
            !are_plain::<u64, String>() && !are_plain::<Arc<str>, u64>() && !are_plain::<u64, Mutex<u64>>()
        );
    }
}
