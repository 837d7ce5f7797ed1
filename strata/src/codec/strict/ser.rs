//! The writing half: a serializer around another.

use serde::ser::{
    Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};

use super::Place;

pub(super) struct Strict<'c, S> {
    pub(super) inner: S,
    pub(super) place: Place<'c>,
}

/// A value in its place.
struct At<'c, 'v, T: ?Sized> {
    value: &'v T,
    place: Place<'c>,
}

impl<T: Serialize + ?Sized> Serialize for At<'_, '_, T> {
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Strict { inner, place: self.place })
    }
}

impl<S: Serializer> Strict<'_, S> {
    /// Writes what would be nothing in a `Some`.
    fn empty(self) -> Result<S::Ok, S::Error> {
        self.place.doubles.count();
        self.inner.serialize_seq(Some(0))?.end()
    }
}

macro_rules! scalars {
    ($($name:ident($type:ty))*) => {$(
        fn $name(self, value: $type) -> Result<S::Ok, S::Error> {
            self.inner.$name(value)
        }
    )*};
}

macro_rules! compounds {
    ($($name:ident($($argument:ident: $type:ty),*) -> $compound:ident, $levels:literal)*) => {$(
        fn $name(self, $($argument: $type),*) -> Result<Self::$compound, S::Error> {
            let mut place = self.place;
            for _ in 0..$levels {
                place = place.inside(S::Error::custom)?;
            }
            Ok(Strict { inner: self.inner.$name($($argument),*)?, place })
        }
    )*};
}

impl<'c, S: Serializer> Serializer for Strict<'c, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Strict<'c, S::SerializeSeq>;
    type SerializeTuple = Strict<'c, S::SerializeTuple>;
    type SerializeTupleStruct = Strict<'c, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Strict<'c, S::SerializeTupleVariant>;
    type SerializeMap = Strict<'c, S::SerializeMap>;
    type SerializeStruct = Strict<'c, S::SerializeStruct>;
    type SerializeStructVariant = Strict<'c, S::SerializeStructVariant>;

    scalars! {
        serialize_bool(bool)
        serialize_i8(i8)
        serialize_i16(i16)
        serialize_i32(i32)
        serialize_i64(i64)
        serialize_i128(i128)
        serialize_u8(u8)
        serialize_u16(u16)
        serialize_u32(u32)
        serialize_u64(u64)
        serialize_u128(u128)
        serialize_char(char)
        serialize_str(&str)
        serialize_bytes(&[u8])
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        check_finite::<S>(&self.inner, value.is_finite())?;
        self.inner.serialize_f32(value)
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        check_finite::<S>(&self.inner, value.is_finite())?;
        self.inner.serialize_f64(value)
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        if self.place.in_some { self.empty() } else { self.inner.serialize_none() }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let value = At { value, place: self.place.in_some(S::Error::custom)? };
        if !self.place.in_some {
            return self.inner.serialize_some(&value);
        }
        self.place.doubles.count();
        let mut list = self.inner.serialize_seq(Some(1))?;
        list.serialize_element(&value)?;
        list.end()
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        if self.place.in_some { self.empty() } else { self.inner.serialize_unit() }
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        if self.place.in_some { self.empty() } else { self.inner.serialize_unit_struct(name) }
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.place.inside(S::Error::custom)?;
        self.inner.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let place = self.place.through(S::Error::custom)?;
        self.inner.serialize_newtype_struct(name, &At { value, place })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let place = self.place.inside(S::Error::custom)?;
        self.inner.serialize_newtype_variant(name, index, variant, &At { value, place })
    }

    // A variant that holds several is a level, and what it holds another, as formats read them.
    compounds! {
        serialize_seq(len: Option<usize>) -> SerializeSeq, 1
        serialize_tuple(len: usize) -> SerializeTuple, 1
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct, 1
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> SerializeTupleVariant, 2
        serialize_map(len: Option<usize>) -> SerializeMap, 1
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct, 1
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> SerializeStructVariant, 2
    }

    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Formats for people have no infinities and no NaN, and would write them as nothing.
fn check_finite<S: Serializer>(inner: &S, finite: bool) -> Result<(), S::Error> {
    let fits = finite || !inner.is_human_readable();
    if fits { Ok(()) } else { Err(S::Error::custom("this format has no infinities and no NaN")) }
}

macro_rules! lists {
    ($($trait:ident $method:ident)*) => {$(
        impl<S: $trait> $trait for Strict<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.inner.$method(&At { value, place: self.place })
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        }
    )*};
}

lists! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

macro_rules! structs {
    ($($trait:ident)*) => {$(
        impl<S: $trait> $trait for Strict<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), S::Error> {
                self.inner.serialize_field(name, &At { value, place: self.place })
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), S::Error> {
                self.inner.skip_field(name)
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        }
    )*};
}

structs!(SerializeStruct SerializeStructVariant);

impl<S: SerializeMap> SerializeMap for Strict<'_, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.inner.serialize_key(&At { value, place: self.place })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.inner.serialize_value(&At { value, place: self.place })
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}
