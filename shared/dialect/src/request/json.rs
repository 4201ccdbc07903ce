//! JSON that is read one level at a time. Values that the translation does not interpret stay
//! source text.
//!
//! Every value below a read object or array is still its source text ([`RawValue`]): key order,
//! number texts and escapes are sent unchanged. Errors carry the path of the value in Anthropic's
//! notation, `messages.0.content.1.type`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// Maximum nesting of an opaque value. Real schemas and tool inputs are far below it; a deeper
/// value can exhaust the stack of the next reader.
const MAX_DEPTH: usize = 100;

/// An error of a request with the path of its field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FieldError {
    /// The path, from the innermost part outwards.
    path: Vec<String>,
    message: Cow<'static, str>,
    /// The request is valid, but needs a feature that Bedrock lacks.
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

    /// The error for a valid part of the request that Bedrock does not support.
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

    /// Adds the key or index of the surrounding value to the path.
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

/// A string, borrowed from the body unless it has escapes.
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

/// An object with unparsed values, in the order of the source.
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

    /// The value of a key. `null` is treated as absent, and of a repeated key the last value is
    /// used.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let (_, value) = self.entries.iter().rfind(|(name, _)| name == key)?;
        (value.get() != "null").then_some(*value)
    }

    /// The keys whose value is not `null`, in order.
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

    /// Reads the value of a key with `read`, and adds the key to the path of an error.
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

    /// Reads an array element by element. An absent array is empty.
    pub(super) fn list<T>(
        &self,
        key: &str,
        read: impl FnMut(&'a RawValue) -> Result<T, FieldError>,
    ) -> Result<Vec<T>, FieldError> {
        Ok(self.with(key, |raw| list(raw, read))?.unwrap_or_default())
    }

    /// The object with `type: object` before its other members.
    pub(super) fn with_object_type(&self) -> ObjectWithType<'_, 'a> {
        ObjectWithType(self)
    }

    /// Removes these keys.
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

/// An object that is serialized with `object` as its `type`.
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

/// Reads an array element by element, up to the first invalid one.
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
    /// The error of the element after `list`.
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

/// Returns an object unparsed. Deeper nesting than `MAX_DEPTH` is an error.
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
