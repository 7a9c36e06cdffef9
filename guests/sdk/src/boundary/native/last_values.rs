//! Last values as a request to the world's upstream `last-values`: `{"values": {"a.b": {"value": 1, "source": "cycle"}}}`.

use crate::http::Request;
use crate::last_values::Answer;
use crate::testing::world::with_world;

pub async fn last_values(series: &[&str], max_age_s: u32) -> Answer {
    let request = Request::get("last-values", "/").query("max_age_s", max_age_s).query("series", series.join(","));
    let answer = match with_world(|world| world.answer(request)) {
        Ok(answer) => answer,
        Err(error) => return Answer { problem: Some(error.message), ..Answer::default() },
    };
    serde_json::from_slice(&answer.body)
        .unwrap_or_else(|e| Answer { problem: Some(format!("the fixture's answer: {e}")), ..Answer::default() })
}
