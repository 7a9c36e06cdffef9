//! What an attempt has emitted: checked point by point, kept whatever happens next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use indexmap::map::Entry;

use super::budget::SeriesBudget;
use super::journal::Journal;
use crate::limits::Limits;
use crate::model::{Gap, Point, PointRef, Series, TagSet};

/// Why a point or a gap is not taken. The words of `wit/metrics.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    UndeclaredSeries,
    NotFinite,
    BadTag,
    Duplicate,
    Limit,
}

/// A point or a gap that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub rule: Rule,
    pub message: String,
}

/// The series that a collector may emit under its settings. Shared by all its attempts.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// Name to place in `all`.
    by_name: HashMap<Arc<str>, u32, FixedState>,
    all: Vec<DeclaredSeries>,
}

#[derive(Debug)]
struct DeclaredSeries {
    name: Arc<str>,
    tag_keys: Vec<Box<str>>,
}

/// The points and gaps of one attempt.
#[derive(Default)]
pub(super) struct Ledger {
    declared: Arc<Declared>,
    points_max: usize,
    budget: SeriesBudget,
    tags_max: usize,
    tag_bytes_max: usize,
    /// By series and tags, in the order in which they came.
    points: IndexMap<(u32, TagSet), f64, FixedState>,
    /// The series of the last point: the next one is often the same.
    last: Option<u32>,
    gaps: BTreeMap<u32, String>,
    /// Refused points of series that are not declared: there is no series whose gap they could be.
    first_refusal: Option<Refusal>,
}

/// A gap's reason is a sentence, not a page.
const REASON_CHARS_MAX: usize = 300;

impl Declared {
    pub fn new<'a>(series: impl Iterator<Item = &'a Series>) -> Declared {
        let all: Vec<DeclaredSeries> = series
            .map(|series| DeclaredSeries {
                name: series.name.as_str().into(),
                tag_keys: series.tags.iter().map(|key| key.as_str().into()).collect(),
            })
            .collect();
        let by_name = all.iter().zip(0..).map(|(series, n)| (series.name.clone(), n)).collect();
        Declared { by_name, all }
    }

    fn name(&self, n: u32) -> Arc<str> {
        self.all.get(n as usize).map(|series| series.name.clone()).unwrap_or_default()
    }

    fn find(&self, name: &str, last: Option<u32>) -> Result<(u32, &DeclaredSeries), Refusal> {
        let same = last.and_then(|n| Some((n, self.all.get(n as usize)?)));
        if let Some(found) = same.filter(|(_, series)| &*series.name == name) {
            return Ok(found);
        }
        let found = self.by_name.get(name).and_then(|n| Some((*n, self.all.get(*n as usize)?)));
        found.ok_or_else(|| {
            let shown: String = name.chars().take(200).collect();
            refusal(Rule::UndeclaredSeries, format!("series {shown:?} is not declared in the manifest"))
        })
    }
}

impl Ledger {
    pub fn new(declared: Arc<Declared>, limits: &Limits, journal: Option<Arc<dyn Journal>>) -> Ledger {
        Ledger {
            declared,
            points_max: limits.points as usize,
            budget: SeriesBudget::new(limits.series as usize, journal),
            tags_max: limits.tags as usize,
            tag_bytes_max: limits.tag_bytes as usize,
            points: IndexMap::default(),
            last: None,
            gaps: BTreeMap::new(),
            first_refusal: None,
        }
    }

    /// Makes room for so many more points.
    pub fn reserve(&mut self, points: usize) {
        self.points.reserve(points.min(self.points_max.saturating_sub(self.points.len())));
    }

    /// Takes a point, or says which rule it breaks; then its series becomes a gap. The tags are sorted in place.
    pub fn emit<T>(&mut self, series: &str, value: f64, tags: &mut Vec<T>) -> Result<(), Refusal>
    where
        T: AsRef<str> + Ord,
    {
        let declared = self.declared.clone();
        let (n, found) = match declared.find(series, self.last) {
            Ok(found) => found,
            Err(refusal) => return Err(self.refused(None, refusal)),
        };
        self.last = Some(n);
        if let Err(refusal) = self.check(found, value, tags) {
            return Err(self.refused(Some(n), refusal));
        }
        tags.sort_unstable();
        tags.dedup();
        let is_full = self.points.len() >= self.points_max;
        self.budget.prepare(self.points.len(), |known| {
            let is_fresh = |(n, tags): &&(u32, TagSet)| !known.contains(&declared.name(*n), tags);
            self.points.keys().filter(is_fresh).count()
        });
        let (rule, what) = match self.points.entry((n, TagSet::of_sorted(tags))) {
            Entry::Occupied(_) => (Rule::Duplicate, " was emitted before with the same tags".to_owned()),
            Entry::Vacant(_) if is_full => {
                (Rule::Limit, format!(": more points than the limit points ({})", self.points_max))
            }
            Entry::Vacant(entry) if !self.budget.takes(series, &entry.key().1) => {
                let series_max = self.budget.series_max();
                (
                    Rule::Limit,
                    format!(": more series within an hour than the limit series ({series_max}), told apart by tags"),
                )
            }
            Entry::Vacant(entry) => {
                // A sum over nothing is -0 in Rust; nobody wants to see that.
                entry.insert(value + 0.0);
                return Ok(());
            }
        };
        Err(self.refused(Some(n), refusal(rule, format!("series {series}{what}"))))
    }

    fn check<T: AsRef<str>>(&self, series: &DeclaredSeries, value: f64, tags: &[T]) -> Result<(), Refusal> {
        let name = &series.name;
        if !value.is_finite() {
            return Err(refusal(Rule::NotFinite, format!("series {name}: the value is {value}")));
        }
        let bad = |what: String| Err(refusal(Rule::BadTag, format!("series {name}: {what}")));
        if tags.len() > self.tags_max {
            return bad(format!("{} tags, more than tags ({})", tags.len(), self.tags_max));
        }
        for tag in tags.iter().map(AsRef::as_ref) {
            if tag.len() > self.tag_bytes_max {
                return bad(format!("a tag of {} bytes, more than tag_bytes ({})", tag.len(), self.tag_bytes_max));
            }
            let Some((key, value)) = tag.split_once(':') else {
                return bad(format!("tag {tag:?} is not key:value"));
            };
            if !series.tag_keys.iter().any(|declared| **declared == *key) {
                return bad(format!("tag key {key:?} is not declared in the manifest"));
            }
            if value.is_empty() || !is_plain(tag) {
                return bad(format!("tag {tag:?} is empty or holds a comma or a control character"));
            }
        }
        Ok(())
    }

    /// Says that a series has no value.
    pub fn gap(&mut self, series: &str, reason: &str) -> Result<(), Refusal> {
        let (n, _) = self.declared.find(series, None)?;
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
        self.gaps.insert(n, reason);
        Ok(())
    }

    fn refused(&mut self, series: Option<u32>, refusal: Refusal) -> Refusal {
        if let Some(n) = series {
            self.gaps.entry(n).or_insert_with(|| format!("refused: {}", refusal.message));
        }
        self.first_refusal.get_or_insert_with(|| refusal.clone());
        refusal
    }

    /// The first refusal of the attempt, if there was one: it broke its manifest, whatever it says itself.
    pub fn first_refusal(&self) -> Option<&Refusal> {
        self.first_refusal.as_ref()
    }

    /// How many points were taken.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// The points that were taken after the first `count` ones.
    pub fn points_from(&self, count: usize) -> impl Iterator<Item = PointRef<'_>> {
        let points = self.points.get_range(count..).into_iter().flatten();
        points.filter_map(|((n, tags), value)| {
            let series = &self.declared.all.get(*n as usize)?.name;
            Some(PointRef { series, value: *value, tags })
        })
    }

    /// What is to be kept: points in the order in which they came, and a gap for every series that has no point. Of those that
    /// the collector did not speak of, `silence` is the reason.
    pub fn close(self, silence: &str) -> (Vec<Point>, Vec<Gap>) {
        let Ledger { declared, points, mut gaps, .. } = self;
        for (n, _) in declared.all.iter().enumerate() {
            gaps.entry(u32::try_from(n).unwrap_or(u32::MAX)).or_insert_with(|| silence.to_owned());
        }
        for (n, _) in points.keys() {
            gaps.remove(n);
        }
        let points =
            points.into_iter().map(|((n, tags), value)| Point { series: declared.name(n), value, tags }).collect();
        (points, gaps.into_iter().map(|(n, reason)| Gap { series: declared.name(n), reason }).collect())
    }
}

/// Whether a tag holds no control character and no comma.
fn is_plain(tag: &str) -> bool {
    // Without an early end, so that many bytes are looked at at once.
    let is_odd = |b: u8| (b < b' ') | (b == 0x7f) | (b == b',');
    let (odd, high) = tag.bytes().fold((false, 0), |(odd, high), b| (odd | is_odd(b), high | b));
    !odd && (high < 0x80 || !tag.chars().any(char::is_control))
}

fn refusal(rule: Rule, message: String) -> Refusal {
    Refusal { rule, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SeriesSet;

    fn emit(ledger: &mut Ledger, n: u32) -> Result<(), Refusal> {
        ledger.emit("a.x", 1.0, &mut vec![format!("env:{n}")])
    }

    fn ledger_after(limits: Limits, journal: Option<Arc<dyn Journal>>) -> Ledger {
        let series: Vec<Series> = ["a.x", "a.y"]
            .into_iter()
            .map(|name| Series {
                name: name.into(),
                kind: crate::model::Kind::Gauge,
                unit: "count".into(),
                description: String::new(),
                tags: vec!["env".into()],
                only_with: None,
            })
            .collect();
        Ledger::new(Arc::new(Declared::new(series.iter())), &limits, journal)
    }

    fn ledger(limits: Limits) -> Ledger {
        ledger_after(limits, None)
    }

    #[test]
    fn a_point_that_breaks_a_rule_is_refused_and_its_series_becomes_a_gap() {
        let long = format!("env:{}", "x".repeat(300));
        let many = vec!["env:1"; 17];
        let cases: [(&str, f64, Vec<&str>, Rule, &str); 9] = [
            ("a.z", 1.0, vec![], Rule::UndeclaredSeries, "series \"a.z\" is not declared"),
            ("a.x", f64::NAN, vec![], Rule::NotFinite, "the value is NaN"),
            ("a.x", f64::INFINITY, vec![], Rule::NotFinite, "the value is inf"),
            ("a.x", 1.0, vec![&long], Rule::BadTag, "more than tag_bytes (200)"),
            ("a.x", 1.0, many, Rule::BadTag, "17 tags, more than tags (16)"),
            ("a.x", 1.0, vec!["env"], Rule::BadTag, "is not key:value"),
            ("a.x", 1.0, vec!["other:1"], Rule::BadTag, "\"other\" is not declared"),
            ("a.x", 1.0, vec!["env:a\nb"], Rule::BadTag, "control character"),
            ("a.x", 1.0, vec!["env:"], Rule::BadTag, "is empty"),
        ];
        for (series, value, mut tags, rule, says) in cases {
            let mut ledger = ledger(Limits::default());
            let refused = ledger.emit(series, value, &mut tags).unwrap_err();
            assert_eq!(refused.rule, rule);
            assert!(refused.message.contains(says), "{refused:?}");
            assert_eq!(ledger.first_refusal(), Some(&refused));
            let (points, gaps) = ledger.close("silence");
            let said = gaps.iter().filter(|gap| gap.reason.starts_with("refused: ")).count();
            assert_eq!((points.len(), gaps.len(), said), (0, 2, usize::from(series == "a.x")));
        }
    }

    #[test]
    fn the_same_series_with_the_same_tags_is_taken_once() {
        let mut ledger = ledger(Limits::default());
        assert!(ledger.emit("a.x", 1.0, &mut vec!["env:a"]).is_ok());
        assert!(ledger.emit("a.x", 2.0, &mut vec!["env:b"]).is_ok());
        assert_eq!(ledger.emit("a.x", 3.0, &mut vec!["env:a"]).unwrap_err().rule, Rule::Duplicate);
        let (points, gaps) = ledger.close("silence");
        assert_eq!(points.iter().map(|p| p.value).collect::<Vec<_>>(), [1.0, 2.0]);
        assert_eq!(gaps, [Gap { series: "a.y".into(), reason: "silence".into() }]);
    }

    #[test]
    fn points_beyond_the_limit_are_refused_and_those_before_are_kept() {
        let mut ledger = ledger(Limits { points: 2, ..Limits::default() });
        assert!(emit(&mut ledger, 1).is_ok() && emit(&mut ledger, 2).is_ok());
        assert_eq!(emit(&mut ledger, 3).unwrap_err().rule, Rule::Limit);
        assert_eq!(ledger.close("silence").0.len(), 2);
    }

    /// An hour in which `a.x` had the tags `env:0`, `env:1`, …, each in so many points.
    struct Hour {
        series: u32,
        points_of_each: usize,
    }

    impl Journal for Hour {
        fn keep(&self, _: &mut dyn Iterator<Item = PointRef<'_>>) {}

        fn points_within_hour(&self) -> usize {
            self.series as usize * self.points_of_each
        }

        fn series_within_hour(&self) -> SeriesSet {
            let mut set = SeriesSet::default();
            (0..self.series).for_each(|n| set.insert("a.x", &TagSet::new([format!("env:{n}").as_str()])));
            set
        }
    }

    #[test]
    fn series_beyond_the_budget_of_an_hour_are_refused_and_known_ones_go_on() {
        for points_of_each in [1, 4] {
            let hour = Hour { series: 3, points_of_each };
            let mut ledger = ledger_after(Limits { series: 5, ..Limits::default() }, Some(Arc::new(hour)));
            let taken: Vec<bool> = [10, 0, 1, 11, 12, 2, 13].map(|n| emit(&mut ledger, n).is_ok()).into();
            assert_eq!(taken, [true, true, true, true, false, true, false], "{points_of_each}");
            let refusal = ledger.first_refusal().unwrap();
            assert_eq!(refusal.rule, Rule::Limit);
            assert!(refusal.message.contains("the limit series (5)"), "{refusal:?}");
        }
        let mut alone = ledger(Limits { series: 2, ..Limits::default() });
        assert_eq!([0, 1, 2].map(|n| emit(&mut alone, n).is_ok()), [true, true, false]);
    }

    #[test]
    fn a_later_point_takes_a_gap_back() {
        let mut ledger = ledger(Limits::default());
        ledger.gap("a.x", "nothing\nto measure").unwrap();
        ledger.gap("a.y", &"y".repeat(1000)).unwrap();
        ledger.emit::<&str>("a.x", 0.0, &mut vec![]).unwrap();
        assert!(ledger.gap("a.z", "?").is_err());
        let (points, gaps) = ledger.close("silence");
        assert_eq!((points.len(), gaps.len(), gaps[0].reason.len()), (1, 1, REASON_CHARS_MAX));
        assert_eq!(&*gaps[0].series, "a.y");
    }
}
