//! Units in UCUM, which is what OTLP wants.
//!
//! The code: https://ucum.org/ucum. What OpenTelemetry makes of it: semantic conventions, "Instrument units" (By and not B; things
//! that are counted as an annotation, `{request}`; the share of a whole as `1`).

use std::borrow::Cow;

/// A manifest's unit in UCUM; what is no unit there becomes an annotation: `{pod}`.
pub(super) fn ucum(unit: &str) -> Cow<'static, str> {
    Cow::Borrowed(match unit {
        "" => "",
        "nanosecond" | "nanoseconds" => "ns",
        "microsecond" | "microseconds" => "us",
        "millisecond" | "milliseconds" => "ms",
        "second" | "seconds" => "s",
        "minute" | "minutes" => "min",
        "hour" | "hours" => "h",
        "day" | "days" => "d",
        "week" | "weeks" => "wk",
        "bit" | "bits" => "bit",
        "byte" | "bytes" => "By",
        "kB" => "kBy",
        "MB" => "MBy",
        "GB" => "GBy",
        "TB" => "TBy",
        "KiB" | "kibibyte" => "KiBy",
        "MiB" | "mebibyte" => "MiBy",
        "GiB" | "gibibyte" => "GiBy",
        "TiB" | "tebibyte" => "TiBy",
        "hertz" => "Hz",
        "percent" => "%",
        "fraction" | "ratio" | "ratio 0..1" => "1",
        "byte/second" | "bytes/second" => "By/s",
        "step/second" | "steps/second" => "{step}/s",
        "request/second" | "requests/second" => "{request}/s",
        "core" | "cores" => "{core}",
        "GPU" | "GPUs" => "{GPU}",
        "GPU hours" => "{GPU}.h",
        "vCPU" | "vCPUs" => "{vCPU}",
        "line" | "lines" => "{line}",
        "request" | "requests" => "{request}",
        "USD/hour" => "{USD}/h",
        "USD/month" => "{USD}/mo",
        other => return Cow::Owned(annotation(other)),
    })
}

/// Annotations hold printable ASCII without blanks and braces (UCUM, section 2.1, §6).
fn annotation(unit: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '{' | '}') { c } else { '_' };
    format!("{{{}}}", unit.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ucum_has_is_ucum_and_the_rest_an_annotation() {
        for (unit, code) in [
            ("seconds", "s"),
            ("GiB", "GiBy"),
            ("percent", "%"),
            ("ratio 0..1", "1"),
            ("steps/second", "{step}/s"),
            ("GPU hours", "{GPU}.h"),
            ("count", "{count}"),
            ("boolean", "{boolean}"),
            ("pull request", "{pull_request}"),
            ("{a}\n", "{_a__}"),
            ("", ""),
        ] {
            assert_eq!(ucum(unit), code, "{unit}");
        }
    }
}
