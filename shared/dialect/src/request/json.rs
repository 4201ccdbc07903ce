//! JSON read one level at a time, so that what is opaque to the translation stays the text it was.
//!
//! Every value below a read object or array is still its source text ([`RawValue`]): key order,
//! number texts and escapes survive because nothing re-serialises them. Errors carry the path of
//! the value in Anthropic's notation, `messages.0.content.1.type`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// Nesting beyond which an opaque value is refused: no real schema or tool input comes near, and
/// what reads the body next may not be as patient with its stack.
const MAX_DEPTH: usize = 100;

/// What is wrong with a request, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FieldError {
    /// From the innermost part outwards.
    path: Vec<String>,
    message: Cow<'static, str>,
    /// The request is valid, but asks for what Bedrock does not have.
    is_unavailable: bool,
}

impl FieldError {
    pub(super) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            path: Vec::new(),
            message: message.into(),
            is_unavailable: false,
        }
    }

    /// A valid part of the request that Bedrock does not have.
    pub(super) fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            is_unavailable: true,
            ..Self::new(message)
        }
    }

    pub(super) fn is_unavailable(&self) -> bool {
        self.is_unavailable
    }

    pub(super) fn required(field: &str) -> Self {
        Self::new("Field required").within(field)
    }

    /// The same error, seen from the value that holds the faulty one under this key or index.
    pub(super) fn within(mut self, part: impl fmt::Display) -> Self {
        self.path.push(part.to_string());
        self
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, part) in self.path.iter().rev().enumerate() {
            write!(f, "{}{part}", if nth == 0 { "" } else { "." })?;
        }
        write!(
            f,
            "{}{}",
            if self.path.is_empty() { "" } else { ": " },
            self.message
        )
    }
}

/// A string, borrowed from the body where it has no escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// An object whose values are not read yet, in the order of the source.
#[derive(Clone, Debug, Default)]
pub(super) struct Object<'a> {
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Text(key), value)) = map.next_entry::<Text<'de>, &RawValue>()? {
                    entries.push((key, value));
                }
                Ok(Object { entries })
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

impl<'a> Object<'a> {
    /// Reads the outermost object of a body.
    pub(super) fn from_body(body: &'a [u8]) -> Result<Self, FieldError> {
        serde_json::from_slice(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                FieldError::new("The request body must be an object")
            }
            _ => FieldError::new(format!(
                "The request body is not valid JSON (line {}, column {})",
                error.line(),
                error.column()
            )),
        })
    }

    pub(super) fn read(raw: &'a RawValue) -> Result<Self, FieldError> {
        serde_json::from_str(raw.get())
            .map_err(|_| FieldError::new("Input should be a valid object"))
    }

    /// The value of a key; `null` counts as absent. Of a repeated key the last counts, as in every
    /// common reader.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let (_, value) = self.entries.iter().rfind(|(name, _)| name == key)?;
        (value.get() != "null").then_some(*value)
    }

    /// The keys that have a value, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(|(_, value)| value.get() != "null")
            .map(|(key, _)| key.as_ref())
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_ref(), *value))
    }

    /// Reads the value of a key with `read`, and puts the key in the path of what goes wrong.
    pub(super) fn with<T>(
        &self,
        key: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, FieldError>,
    ) -> Result<Option<T>, FieldError> {
        self.get(key)
            .map(|raw| read(raw).map_err(|error| error.within(key)))
            .transpose()
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<Cow<'a, str>>, FieldError> {
        self.with(key, text)
    }

    pub(super) fn required_text(&self, key: &str) -> Result<Cow<'a, str>, FieldError> {
        self.text(key)?.ok_or_else(|| FieldError::required(key))
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, FieldError> {
        self.with(key, |raw| match raw.get() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(FieldError::new("Input should be a valid boolean")),
        })
    }

    pub(super) fn whole_number(&self, key: &str) -> Result<Option<u64>, FieldError> {
        self.with(key, |raw| {
            raw.get()
                .parse()
                .map_err(|_| FieldError::new("Input should be a valid integer"))
        })
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<Object<'a>>, FieldError> {
        self.with(key, Object::read)
    }

    /// Reads an array, one element at a time; absent is empty.
    pub(super) fn list<T>(
        &self,
        key: &str,
        read: impl FnMut(&'a RawValue) -> Result<T, FieldError>,
    ) -> Result<Vec<T>, FieldError> {
        Ok(self.with(key, |raw| list(raw, read))?.unwrap_or_default())
    }

    /// The object with `type: object` in front of its other members.
    pub(super) fn with_object_type(&self) -> ObjectWithType<'_, 'a> {
        ObjectWithType(self)
    }

    /// Leaves keys out.
    pub(super) fn without(mut self, unwanted: &[&str]) -> Self {
        self.entries
            .retain(|(key, _)| !unwanted.contains(&key.as_ref()));
        self
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len()))?;
        for (key, value) in &self.entries {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// An object, written with `object` as its `type`.
pub(super) struct ObjectWithType<'o, 'a>(&'o Object<'a>);

impl Serialize for ObjectWithType<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "object")?;
        for (key, value) in self.0.entries().filter(|(key, _)| *key != "type") {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

pub(super) fn text(raw: &RawValue) -> Result<Cow<'_, str>, FieldError> {
    serde_json::from_str::<Text<'_>>(raw.get())
        .map(|Text(text)| text)
        .map_err(|_| FieldError::new("Input should be a valid string"))
}

/// Reads the elements of an array as they come, so that a list of the wrong things ends at the first.
pub(super) fn list<'a, T>(
    raw: &'a RawValue,
    read: impl FnMut(&'a RawValue) -> Result<T, FieldError>,
) -> Result<Vec<T>, FieldError> {
    let mut elements = Elements {
        read,
        list: Vec::new(),
        error: None,
    };
    let read = serde_json::Deserializer::from_str(raw.get()).deserialize_seq(&mut elements);
    match (read, elements.error) {
        (_, Some(error)) => Err(error.within(elements.list.len())),
        (Ok(()), None) => Ok(elements.list),
        (Err(_), None) => Err(FieldError::new("Input should be a valid list")),
    }
}

/// The elements of an array, each read with `read`.
struct Elements<T, F> {
    read: F,
    list: Vec<T>,
    /// What was wrong with the element after `list`.
    error: Option<FieldError>,
}

impl<'de, T, F: FnMut(&'de RawValue) -> Result<T, FieldError>> Visitor<'de>
    for &mut Elements<T, F>
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(element) = sequence.next_element::<&'de RawValue>()? {
            match (self.read)(element) {
                Ok(element) => self.list.push(element),
                Err(error) => {
                    self.error = Some(error);
                    return Err(de::Error::custom("the error is kept"));
                }
            }
        }
        Ok(())
    }
}

pub(super) fn is_string(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

pub(super) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// Passes on an object as it is, unless it is nested beyond all reason.
pub(super) fn opaque_object(raw: &RawValue) -> Result<&RawValue, FieldError> {
    if !is_object(raw) {
        return Err(FieldError::new("Input should be a valid object"));
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in raw.get().bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(FieldError::new("Input is nested too deeply"));
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(raw)
}
