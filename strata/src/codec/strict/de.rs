//! The reading half: a deserializer around another, a visitor around what it visits, and so on down.

use std::fmt;

use serde::de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Place;

/// Anything of a format, or of a reader, in its place in the value.
pub(super) struct Strict<'c, T> {
    pub(super) inner: T,
    pub(super) place: Place<'c>,
}

impl<'c, T> Strict<'c, T> {
    fn at(inner: T, place: Place<'c>) -> Self {
        Self { inner, place }
    }
}

macro_rules! forwarded {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$name(Strict::at(visitor, self.place))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<'_, D> {
    type Error = D::Error;

    forwarded! {
        deserialize_any deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_seq deserialize_map
        deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        if self.place.in_some {
            return self.inner.deserialize_seq(Double { visitor, place: self.place });
        }
        self.inner.deserialize_option(Strict::at(visitor, self.place))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        if self.place.in_some {
            return self.inner.deserialize_seq(Nothing { visitor, place: self.place });
        }
        self.inner.deserialize_unit(Strict::at(visitor, self.place))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        if self.place.in_some {
            return self.inner.deserialize_seq(Nothing { visitor, place: self.place });
        }
        self.inner.deserialize_unit_struct(name, Strict::at(visitor, self.place))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_newtype_struct(name, Strict::at(visitor, self.place))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_tuple(len, Strict::at(visitor, self.place))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_tuple_struct(name, len, Strict::at(visitor, self.place))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_struct(name, fields, Strict::at(visitor, self.place))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_enum(name, variants, Strict::at(visitor, self.place))
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visited {
    ($($name:ident($type:ty))*) => {$(
        fn $name<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$name(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visited! {
        visit_bool(bool)
        visit_i8(i8)
        visit_i16(i16)
        visit_i32(i32)
        visit_i64(i64)
        visit_i128(i128)
        visit_u8(u8)
        visit_u16(u16)
        visit_u32(u32)
        visit_u64(u64)
        visit_u128(u128)
        visit_f32(f32)
        visit_f64(f64)
        visit_char(char)
        visit_str(&str)
        visit_borrowed_str(&'de str)
        visit_string(String)
        visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8])
        visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let place = self.place.in_some(D::Error::custom)?;
        self.inner.visit_some(Strict { inner, place })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let place = self.place.through(D::Error::custom)?;
        self.inner.visit_newtype_struct(Strict { inner, place })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let place = self.place.inside(A::Error::custom)?;
        self.inner.visit_seq(Strict { inner, place })
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let place = self.place.inside(A::Error::custom)?;
        self.inner.visit_map(Strict { inner, place })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let place = self.place.inside(A::Error::custom)?;
        self.inner.visit_enum(Strict { inner, place })
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Strict { inner, place: self.place })
    }
}

/// A length is a claim until its elements are read; collections double from here on by themselves.
const MAX_HINT: usize = 16;

fn hint(claimed: Option<usize>) -> Option<usize> {
    claimed.map(|length| length.min(MAX_HINT))
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_element_seed(Strict::at(seed, self.place))
    }

    fn size_hint(&self) -> Option<usize> {
        hint(self.inner.size_hint())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_key_seed(Strict::at(seed, self.place))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(Strict::at(seed, self.place))
    }

    fn size_hint(&self) -> Option<usize> {
        hint(self.inner.size_hint())
    }
}

impl<'de, 'c, A: EnumAccess<'de>> EnumAccess<'de> for Strict<'c, A> {
    type Error = A::Error;
    type Variant = Strict<'c, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, inner) = self.inner.variant_seed(Strict::at(seed, self.place))?;
        Ok((value, Strict { inner, place: self.place }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Strict<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(Strict::at(seed, self.place))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, Strict::at(visitor, self.place))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, Strict::at(visitor, self.place))
    }
}

/// Reads a list of none or one for an `Option` in a `Some`.
struct Double<'c, V> {
    visitor: V,
    place: Place<'c>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Double<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of at most one element, for an Option in an Option")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<V::Value, A::Error> {
        self.place.doubles.count();
        // The list takes the visitor only if there is an element for it.
        let mut visitor = Some(self.visitor);
        let held = list.next_element_seed(Held { visitor: &mut visitor, place: self.place })?;
        let value = match (held, visitor) {
            (None, Some(visitor)) => visitor.visit_none()?,
            (Some(value), _) => value,
            (None, None) => return Err(A::Error::custom("the list lost its element")),
        };
        end(list)?;
        Ok(value)
    }
}

struct Held<'c, 'v, V> {
    visitor: &'v mut Option<V>,
    place: Place<'c>,
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Held<'_, '_, V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let place = self.place.in_some(D::Error::custom)?;
        let visitor =
            self.visitor.take().ok_or_else(|| D::Error::custom("the list has two first elements"))?;
        visitor.visit_some(Strict { inner, place })
    }
}

/// Reads an empty list for a `()` in a `Some`.
struct Nothing<'c, V> {
    visitor: V,
    place: Place<'c>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Nothing<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an empty list, for a () in an Option")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.place.doubles.count();
        end(list)?;
        self.visitor.visit_unit()
    }
}

/// Refuses a list that goes on. Whatever follows is not looked at, so it cannot nest.
fn end<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    struct Refuse;

    impl<'de> Deserialize<'de> for Refuse {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Err(D::Error::custom("the list goes on where an Option in an Option ends"))
        }
    }

    list.next_element::<Refuse>().map(drop)
}
