//! Kubernetes quantities: `250m`, `1.5Gi`, `12E6`, `3`.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A quantity as it was written. The API server writes texts; numbers are quantities too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantity(pub String);

impl Quantity {
    /// What it comes to: cores, bytes, pieces.
    pub fn value(&self) -> Option<f64> {
        parse(&self.0)
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

/// Reads a quantity (k8s.io/apimachinery, `resource.Quantity`): a decimal number, then a binary suffix, a decimal one, or an
/// exponent. `1E` is exa, `1E6` a million.
pub fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let value = match suffix {
        // Divided, not multiplied by 1e-9: so the result is the nearest number there is.
        "n" => number / 1e9,
        "u" => number / 1e6,
        "m" => number / 1e3,
        "" => number,
        "k" => number * 1e3,
        "M" => number * 1e6,
        "G" => number * 1e9,
        "T" => number * 1e12,
        "P" => number * 1e15,
        "E" => number * 1e18,
        "Ki" => number * 1024.0,
        "Mi" => number * 1024_f64.powi(2),
        "Gi" => number * 1024_f64.powi(3),
        "Ti" => number * 1024_f64.powi(4),
        "Pi" => number * 1024_f64.powi(5),
        "Ei" => number * 1024_f64.powi(6),
        _ => number * 10_f64.powi(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_suffix_of_kubernetes_is_read() {
        for (text, value) in [
            ("250m", 0.25),
            ("15000000n", 0.015),
            ("15u", 0.000_015),
            ("+2", 2.0),
            ("1.5", 1.5),
            ("2k", 2e3),
            ("1E", 1e18),
            ("12E6", 12e6),
            ("2500e-3", 2.5),
            ("32Mi", 33_554_432.0),
            ("1.5Gi", 1_610_612_736.0),
            ("107374182400m", 107_374_182.4),
            ("1Ei", 1_152_921_504_606_846_976.0),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in ["", "m", "1X", "1 Gi", "1ki", "1e", "1e999", "--1", "inf", "NaN", "0x10", "1_000"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_quantity_may_be_a_number() {
        let read: Vec<Quantity> = serde_json::from_str(r#"["500m", 2, -1, 0.5]"#).unwrap();
        let values: Vec<_> = read.iter().map(Quantity::value).collect();
        assert_eq!(values, [Some(0.5), Some(2.0), Some(-1.0), Some(0.5)]);
    }

    proptest! {
        #[test]
        fn a_suffix_is_a_factor(number in 0_u32..1_000_000, suffix in 0_usize..5) {
            let (small, large) = [("n", "u"), ("m", ""), ("k", "M"), ("", "k"), ("G", "T")][suffix];
            let value = parse(&format!("{number}{large}")).unwrap();
            prop_assert_eq!(parse(&format!("{}{small}", u64::from(number) * 1000)), Some(value));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,20}") {
            let _ = parse(&text);
        }
    }
}
