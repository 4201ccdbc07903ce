//! A JSON object whose members keep their order and their exact text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// A JSON object with unparsed members.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawObject<'a>(Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

impl<'a> RawObject<'a> {
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The JSON text of a member. Of several members of this name the last one is used.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let members = self.0.iter().rev();
        members
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.get())
    }

    /// A member, parsed; `None` when it is missing or has another type.
    pub(crate) fn read<T: de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.text(name)?).ok()
    }

    /// Returns true when a member is present and not `null`.
    pub(crate) fn has_value(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text != "null")
    }

    /// Replaces a member at its place, or adds it at the end. Of several members of this name the
    /// last one is replaced.
    pub(crate) fn set(&mut self, name: &'static str, value: Box<RawValue>) {
        let known = self.0.iter().rposition(|(key, _)| key == name);
        match known.and_then(|at| self.0.get_mut(at)) {
            Some((_, known)) => *known = Cow::Owned(value),
            None => self.0.push((Cow::Borrowed(name), Cow::Owned(value))),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }

    /// The object as one JSON value.
    pub(crate) fn into_raw(self) -> Box<RawValue> {
        to_raw(&self)
    }
}

/// A value as JSON text.
#[expect(
    clippy::expect_used,
    reason = "this crate serialises only structs, strings and raw JSON"
)]
pub(crate) fn to_raw(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).expect("structs and strings have a JSON form")
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<'a>(std::marker::PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Members<'a> {
            type Value = RawObject<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    let value: &'de RawValue = map.next_value()?;
                    members.push((Cow::Owned(key), Cow::Borrowed(value)));
                }
                Ok(RawObject(members))
            }
        }

        deserializer.deserialize_map(Members(std::marker::PhantomData))
    }
}

impl Serialize for RawObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value.as_ref())?;
        }
        map.end()
    }
}
