//! The first message of a connection.

use core::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::field::{Field, Text};

/// What a client says first: `{client_id: ..., message: "connection_request"}`. Only the id is ever looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hello<'a> {
    /// What the client calls itself; several connections may share it. `None` if it is missing, of a type that is
    /// no scalar, or nothing by the original's rules (null, empty, zero, false): such a client is turned away.
    pub client_id: Option<Text<'a>>,
}

const CLIENT_ID: &str = "client_id";
const MESSAGE: &str = "message";

impl<'a> Hello<'a> {
    /// What a client called `client_id` sends.
    #[must_use]
    pub fn new(client_id: &'a str) -> Self {
        Self { client_id: Some(Text::from(client_id)).filter(|id| !id.is_empty()) }
    }
}

impl Serialize for Hello<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = serializer.serialize_struct("Hello", 2)?;
        if let Some(client_id) = &self.client_id {
            keys.serialize_field(CLIENT_ID, client_id)?;
        }
        keys.serialize_field(MESSAGE, "connection_request")?;
        keys.end()
    }
}

impl<'de> Deserialize<'de> for Hello<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HelloVisitor;

        impl<'de> Visitor<'de> for HelloVisitor {
            type Value = Hello<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a dictionary")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Hello<'de>, A::Error> {
                let mut client_id = Field::<Text<'de>>::Missing;
                while let Some(key) = map.next_key::<&str>()? {
                    if key == CLIENT_ID {
                        // A repeated key replaces what came before.
                        client_id = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                let client_id = match client_id {
                    Field::Given(client_id) if !client_id.is_empty() => Some(client_id),
                    _ => None,
                };
                Ok(Hello { client_id })
            }
        }

        deserializer.deserialize_map(HelloVisitor)
    }
}
