//! Reads values that may be of any kind: what a scheduler sends differs between versions, and a field that is
//! of no use here must never make a whole answer unreadable.
//!
//! It is not a tree of values: what is not wanted is skipped, so a hostile answer costs no memory.
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// The most entries that are taken of a list or map that a scheduler sends, with one for each worker: more
/// than any cluster has. An entry of six bytes takes a hundred in memory, so that bytes alone bound nothing.
pub(super) const ENTRIES_MAX: usize = 20_000;

/// The most entries that are kept of a map inside of a worker, such as its resources; the others are passed
/// over.
const DETAILS_MAX: usize = 16;

/// The longest text of a worker, in bytes: an address or a name of DNS has 253 characters at most. A longer
/// one counts as none.
pub(super) const TEXT_BYTES_MAX: usize = 300;

/// The most packages that are kept of those that a scheduler runs on.
const PACKAGES_MAX: usize = 2_000;

/// What is said of a message with more.
pub(super) fn too_many<E: Error>() -> E {
    E::custom(format_args!("more than the {ENTRIES_MAX} entries that are accepted"))
}

/// Whether this is what [`too_many`] makes.
pub(super) fn is_too_many(error: &rmp_serde::decode::Error) -> bool {
    error.to_string() == too_many::<rmp_serde::decode::Error>().to_string()
}

/// Refuses a text that is longer than any name or address.
fn short<E: Error>(text: String) -> Result<String, E> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(text);
    }
    Err(E::custom(format_args!("a name or address of {} bytes", text.len())))
}

/// A text that must be there, and is kept: a longer one than any name is refused.
pub(super) fn short_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).and_then(short)
}

/// A value reduced to what fits one word. An enum member of Python counts as its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Nil,
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    /// A list, a map, bytes, a truth value or an extension.
    Other,
}

impl Scalar {
    pub(super) fn into_text(self) -> Option<String> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// A count: whole and not negative. Python may have computed it as a float.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float is saturated, and is a count"
    )]
    pub(super) fn into_count(self) -> Option<u64> {
        match self {
            Self::Int(number) => u64::try_from(number).ok(),
            Self::Unsigned(number) => Some(number),
            Self::Float(number) if number >= 0.0 => Some(number as u64),
            _ => None,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "amounts of a resource and seconds, not identities")]
    pub(super) fn into_float(self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(number as f64),
            Self::Unsigned(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Int(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(number).map_or(Scalar::Unsigned(number), Scalar::Int))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
        Ok(Scalar::Nil)
    }

    fn visit_none<E: Error>(self) -> Result<Scalar, E> {
        Ok(Scalar::Nil)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        let (mut is_enum, mut name) = (false, None);
        while let Some(key) = map.next_key::<Scalar>()? {
            match key.into_text().as_deref() {
                Some("name") => name = map.next_value::<Scalar>()?.into_text(),
                key => {
                    is_enum |= key == Some("__Enum__");
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(name.filter(|_| is_enum).map_or(Scalar::Other, Scalar::Text))
    }
}

/// A text, or nothing where something else stands.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Scalar::deserialize(deserializer)?.into_text();
    Ok(text.filter(|text| text.len() <= TEXT_BYTES_MAX))
}

/// A count, or 0 where something else stands.
pub(super) fn count_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Scalar::deserialize(deserializer).map(|scalar| scalar.into_count().unwrap_or(0))
}

/// A count, or nothing where something else stands.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Scalar::deserialize(deserializer).map(Scalar::into_count)
}

/// A number, or nothing where something else stands.
pub(super) fn float<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Scalar::deserialize(deserializer).map(Scalar::into_float)
}

/// Names and numbers; entries of another kind are left out.
pub(super) fn floats<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    deserializer.deserialize_any(EntriesVisitor(DETAILS_MAX, Scalar::into_float))
}

/// Names and ports; entries of another kind are left out.
pub(super) fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u16>, D::Error> {
    deserializer.deserialize_any(EntriesVisitor(DETAILS_MAX, |scalar: Scalar| {
        scalar.into_count().and_then(|port| port.try_into().ok())
    }))
}

/// Names and texts; entries of another kind are left out.
pub(super) fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    deserializer.deserialize_any(EntriesVisitor(PACKAGES_MAX, Scalar::into_text))
}

/// Keeps so many entries.
struct EntriesVisitor<F>(usize, F);

impl<'de, V, F: Fn(Scalar) -> Option<V>> Visitor<'de> for EntriesVisitor<F> {
    type Value = BTreeMap<String, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map or nil")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<Scalar>()? {
            let value = (self.1)(map.next_value()?);
            if let (Some(key), Some(value)) = (key.into_text(), value)
                && entries.len() < self.0
                && key.len() <= TEXT_BYTES_MAX
            {
                entries.insert(key, value);
            }
        }
        Ok(entries)
    }
}

/// What stood where a map was looked for.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    Map,
    Text(String),
    Other,
}

impl Seen {
    pub(super) fn is_map(&self) -> bool {
        *self == Self::Map
    }
}

/// Gives each entry of a map to `on`, whose values must read anything themselves. Entries whose key is no
/// text are passed over, and so is what is no map.
pub(super) fn each<'de, V, F>(on: F) -> impl Visitor<'de, Value = Seen>
where
    V: Deserialize<'de>,
    F: FnMut(String, V),
{
    EachVisitor(on, PhantomData)
}

struct EachVisitor<V, F>(F, PhantomData<V>);

impl<'de, V: Deserialize<'de>, F: FnMut(String, V)> Visitor<'de> for EachVisitor<V, F> {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Seen, E> {
        Ok(Seen::Text(text.to_owned()))
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_none<E: Error>(self) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Seen::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Seen, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Seen::Other)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Seen, A::Error> {
        while let Some(key) = map.next_key::<Scalar>()? {
            let value = map.next_value()?;
            if let Some(key) = key.into_text() {
                (self.0)(key, value);
            }
        }
        Ok(Seen::Map)
    }
}

/// A list, or a set of Python, which comes as a map around a list.
#[derive(Debug, PartialEq)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut items = Vec::new();
        let mut is_full = false;
        let keep = |item| match items.len() {
            ENTRIES_MAX.. => is_full = true,
            _ => items.push(item),
        };
        deserializer.deserialize_any(ItemsVisitor(keep, PhantomData))?;
        if is_full { Err(too_many()) } else { Ok(Self(items)) }
    }
}

/// How many items a list or set has, whatever they are.
#[derive(Debug, PartialEq)]
pub(super) struct Length(pub(super) u64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut items = 0_u64;
        deserializer
            .deserialize_any(ItemsVisitor(|_: IgnoredAny| items = items.saturating_add(1), PhantomData))?;
        Ok(Self(items))
    }
}

struct ItemsVisitor<T, F>(F, PhantomData<T>);

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for ItemsVisitor<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or a set")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element()? {
            (self.0)(item);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut is_set = false;
        while let Some(key) = map.next_key::<Scalar>()? {
            if key.into_text().as_deref() == Some("as-list") {
                is_set = true;
                let items: Bare<T> = map.next_value()?;
                items.0.into_iter().for_each(&mut self.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if is_set { Ok(()) } else { Err(A::Error::custom("a map that is not a set, where a list belongs")) }
    }
}

/// The list inside a set. A type of its own, so that sets in sets in sets do not make types without end.
struct Bare<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bare<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BareVisitor(PhantomData)).map(Self)
    }
}

/// Reads a list that holds no more than is accepted.
struct BareVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for BareVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() >= ENTRIES_MAX {
                return Err(too_many());
            }
            items.push(item);
        }
        Ok(items)
    }
}

/// A map with an entry for each worker, of no more than is accepted.
#[derive(Debug, PartialEq)]
pub(super) struct ByAddress<V>(pub(super) BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for ByAddress<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_address(deserializer).map(Self)
    }
}

/// As [`ByAddress`], for a field.
pub(super) fn by_address<'de, V, D>(deserializer: D) -> Result<BTreeMap<String, V>, D::Error>
where
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_map(ByAddressVisitor(PhantomData))
}

struct ByAddressVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for ByAddressVisitor<V> {
    type Value = BTreeMap<String, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((address, value)) = map.next_entry::<String, V>()? {
            if entries.len() >= ENTRIES_MAX {
                return Err(too_many());
            }
            entries.insert(short(address)?, value);
        }
        Ok(entries)
    }
}
