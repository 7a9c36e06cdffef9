//! Kubernetes quantities as they stand in the JSON: a text, or a number.

use collector_sdk::kubernetes::quantity;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A quantity as it was written. The API server writes texts; numbers are quantities too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantity(pub String);

impl Quantity {
    /// What it comes to: cores, bytes, pieces.
    pub fn value(&self) -> Option<f64> {
        quantity::parse(&self.0).map(|nanos| nanos as f64 / quantity::NANOS as f64)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Quantity, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Quantity;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a quantity")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity(text.to_owned()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
        }
        from.deserialize_any(Written)
    }
}
