//! List prices of on-demand instances: the table that is built in, or the operator's.
//!
//! EC2 does not tell them, and the price list that does is hundreds of megabytes.

use std::collections::BTreeMap;

use collector_sdk::{Fault, settings};

const BUILT_IN: &str = include_str!("../prices.csv");

/// More than any instance costs in an hour. A price beyond it is none, and so no sum of prices overflows.
const PRICE_MAX_USD: f64 = 1_000_000.0;

/// List prices by region, type and platform, in US dollars an hour.
#[derive(Clone, Debug, Default)]
pub struct ListPrices {
    by_key: BTreeMap<String, f64>,
}

impl ListPrices {
    /// Those of the setting `prices`, else those that are built in.
    ///
    /// # Errors
    /// `setting`, where the operator's table cannot be read; the message names the line.
    pub fn read() -> Result<ListPrices, Fault> {
        match settings::get("prices") {
            Some(text) => ListPrices::parse(&text).map_err(|what| Fault::setting(format!("setting prices: {what}"))),
            None => ListPrices::parse(BUILT_IN).map_err(Fault::setting),
        }
    }

    /// Reads lines of `region,instance_type,usd_per_hour[,platform]`. Blank lines, comments (`#`) and a headline are left
    /// out; a later line replaces an earlier one of the same region, type and platform.
    ///
    /// # Errors
    /// The first line that is none of these, and what it should be.
    pub fn parse(text: &str) -> Result<ListPrices, String> {
        let mut prices = ListPrices::default();
        for (number, line) in text.lines().enumerate() {
            // Spreadsheets put a byte order mark before the first cell, and quotes around every one.
            let cells: Vec<&str> =
                line.split(',').map(|cell| cell.trim().trim_matches(['\u{feff}', '"']).trim()).collect();
            let (region, instance_type, usd_per_hour, platform) = match cells[..] {
                [""] | ["region", ..] => continue,
                [first, ..] if first.starts_with('#') => continue,
                [region, instance_type, usd_per_hour] => (region, instance_type, usd_per_hour, ""),
                [region, instance_type, usd_per_hour, platform] => (region, instance_type, usd_per_hour, platform),
                _ => return Err(refuse(number, line)),
            };
            let usd_per_hour = usd_per_hour.parse().ok().filter(|price| is_price(*price));
            let is_named = !region.is_empty() && !instance_type.is_empty();
            let price = usd_per_hour.filter(|_| is_named).ok_or_else(|| refuse(number, line))?;
            prices.by_key.insert(key(region, instance_type, platform), price);
        }
        Ok(prices)
    }

    /// The price of a type on a platform. `place` is a region, or the group of a local zone (`us-east-1-bos-1`).
    pub fn find(&self, place: &str, instance_type: &str, platform: &str) -> Option<f64> {
        self.by_key.get(&key(place, instance_type, platform)).copied()
    }
}

/// Whether a number can be what an instance costs in an hour.
pub fn is_price(usd: f64) -> bool {
    (0.0..=PRICE_MAX_USD).contains(&usd)
}

/// The name by which platforms are compared. An instance's `Windows` is `Windows (Amazon VPC)` among the spot prices, and
/// a platform that is not told is Linux: EC2's older field for it names only Windows.
pub fn read_platform(text: &str) -> String {
    let name = text.trim().to_ascii_lowercase();
    let name = name.strip_suffix("(amazon vpc)").unwrap_or(&name).trim_end();
    if name.is_empty() { "linux/unix".into() } else { name.into() }
}

fn key(place: &str, instance_type: &str, platform: &str) -> String {
    format!("{place},{instance_type},{}", read_platform(platform))
}

fn refuse(number: usize, line: &str) -> String {
    let line: String = line.chars().take(80).collect();
    format!("line {} is not region,instance_type,usd_per_hour[,platform]: {line}", number.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_built_in_table_is_read_to_its_last_line_and_knows_no_yuan() {
        let prices = ListPrices::parse(BUILT_IN).unwrap();
        assert_eq!(prices.by_key.len(), 1930);
        assert_eq!(prices.find("us-east-1", "m5.large", "Linux/UNIX"), Some(0.096));
        assert_eq!(prices.find("us-gov-west-1", "c5.large", ""), Some(0.102));
        assert!(prices.by_key.keys().all(|key| key.starts_with("us-") && key.ends_with(",linux/unix")));
    }

    #[test]
    fn a_table_from_a_spreadsheet_is_read() {
        let text = "\u{feff}\"region\",\"instance_type\",\"usd_per_hour\"\r\n# ours\r\n\r\n \"eu-west-1\" , m5.large,0.107\r\n\
                    eu-west-1,m5.large,0.199,Windows\r\neu-west-1,m5.large,0.1\r\n";
        let prices = ListPrices::parse(text).unwrap();
        assert_eq!(prices.by_key.len(), 2);
        assert_eq!(prices.find("eu-west-1", "m5.large", "Linux/UNIX"), Some(0.1));
        assert_eq!(prices.find("eu-west-1", "m5.large", "windows"), Some(0.199));
        assert_eq!(prices.find("us-east-1", "m5.large", ""), None);
    }

    #[test]
    fn a_line_that_is_no_price_is_refused_by_its_number() {
        for line in ["a,b", "a,b,c", "a,b,-1", "a,b,NaN", "a,b,inf", "a,b,1e7", ",b,1", "a,,1", "a,b,1,c,d", "a;b;1"] {
            let says = ListPrices::parse(&format!("# prices\n{line}\n")).map(drop).unwrap_err();
            assert!(says.starts_with("line 2 is not region,") && says.ends_with(line), "{says}");
        }
    }

    #[test]
    fn platforms_of_instances_and_of_spot_prices_have_one_name() {
        for (text, name) in [
            ("Linux/UNIX", "linux/unix"),
            ("Linux/UNIX (Amazon VPC)", "linux/unix"),
            ("", "linux/unix"),
            ("windows", "windows"),
            ("Windows (Amazon VPC)", "windows"),
            ("SUSE Linux", "suse linux"),
            ("Red Hat Enterprise Linux with HA", "red hat enterprise linux with ha"),
        ] {
            assert_eq!(read_platform(text), name);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_table_or_an_error(text in "([a-z,0-9.\"# \r\n]|\\PC){0,200}") {
            if let Ok(prices) = ListPrices::parse(&text) {
                prop_assert!(prices.by_key.values().all(|price| is_price(*price)));
            }
        }
    }
}
