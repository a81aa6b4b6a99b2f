use std::cell::Cell;
use std::fmt::Display;

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};

/// Writes a value as JSON, and fails where serde_json would turn a number that is not finite into null.
///
/// The error says in which field. What was written before it stays in the text.
pub(super) fn write(text: &mut Vec<u8>, row: &impl Serialize) -> Result<(), String> {
    let trail = Trail::default();
    let mut json = serde_json::Serializer::new(text);
    row.serialize(Finite { inner: &mut json, trail: &trail }).map_err(|error| trail.place(&error))
}

/// Passes everything on to what it wraps: a serializer, one of its compounds, or a value on the way there.
struct Finite<'t, I> {
    inner: I,
    trail: &'t Trail,
}

/// The names passed on the way out of an error, innermost first. Nothing is noted as long as all goes well.
#[derive(Default)]
struct Trail {
    names: Cell<Vec<String>>,
}

impl Trail {
    #[cold]
    #[inline(never)]
    fn note(&self, name: &str) {
        let mut names = self.names.take();
        names.push(name.into());
        self.names.set(names);
    }

    #[cold]
    fn place(&self, error: &impl Display) -> String {
        let names = self.names.take();
        if names.is_empty() {
            return error.to_string();
        }
        let path: Vec<_> = names.iter().rev().map(String::as_str).collect();
        format!("{}: {error}", path.join("."))
    }
}

impl<T: Serialize + ?Sized> Serialize for Finite<'_, &T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(Finite { inner: serializer, trail: self.trail })
    }
}

/// Methods that hand a plain value on.
macro_rules! pass_on {
    ($($method:ident: $type:ty),* $(,)?) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.inner.$method(value)
        }
    )*};
}

/// Methods that hand a number on if it is one.
macro_rules! check {
    ($($method:ident: $type:ty),* $(,)?) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            if !value.is_finite() {
                return Err(not_finite(value));
            }
            self.inner.$method(value)
        }
    )*};
}

/// Methods that begin a compound value.
macro_rules! begin {
    ($($method:ident($($name:ident: $type:ty),*) -> $compound:ident),* $(,)?) => {$(
        #[inline]
        fn $method(self, $($name: $type),*) -> Result<Self::$compound, S::Error> {
            let trail = self.trail;
            Ok(Finite { inner: self.inner.$method($($name),*)?, trail })
        }
    )*};
}

impl<'t, S: Serializer> Serializer for Finite<'t, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Finite<'t, S::SerializeSeq>;
    type SerializeTuple = Finite<'t, S::SerializeTuple>;
    type SerializeTupleStruct = Finite<'t, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Finite<'t, S::SerializeTupleVariant>;
    type SerializeMap = Finite<'t, S::SerializeMap>;
    type SerializeStruct = Finite<'t, S::SerializeStruct>;
    type SerializeStructVariant = Finite<'t, S::SerializeStructVariant>;

    check! { serialize_f32: f32, serialize_f64: f64 }

    pass_on! {
        serialize_bool: bool, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_unit_struct: &'static str,
    }

    begin! {
        serialize_seq(length: Option<usize>) -> SerializeSeq,
        serialize_tuple(length: usize) -> SerializeTuple,
        serialize_tuple_struct(name: &'static str, length: usize) -> SerializeTupleStruct,
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, length: usize)
            -> SerializeTupleVariant,
        serialize_map(length: Option<usize>) -> SerializeMap,
        serialize_struct(name: &'static str, length: usize) -> SerializeStruct,
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, length: usize)
            -> SerializeStructVariant,
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_none()
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    #[inline]
    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Finite { inner: value, trail: self.trail })
    }

    #[inline]
    fn serialize_newtype_struct<T>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error>
    where
        T: Serialize + ?Sized,
    {
        self.inner.serialize_newtype_struct(name, &Finite { inner: value, trail: self.trail })
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = Finite { inner: value, trail: self.trail };
        self.inner.serialize_newtype_variant(name, index, variant, &value).inspect_err(|_| self.trail.note(variant))
    }

    // The default would make a string of it first.
    #[inline]
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Compounds whose elements have no name.
macro_rules! elements {
    ($($compound:ident: $method:ident),* $(,)?) => {$(
        impl<C: $compound> $compound for Finite<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.inner.$method(&Finite { inner: value, trail: self.trail })
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

elements! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

/// Compounds whose fields are named.
macro_rules! fields {
    ($($compound:ident),* $(,)?) => {$(
        impl<C: $compound> $compound for Finite<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn serialize_field<T>(&mut self, key: &'static str, value: &T) -> Result<(), C::Error>
            where
                T: Serialize + ?Sized,
            {
                let trail = self.trail;
                self.inner.serialize_field(key, &Finite { inner: value, trail }).inspect_err(|_| trail.note(key))
            }

            #[inline]
            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.inner.skip_field(key)
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

fields! { SerializeStruct, SerializeStructVariant }

impl<C: SerializeMap> SerializeMap for Finite<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    // Keys need no check: serde_json refuses what is not text and any number that is not finite.
    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.inner.serialize_key(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner.serialize_value(&Finite { inner: value, trail: self.trail })
    }

    #[inline]
    fn serialize_entry<K, V>(&mut self, key: &K, value: &V) -> Result<(), C::Error>
    where
        K: Serialize + ?Sized,
        V: Serialize + ?Sized,
    {
        let trail = self.trail;
        self.inner.serialize_entry(key, &Finite { inner: value, trail }).inspect_err(|_| note_key(trail, key))
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

#[cold]
fn note_key<K: Serialize + ?Sized>(trail: &Trail, key: &K) {
    if let Ok(serde_json::Value::String(name)) = serde_json::to_value(key) {
        trail.note(&name);
    }
}

#[cold]
fn not_finite<E: serde::ser::Error>(value: impl Display) -> E {
    E::custom(format_args!("{value} is not a finite number, and JSON has no others"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;

    fn written(row: &impl Serialize) -> Result<String, String> {
        let mut text = Vec::new();
        write(&mut text, row)?;
        Ok(String::from_utf8(text).unwrap())
    }

    #[derive(Serialize)]
    enum Shape {
        Unit,
        Newtype(f64),
        Tuple(i8, f32),
        Struct { x: f64 },
    }

    #[derive(Serialize)]
    struct Newtype(f64);

    #[derive(Serialize)]
    struct Tuple(i32, f64);

    #[derive(Serialize)]
    struct UnitStruct;

    #[derive(Serialize)]
    #[serde(tag = "KIND")]
    enum Tagged {
        A { price: f64 },
    }

    #[derive(Serialize)]
    struct Outer<T> {
        before: u8,
        #[serde(flatten)]
        rest: T,
    }

    #[test]
    fn every_kind_of_value_is_written_as_serde_json_writes_it() {
        let raw = RawValue::from_string("[1.10, {}]".into()).unwrap();
        let row = (
            (true, 'c', "é\n\"", 1.5f32, -0.0f64, f64::MAX, f32::MIN_POSITIVE),
            (i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN, u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX),
            ((), Some(1.5), None::<f64>, UnitStruct, Newtype(2.5), Tuple(1, 2.5), [1.5; 3], vec![Some(0.5), None]),
            (Shape::Unit, Shape::Newtype(1.5), Shape::Tuple(1, 2.5), Shape::Struct { x: 1.5 }, raw),
            (BTreeMap::from([(1, 1.5)]), json!({"a": [1, 1.5, null], "b": {}}), Tagged::A { price: 1.5 }),
            (Outer { before: 1, rest: Tagged::A { price: 1.5 } }, Outer { before: 1, rest: json!({"a": 0.1}) }),
            std::net::Ipv4Addr::LOCALHOST,
        );
        assert_eq!(written(&row).unwrap(), serde_json::to_string(&row).unwrap());
    }

    #[test]
    fn a_number_that_is_not_finite_is_refused_wherever_it_is() {
        let nan = f64::NAN;
        let found = [
            written(&nan),
            written(&f32::INFINITY),
            written(&Some(nan)),
            written(&[1.0, nan]),
            written(&(1, nan)),
            written(&Newtype(nan)),
            written(&Tuple(1, nan)),
            written(&Shape::Newtype(nan)),
            written(&Shape::Tuple(1, f32::NEG_INFINITY)),
            written(&Shape::Struct { x: nan }),
            written(&Tagged::A { price: nan }),
            written(&Outer { before: 1, rest: Tagged::A { price: nan } }),
            written(&BTreeMap::from([("a", nan)])),
            written(&BTreeMap::from([(f64::NAN.to_bits(), nan)])),
        ];
        for (index, found) in found.iter().enumerate() {
            assert!(found.as_ref().unwrap_err().contains("is not a finite number"), "{index}: {found:?}");
        }
    }

    #[test]
    fn the_error_says_in_which_field_and_which_number() {
        let row = BTreeMap::from([("PRICES", vec![Some(Shape::Struct { x: f64::NEG_INFINITY })])]);
        let expected = "PRICES.x: -inf is not a finite number, and JSON has no others";
        assert_eq!(written(&row).unwrap_err(), expected);
        let row = Outer { before: 1, rest: BTreeMap::from([("LAST", f32::NAN)]) };
        assert_eq!(written(&row).unwrap_err(), "LAST: NaN is not a finite number, and JSON has no others");
        let row = BTreeMap::from([("A", BTreeMap::from([((1, 2), 3)]))]);
        assert_eq!(written(&row).unwrap_err(), "A: key must be a string");
    }
}
