//! JSON work that is the same in a guest and natively, so that the two can be compared.

use std::hint::black_box;

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Row {
    id: u64,
    name: String,
    values: Vec<f64>,
    labels: Vec<(String, String)>,
}

/// Writes about `bytes` of JSON and reads it back into typed rows.
pub fn write_and_read(bytes: usize) -> Result<(), String> {
    let row = |id: usize| Row {
        id: id as u64,
        name: format!("workload-{id}"),
        values: (0..8).map(|v| (id * v) as f64 / 7.0).collect(),
        labels: vec![("region".into(), "us-east-1".into()), ("kind".into(), "gpu-node".into())],
    };
    let mut text = String::from("[");
    let mut id = 0;
    while text.len() < bytes {
        if id > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&row(id)).unwrap_or_default());
        id += 1;
    }
    text.push(']');
    let rows: Vec<Row> = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let sum: f64 = rows.iter().map(|r| r.values.iter().sum::<f64>() + r.name.len() as f64).sum();
    black_box(sum + rows.iter().map(|r| r.id + r.labels.len() as u64).sum::<u64>() as f64);
    Ok(())
}
