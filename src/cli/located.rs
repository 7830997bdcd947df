//! Where in a file the value at a JSON pointer stands.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

/// The line of each value of a JSON or YAML text.
#[derive(Debug)]
pub(super) struct Located(Option<Node>);

#[derive(Debug, Deserialize)]
struct Node(Spanned<Inner>);

#[derive(Debug)]
enum Inner {
    Map(Vec<(String, Node)>),
    List(Vec<Node>),
    Leaf,
}

impl Located {
    /// Reads a text that was read as a value already.
    pub(super) fn of(text: &str) -> Self {
        // JSON is YAML too; where the two differ the lines are not known, which is no error.
        Self(serde_saphyr::from_str(text).ok())
    }

    /// The line of the value at a pointer, or of the nearest value around it.
    pub(super) fn line(&self, pointer: &str) -> Option<u64> {
        let mut node = self.0.as_ref()?;
        for step in pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")) {
            let next = match &node.0.value {
                Inner::Map(members) => members.iter().find(|(name, _)| *name == step).map(|(_, node)| node),
                Inner::List(items) => step.parse().ok().and_then(|position: usize| items.get(position)),
                Inner::Leaf => None,
            };
            let Some(next) = next else { break };
            node = next;
        }
        Some(node.0.referenced.line()).filter(|line| *line > 0)
    }
}

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Inner;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("any value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inner, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, Node>()? {
                    members.push(member);
                }
                Ok(Inner::Map(members))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Inner, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<Node>()? {
                    items.push(item);
                }
                Ok(Inner::List(items))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Inner, E> {
                Ok(Inner::Leaf)
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Inner, E> {
                Ok(Inner::Leaf)
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Inner, E> {
                Ok(Inner::Leaf)
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Inner, E> {
                Ok(Inner::Leaf)
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Inner, E> {
                Ok(Inner::Leaf)
            }

            fn visit_unit<E: Error>(self) -> Result<Inner, E> {
                Ok(Inner::Leaf)
            }

            fn visit_none<E: Error>(self) -> Result<Inner, E> {
                Ok(Inner::Leaf)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Inner, D::Error> {
                IgnoredAny::deserialize(deserializer).map(|_| Inner::Leaf)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_yaml_and_json() {
        let yaml = "flags:\n  - key: a\n    name: A\n  - key: b\n    targeting_rules:\n      - attribute: x\n        value: [1,\n          2]\n    off: ~\n";
        let json =
            "{\"flags\": [\n\t{\"key\": \"a\"},\n\t{\"key\": \"b\",\n\t \"x/y\": 1.5, \"z\": true,\n\"n\":\nnull}\n]}";
        for (text, pointer, line) in [
            (yaml, "/flags/0/name", 3),
            (yaml, "/flags/1", 4),
            (yaml, "/flags/1/targeting_rules/0/value/1", 8),
            (yaml, "/flags/1/targeting_rules/0/operator", 6),
            (yaml, "/flags/1/off", 9),
            (json, "/flags/0", 2),
            (json, "/flags/1/x~1y", 4),
            (json, "/flags/1/missing", 3),
            (json, "/flags/1/n", 6),
        ] {
            assert_eq!(Located::of(text).line(pointer), Some(line), "{pointer}");
        }
        assert_eq!(Located::of("a: [").line("/a"), None);
    }
}
