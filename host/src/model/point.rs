//! Points and gaps as the host keeps them, and the outcome of a run.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Tags of a point: `key:value`, sorted, each once, in one allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagSet(Box<str>);

/// Stands between tags; no tag can contain it.
const SEPARATOR: char = '\n';

impl TagSet {
    /// The set of these tags. They hold no line break; the host refuses control characters in tags.
    pub fn new<'a>(tags: impl IntoIterator<Item = &'a str>) -> TagSet {
        let mut tags: Vec<&str> = tags.into_iter().collect();
        tags.sort_unstable();
        tags.dedup();
        TagSet::of_sorted(&tags)
    }

    /// The set of tags that are sorted and differ; one allocation.
    pub fn of_sorted<T: AsRef<str>>(tags: &[T]) -> TagSet {
        let bytes: usize = tags.iter().map(|tag| tag.as_ref().len() + 1).sum();
        let mut joined = String::with_capacity(bytes.saturating_sub(1));
        for tag in tags {
            if !joined.is_empty() {
                joined.push(SEPARATOR);
            }
            joined.push_str(tag.as_ref());
        }
        TagSet(joined.into_boxed_str())
    }

    /// The set that [`TagSet::as_joined`] gave.
    pub fn of_joined(joined: &str) -> TagSet {
        TagSet(joined.into())
    }

    /// All tags as one text, a line break between them.
    pub fn as_joined(&self) -> &str {
        &self.0
    }

    /// These tags and those of another set, given as one text.
    pub fn with(&self, joined: &str) -> TagSet {
        let (mut mine, mut theirs) =
            (self.iter().peekable(), joined.split(SEPARATOR).filter(|t| !t.is_empty()).peekable());
        let mut both = String::with_capacity(self.0.len() + 1 + joined.len());
        loop {
            let tag = match (mine.peek(), theirs.peek()) {
                (Some(a), Some(b)) => match a.cmp(b) {
                    Ordering::Less => mine.next(),
                    Ordering::Greater => theirs.next(),
                    Ordering::Equal => mine.next().and(theirs.next()),
                },
                (Some(_), None) => mine.next(),
                (None, _) => theirs.next(),
            };
            let Some(tag) = tag else { break };
            if !both.is_empty() {
                both.push(SEPARATOR);
            }
            both.push_str(tag);
        }
        TagSet(both.into_boxed_str())
    }

    /// The tags, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(SEPARATOR).filter(|tag| !tag.is_empty())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for TagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, tag) in self.iter().enumerate() {
            write!(f, "{}{tag}", if n > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl Serialize for TagSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A value of a series, without time: that is the cycle's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    pub series: Arc<str>,
    /// Finite.
    pub value: f64,
    #[serde(skip_serializing_if = "TagSet::is_empty")]
    pub tags: TagSet,
}

/// A point as it stands in a ledger.
#[derive(Clone, Copy, Debug)]
pub struct PointRef<'a> {
    pub series: &'a str,
    pub value: f64,
    pub tags: &'a TagSet,
}

impl<'a> From<&'a Point> for PointRef<'a> {
    fn from(point: &'a Point) -> PointRef<'a> {
        PointRef { series: &point.series, value: point.value, tags: &point.tags }
    }
}

/// A declared series without a value this run, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    pub series: Arc<str>,
    pub reason: String,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Ended well, with points.
    Emitted,
    /// Went wrong after it had emitted points; they are kept.
    Partial,
    /// Ended well, without a point.
    Empty,
    /// Went wrong with nothing to show.
    Fault,
}

impl Outcome {
    /// From the number of points and whether there was a fault.
    pub fn of(points: usize, is_faulted: bool) -> Outcome {
        match (points, is_faulted) {
            (0, true) => Outcome::Fault,
            (0, false) => Outcome::Empty,
            (_, true) => Outcome::Partial,
            (_, false) => Outcome::Emitted,
        }
    }

    /// The word as it stands in reports.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Emitted => "emitted",
            Outcome::Partial => "partial",
            Outcome::Empty => "empty",
            Outcome::Fault => "fault",
        }
    }

    /// Whether nothing went wrong.
    pub fn is_well(self) -> bool {
        matches!(self, Outcome::Emitted | Outcome::Empty)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_a_set() {
        let a = TagSet::new(["region:b", "env:a", "region:b"]);
        assert_eq!(a, TagSet::new(["env:a", "region:b"]));
        assert_eq!(a.iter().collect::<Vec<_>>(), ["env:a", "region:b"]);
        assert_eq!(a.to_string(), "env:a,region:b");
        let both = a.with(TagSet::new(["env:a", "a:1", "z:1"]).as_joined());
        assert_eq!(both, TagSet::new(["a:1", "env:a", "region:b", "z:1"]));
        assert_eq!((a.with(""), TagSet::default().with(a.as_joined())), (a.clone(), a.clone()));
        assert!(TagSet::new([]).is_empty() && TagSet::default().iter().next().is_none());
    }
}
