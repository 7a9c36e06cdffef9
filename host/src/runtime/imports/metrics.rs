//! `metrics`: points and gaps into the ledger.
//!
//! Linked by hand: what `bindgen!` generates copies every string of every point into the host's memory before anybody has
//! looked at it. Here strings are read where they stand, in the guest's memory, and only what is taken is copied.

use wasmtime::component::{ComponentType, Lift, Linker, Lower, WasmStr};
use wasmtime::{Result, StoreContextMut};

use super::State;
use crate::runtime::ledger;

const INTERFACE: &str = "collector:host/metrics@0.1.0";

/// `record point` of `wit/metrics.wit`.
#[derive(ComponentType, Lift)]
#[component(record)]
struct Point {
    series: WasmStr,
    value: f64,
    tags: Vec<WasmStr>,
}

/// `enum rule`.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
enum Rule {
    #[component(name = "undeclared-series")]
    UndeclaredSeries,
    #[component(name = "not-finite")]
    NotFinite,
    #[component(name = "bad-tag")]
    BadTag,
    #[component(name = "duplicate")]
    Duplicate,
    #[component(name = "limit")]
    Limit,
}

/// `record refusal`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Refusal {
    rule: Rule,
    message: String,
}

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut instance = linker.instance(INTERFACE)?;
    instance.func_wrap("emit", |store, (points,): (Vec<Point>,)| Ok((emit(store, &points)?,)))?;
    instance.func_wrap("gap", |store, (series, reason): (WasmStr, WasmStr)| Ok((gap(store, &series, &reason)?,)))
}

fn emit(mut store: StoreContextMut<'_, State>, points: &[Point]) -> Result<std::result::Result<(), Refusal>> {
    // The strings borrow the store, so the ledger stands beside it while they are read.
    let mut book = std::mem::take(&mut store.data_mut().ledger);
    let before = book.len();
    let taken = emit_into(&mut book, &store, points);
    if let Some(journal) = &store.data().journal {
        journal.keep(&mut book.points_from(before));
    }
    store.data_mut().ledger = book;
    taken
}

fn emit_into(
    book: &mut ledger::Ledger,
    store: &StoreContextMut<'_, State>,
    points: &[Point],
) -> Result<std::result::Result<(), Refusal>> {
    book.reserve(points.len());
    let mut first = Ok(());
    let mut tags = Vec::new();
    for point in points {
        let series = point.series.to_str(store)?;
        tags.clear();
        for tag in &point.tags {
            tags.push(tag.to_str(store)?);
        }
        if let Err(refusal) = book.emit(&series, point.value, &mut tags) {
            first = first.and(Err(refusal));
        }
    }
    Ok(first.map_err(Refusal::from))
}

fn gap(
    mut store: StoreContextMut<'_, State>,
    series: &WasmStr,
    reason: &WasmStr,
) -> Result<std::result::Result<(), Refusal>> {
    let series = series.to_str(&store)?.into_owned();
    let reason = reason.to_str(&store)?.into_owned();
    Ok(store.data_mut().ledger.gap(&series, &reason).map_err(Refusal::from))
}

impl From<ledger::Refusal> for Refusal {
    fn from(refusal: ledger::Refusal) -> Refusal {
        let rule = match refusal.rule {
            ledger::Rule::UndeclaredSeries => Rule::UndeclaredSeries,
            ledger::Rule::NotFinite => Rule::NotFinite,
            ledger::Rule::BadTag => Rule::BadTag,
            ledger::Rule::Duplicate => Rule::Duplicate,
            ledger::Rule::Limit => Rule::Limit,
        };
        Refusal { rule, message: refusal.message }
    }
}
