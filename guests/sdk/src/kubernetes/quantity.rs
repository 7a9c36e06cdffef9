//! Quantities as Kubernetes writes them: `250m`, `1.5Gi`, `12E6`.

/// An amount in billionths of its unit, of a core or of a byte: Kubernetes counts no finer.
pub type Nanos = i128;

/// One unit.
pub const NANOS: Nanos = 1_000_000_000;

/// Kubernetes caps what is larger (source: the documentation of `resource.Quantity`).
const UNITS_MAX: Nanos = i64::MAX as Nanos;

/// What each suffix multiplies by, as a power of ten and a power of two.
const SUFFIXES: [(&str, i32, i32); 16] = [
    ("", 0, 0),
    ("n", -9, 0),
    ("u", -6, 0),
    ("m", -3, 0),
    ("k", 3, 0),
    ("M", 6, 0),
    ("G", 9, 0),
    ("T", 12, 0),
    ("P", 15, 0),
    ("E", 18, 0),
    ("Ki", 0, 10),
    ("Mi", 0, 20),
    ("Gi", 0, 30),
    ("Ti", 0, 40),
    ("Pi", 0, 50),
    ("Ei", 0, 60),
];

/// The amount that a quantity stands for; none where it is no quantity. A part of a billionth is rounded up.
///
/// The grammar is that of `resource.Quantity` in k8s.io/apimachinery: a signed decimal number, then a suffix or an exponent.
pub fn parse(text: &str) -> Option<Nanos> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(number_end)?;
    let (power_of_ten, power_of_two) = read_suffix(suffix)?;
    // Read in one go, so that it is rounded once; what a text without digits or with two points is, `f64` knows.
    let nanos: f64 = format!("{number}e{}", power_of_ten.saturating_add(9)).parse().ok()?;
    let nanos = (nanos * 2_f64.powi(power_of_two)).ceil() as Nanos;
    let nanos = nanos.min(UNITS_MAX * NANOS);
    Some(if text.starts_with('-') { -nanos } else { nanos })
}

/// `E` alone is exa; before digits it begins an exponent.
fn read_suffix(suffix: &str) -> Option<(i32, i32)> {
    if let Some((_, ten, two)) = SUFFIXES.iter().find(|(known, _, _)| *known == suffix) {
        return Some((*ten, *two));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    exponent.parse().ok().map(|exponent| (exponent, 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_suffix_is_read() {
        for (text, nanos) in [
            ("0", 0),
            ("1", NANOS),
            ("+1", NANOS),
            ("-1", -NANOS),
            ("1.", NANOS),
            (".5", NANOS / 2),
            ("007", 7 * NANOS),
            ("123n", 123),
            ("100u", 100_000),
            ("250m", 250_000_000),
            ("0.1", 100_000_000),
            ("2k", 2_000 * NANOS),
            ("3M", 3_000_000 * NANOS),
            ("4G", 4_000_000_000 * NANOS),
            ("5T", 5_000_000_000_000 * NANOS),
            ("6P", 6_000_000_000_000_000 * NANOS),
            ("1E", 1_000_000_000_000_000_000 * NANOS),
            ("12E6", 12_000_000 * NANOS),
            ("12e6", 12_000_000 * NANOS),
            ("12e+6", 12_000_000 * NANOS),
            ("2500e-3", 2_500_000_000),
            ("2500E-3", 2_500_000_000),
            ("1Ki", 1024 * NANOS),
            ("1.5Gi", 1_610_612_736 * NANOS),
            ("0.1Gi", 107_374_182_400_000_000),
            ("107374182400m", 107_374_182_400_000_000),
            ("1Ti", (1 << 40) * NANOS),
            ("1Pi", (1 << 50) * NANOS),
            ("1Ei", (1 << 60) * NANOS),
        ] {
            // Past 2^53 the last digits are not kept.
            assert_eq!(parse(text).map(|read| read as f64), Some(nanos as f64), "{text}");
        }
    }

    #[test]
    fn a_part_of_a_billionth_is_rounded_up_and_what_is_too_large_capped() {
        assert_eq!(
            (parse("0.1n"), parse("1.5n"), parse("-0.1n"), parse("0e-999999")),
            (Some(1), Some(2), Some(-1), Some(0))
        );
        for huge in ["8Ei", "10E", "1e999999", "99999999999999999999999999999999999999999999Ei", "1e2147483647"] {
            assert_eq!(parse(huge), Some(UNITS_MAX * NANOS), "{huge}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_not_read() {
        for text in [
            "",
            " ",
            ".",
            "+",
            "-",
            "m",
            "Gi",
            "e3",
            "1e",
            "1e3.5",
            "1Q",
            "1KI",
            "1ki",
            "1K",
            "1 Gi",
            " 1",
            "1 ",
            "1.2.3",
            "1mm",
            "1Mib",
            "0x10",
            "1_000",
            "1,5",
            "inf",
            "NaN",
            "infinity",
            "--1",
            "+-1",
            "1e99999999999",
            "1µ",
            "１",
            "null",
            "{}",
            "[1]",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_suffix_is_nothing_but_its_factor(number in 0_i64..1 << 30) {
            let nanos = Nanos::from(number) * NANOS;
            for (suffix, ten, two) in SUFFIXES {
                let factor = 10_i128.pow(ten.max(0).cast_unsigned()) << two;
                let expected = (nanos * factor / 10_i128.pow((-ten).max(0).cast_unsigned())).min(UNITS_MAX * NANOS);
                let read = parse(&format!("{number}{suffix}")).unwrap();
                // Past 2^53 an f64 is off by as much as its last bit.
                prop_assert!((read - expected).abs() <= expected >> 52, "{number}{suffix}: {read} is not {expected}");
            }
        }

        #[test]
        fn an_exponent_moves_the_point(number in 0_u32..100_000, power in 0_u32..9) {
            let plain = parse(&format!("{}", u64::from(number) * 10_u64.pow(power)));
            prop_assert_eq!(parse(&format!("{number}e{power}")), plain);
            prop_assert_eq!(parse(&format!("{number}000E{}", i64::from(power) - 3)), plain);
        }

        #[test]
        fn a_sign_changes_nothing_else(number in "[0-9]{1,9}(\\.[0-9]{0,6})?(m|k|Ki|Gi|e3)?") {
            let plain = parse(&number);
            prop_assert!(plain.is_some());
            prop_assert_eq!(parse(&format!("+{number}")), plain);
            prop_assert_eq!(parse(&format!("-{number}")), plain.map(|nanos| -nanos));
        }

        #[test]
        fn no_text_is_more_than_the_cap(text in "\\PC{0,12}|[+-]?[0-9.]{1,60}[eEnumkKMGTPi0-9+-]{0,6}") {
            let nanos = parse(&text).unwrap_or_default();
            prop_assert!((-UNITS_MAX * NANOS..=UNITS_MAX * NANOS).contains(&nanos));
        }
    }
}
