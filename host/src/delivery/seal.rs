//! Time and tags of a point: the slot, the plan's tags, the collector's.

use std::sync::Arc;

use jiff::Timestamp;

use crate::model::{Kind, Manifest, Name, Point, Sample, TagSet};

/// Makes samples of points: what all points of a cycle have in common.
#[derive(Clone, Debug)]
pub struct Seal {
    pub slot: Timestamp,
    /// The plan's tags, `key:value`.
    pub tags: Vec<String>,
}

impl Seal {
    /// The samples of a collector's points.
    pub fn points(&self, collector: &Name, manifest: &Manifest, tags: &[String], points: &[Point]) -> Vec<Sample> {
        // The tag by which people have always told collectors apart: `source:health-fom-collector`.
        let source = format!("source:{}-collector", collector.as_str().replace('_', "-"));
        let series = |name: &str| manifest.series.iter().find(|series| series.name == name);
        let sample = |point: &Point| {
            let declared = series(&point.series);
            let own = point.tags.iter().chain(tags.iter().map(String::as_str));
            self.sample(
                point.series.clone(),
                declared.map_or(Kind::Gauge, |series| series.kind),
                declared.map_or("", |series| series.unit.as_str()).into(),
                point.value,
                own.chain([source.as_str()]),
            )
        };
        points.iter().map(sample).collect()
    }

    /// One sample with the plan's tags and these.
    pub fn sample<'a>(
        &'a self,
        series: Arc<str>,
        kind: Kind,
        unit: Arc<str>,
        value: f64,
        tags: impl Iterator<Item = &'a str>,
    ) -> Sample {
        let tags = TagSet::new(self.tags.iter().map(String::as_str).chain(tags));
        Sample { series, kind, unit, value, tags, time: self.slot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_gets_the_slot_and_everybodys_tags() {
        let manifest = "name='health_fom'\nversion='1'\ncontract='0.1.0'\n[[series]]\nname='a.b'\nkind='count'\nunit='run'\ndescription=''";
        let manifest = Manifest::parse(manifest).unwrap();
        let slot: Timestamp = "2025-10-24T12:00:00Z".parse().unwrap();
        let seal = Seal { slot, tags: vec!["env:prod".into()] };
        let point = Point { series: "a.b".into(), value: 2.0, tags: TagSet::new(["x:1"]) };
        let samples = seal.points(&manifest.name, &manifest, &["team:infra".into()], &[point]);
        assert_eq!(samples.len(), 1);
        assert_eq!((samples[0].kind, &*samples[0].unit, samples[0].time), (Kind::Count, "run", slot));
        assert_eq!(samples[0].tags.to_string(), "env:prod,source:health-fom-collector,team:infra,x:1");
    }
}
