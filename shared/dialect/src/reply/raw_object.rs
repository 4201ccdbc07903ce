//! A JSON object whose members keep their order and their exact text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Members by name, values unread.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawObject<'a>(Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

impl<'a> RawObject<'a> {
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The text of a member; the last one wins, as in every JSON parser that keeps one.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let members = self.0.iter().rev();
        members
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.get())
    }

    /// A member read as a type; `None` when it is missing or something else.
    pub(crate) fn read<T: de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.text(name)?).ok()
    }

    /// Whether a member is there and says something.
    pub(crate) fn has_value(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text != "null")
    }

    /// Replaces a member where it stands, or adds it at the end. Of several of one name it is the
    /// last that counts.
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

    /// The object as one value again.
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
