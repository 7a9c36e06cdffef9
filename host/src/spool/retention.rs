//! How long segments stay: within their bounds until every sink is through with them, and until their slot can be repeated no more.

use std::fs;

use jiff::{SignedDuration, Timestamp};

use super::segment::Segment;
use super::{DAMAGED_SUFFIX, Shared, lock, slot_of};

/// How long a slot may be repeated with the same values: a Job's retries, and a cycle that somebody starts by hand.
const REPEATABLE_FOR: SignedDuration = SignedDuration::from_hours(2);

/// Why points were given up.
const TOO_MANY: &str = "spool full";
const TOO_OLD: &str = "expired";

impl Shared {
    /// Gives up segments that are too old.
    pub(super) fn expire(&self) {
        let oldest = self.options.now.checked_sub(self.options.age_max).unwrap_or(Timestamp::MIN);
        let is_old = |name: &str| slot_of(name).is_some_and(|slot| slot < oldest);
        let old: Vec<String> = lock(&self.segments).keys().filter(|name| is_old(name)).cloned().collect();
        for name in old {
            self.give_up(&name, TOO_OLD);
        }
        for path in fs::read_dir(&self.options.folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if path.extension().is_some_and(|ending| ending == DAMAGED_SUFFIX) && is_old(&name) {
                drop(fs::remove_file(path));
            }
        }
    }

    /// Gives up the oldest segments until the rest is within the bound; never the newest.
    pub(super) fn make_room(&self) {
        loop {
            let oldest = {
                let segments = lock(&self.segments);
                let bytes: u64 = segments.values().map(|segment| segment.len()).sum();
                match segments.keys().next() {
                    Some(oldest) if segments.len() > 1 && bytes > self.options.bytes_max.0 => oldest.clone(),
                    _ => return,
                }
            };
            self.give_up(&oldest, TOO_MANY);
        }
    }

    fn give_up(&self, name: &str, reason: &str) {
        let Some(segment) = lock(&self.segments).remove(name) else { return };
        for sink in &self.options.sinks {
            let left = self.left_for(sink, name, &segment);
            self.lose(sink, reason, left);
        }
        self.remove_file(&segment);
        self.keep_positions();
    }

    pub(super) fn close(&self) {
        let repeatable = self.options.now.checked_sub(REPEATABLE_FOR).unwrap_or(Timestamp::MIN).min(self.options.slot);
        let segments = lock(&self.segments).clone();
        for (name, segment) in segments {
            let is_over = slot_of(&name).is_none_or(|slot| slot < repeatable);
            let is_settled = self.options.sinks.iter().all(|sink| self.left_for(sink, &name, &segment) == 0);
            if is_settled && is_over {
                lock(&self.segments).remove(&name);
                self.remove_file(&segment);
            }
        }
        self.keep_positions();
    }

    fn remove_file(&self, segment: &Segment) {
        let Some(path) = segment.path() else { return };
        let removed = match segment.is_damaged() {
            true => fs::rename(path, path.with_extension(DAMAGED_SUFFIX)),
            false => fs::remove_file(path),
        };
        if let Err(e) = removed {
            self.problem(format!("spool file {}: {e}", path.display()));
        }
    }
}
