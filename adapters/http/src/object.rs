//! JSON objects: what has fields is written with their names.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Something that is read from an object only. Serde's own readers of structs also take arrays, with the fields in
/// their order, which nobody has promised.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// A list of objects.
pub(crate) fn all<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Object<T>>::deserialize(deserializer)?.into_iter().map(|Object(read)| read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{BatchOfChanges, Empty, RotateChoice};

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        assert!(serde_json::from_str::<Object<Empty>>("{}").is_ok());
        let read = serde_json::from_str::<Object<RotateChoice>>(r#"{"keep":"1h"}"#).unwrap();
        assert_eq!(read.0.keep.as_deref(), Some("1h"));
        for array in ["[]", r#"["1h"]"#, "null", "1"] {
            assert!(serde_json::from_str::<Object<Empty>>(array).is_err(), "{array}");
            assert!(serde_json::from_str::<Object<RotateChoice>>(array).is_err(), "{array}");
        }
        let changes =
            |change: &str| serde_json::from_str::<Object<BatchOfChanges>>(&format!(r#"{{"changes":[{change}]}}"#));
        assert!(changes(r#"{"name":"a","op":"delete"}"#).is_ok());
        assert!(changes(r#"["a","delete"]"#).is_err());
        let wrong = serde_json::from_str::<Object<RotateChoice>>("{\n  \"kep\": 1}").err().unwrap();
        assert_eq!((wrong.line(), wrong.column()), (2, 7), "{wrong}");
    }
}
