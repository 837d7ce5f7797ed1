//! What the formats of serde leave out: a bound on all that nests, and an `Option` in an `Option` that comes back.
//!
//! ```text
//! codec ─► strict ─► format       writing: serializers are wrapped
//! codec ◄─ strict ◄─ format       reading: deserializers, and what they visit
//! ```
//!
//! *Depth.* Formats count lists and maps. They do not count an `Option` or a newtype, which take no bytes: a newtype
//! around an `Option` of itself recurses for ever on one byte, and the process is gone. Here everything counts.
//!
//! *Doubles.* In both formats `None`, `Some(None)` and `Some(())` are the same nothing. So whatever is `None` or `()`
//! directly in a `Some` is written as an empty list, and a `Some` directly in a `Some` as a list of one. A reader that
//! knows the type undoes that. A type that is read without being known (an untagged or flattened one, or a
//! `serde_json::Value` of null in a `Some`) could take the list for what it is. Such values are rare, so each is read
//! once as it is written: if not all doubles were understood, it is refused, rather than to come back as another.

mod de;
mod ser;

use std::cell::Cell;

use serde::de::DeserializeOwned;
use serde::{Deserializer, Serialize, Serializer};

use super::{CodecFailure, MAX_DEPTH};

/// Serializes within the bounds.
pub(super) fn write<V, S>(value: &V, format: S, doubles: &Doubles) -> Result<S::Ok, CodecFailure>
where
    V: Serialize,
    S: Serializer<Error: Send + Sync + 'static>,
{
    Ok(value.serialize(ser::Strict { inner: format, place: Place::root(doubles) })?)
}

/// Deserializes within the bounds. serde tells what it has found in place of what it expected, and so a part of a value that
/// nobody may see; `say` tells what of it may be said.
pub(super) fn read<'de, V, D>(
    format: D,
    doubles: &Doubles,
    say: impl FnOnce(&D::Error) -> String,
) -> Result<V, CodecFailure>
where
    V: DeserializeOwned,
    D: Deserializer<'de>,
{
    let read = V::deserialize(de::Strict { inner: format, place: Place::root(doubles) });
    read.map_err(|error| say(&error).into())
}

/// How many doubles were written or understood.
#[derive(Debug, Default)]
pub(super) struct Doubles(Cell<u32>);

impl Doubles {
    pub(super) fn any(&self) -> bool {
        self.0.get() > 0
    }

    /// Reads again what was written, and refuses it unless all doubles were understood.
    pub(super) fn compare(
        &self,
        read: impl FnOnce(&Self) -> Result<(), CodecFailure>,
    ) -> Result<(), CodecFailure> {
        let again = Self::default();
        read(&again)?;
        let reason =
            "an Option or () in an Option would not come back as it is: its type is read without being known";
        if again.0 == self.0 { Ok(()) } else { Err(reason.into()) }
    }

    fn count(&self) {
        self.0.set(self.0.get().saturating_add(1));
    }
}

/// Where in a value something stands.
#[derive(Clone, Copy)]
struct Place<'c> {
    /// How many more levels there may be.
    left: u8,
    /// Whether it is what an `Option` holds, with nothing but newtypes between.
    in_some: bool,
    doubles: &'c Doubles,
}

impl<'c> Place<'c> {
    fn root(doubles: &'c Doubles) -> Self {
        Self { left: MAX_DEPTH, in_some: false, doubles }
    }

    /// A level deeper, in a list, a map or a variant.
    fn inside<E>(self, error: impl FnOnce(String) -> E) -> Result<Self, E> {
        Ok(Self { in_some: false, ..self.through(error)? })
    }

    /// A level deeper, in a `Some`.
    fn in_some<E>(self, error: impl FnOnce(String) -> E) -> Result<Self, E> {
        Ok(Self { in_some: true, ..self.through(error)? })
    }

    /// A level deeper, in a newtype, which leaves no trace.
    fn through<E>(self, error: impl FnOnce(String) -> E) -> Result<Self, E> {
        let left = self.left.checked_sub(1);
        let left = left.ok_or_else(|| error(format!("nested deeper than {MAX_DEPTH} levels")))?;
        Ok(Self { left, ..self })
    }
}
