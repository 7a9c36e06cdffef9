//! Acts for the benchmarks: points across the boundary, waiting, nothing.

use collector_sdk::bindings::collector::host::metrics;
use collector_sdk::futures::future::join_all;
use collector_sdk::http::Request;
use collector_sdk::{Fault, Reason};

pub async fn play(act: &str, number: usize) -> Result<(), Fault> {
    match act {
        "bench-one-by-one" => points(number, 1, 1),
        "bench-batches" => points(number, 1000, 1),
        "bench-batches-of-three-tags" => points(number, 1000, 3),
        "bench-json" => crate::json::write_and_read(number).map_err(Fault::bad_answer),
        "bench-wait" => {
            join_all((0..number).map(|_| Request::get("evil", "/wait").fetch())).await;
            Ok(())
        }
        "bench-nothing" => Ok(()),
        _ => Err(Fault::setting(format!("there is no act {act}"))),
    }
}

/// Emits `number` distinct points, built once and told apart by the digits of one tag that are rewritten in place.
fn points(number: usize, batch: usize, tags: usize) -> Result<(), Fault> {
    const TAGS: [&str; 3] = ["n:00000000", "region:us-east-1", "kind:gpu-node"];
    let mut points: Vec<_> = (0..batch)
        .map(|_| metrics::Point {
            series: "hostile.value".into(),
            value: 1.5,
            tags: TAGS.iter().take(tags).map(|tag| (*tag).to_owned()).collect(),
        })
        .collect();
    let mut next = 0u32;
    for _ in 0..number / batch {
        for point in &mut points {
            let mut tag = std::mem::take(&mut point.tags[0]).into_bytes();
            let (mut rest, mut at) = (next, tag.len());
            for _ in 0..8 {
                at -= 1;
                tag[at] = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            point.tags[0] = String::from_utf8(tag).unwrap_or_default();
            next += 1;
        }
        metrics::emit(&points).map_err(|refusal| Fault::new(Reason::Contract, refusal.message))?;
    }
    Ok(())
}
