//! The same component, fuel and answers stop at the same instruction.

use serde_json::Value;

use crate::site::Site;

#[test]
fn a_hundred_runs_with_the_same_fuel_stop_at_the_same_instruction() {
    let mut site = Site::new()
        .guest("hostile")
        .config("[collector.hostile]\nenabled = false\n[upstream.evil]\nbase_url = 'http://127.0.0.1:9'");
    for n in 0..100 {
        site = site.config(&format!(
            "[collector.run-{n}]\ncomponent = 'hostile.wasm'\nlimits = {{ fuel = 20_000_000 }}\n\
             settings = {{ act = 'mixed', number = 10_000_000 }}"
        ));
    }
    let report = site.report(&["--jobs", "16"]);
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 100);
    let what = |run: &Value| {
        let fields = ["outcome", "reason", "message", "fuel_used", "memory_peak_bytes", "values"];
        fields.map(|field| run[field].to_string())
    };
    assert_eq!((runs[0]["outcome"].as_str(), runs[0]["reason"].as_str()), (Some("partial"), Some("fuel")));
    assert!(runs[0]["message"].as_str().unwrap().contains(" at 0x"), "{:#}", runs[0]);
    assert!(runs[0]["points"].as_u64() > Some(10), "{:#}", runs[0]);
    for run in runs {
        assert_eq!(what(run), what(&runs[0]));
    }
}
