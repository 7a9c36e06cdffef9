//! Which collectors come after which; a circle among them can never begin.

use std::collections::BTreeMap;

use crate::model::Name;

/// Collectors that wait for each other in a circle, the first one twice: `a after c after b after a`. None where there is
/// no circle. Names that are not keys are not waited for.
pub(super) fn circle(after: &BTreeMap<Name, Vec<Name>>) -> Option<Vec<Name>> {
    // Take away, again and again, whatever waits for nobody that is left; what stays waits in a circle, or for one.
    let mut left: BTreeMap<&Name, Vec<&Name>> =
        after.iter().map(|(name, all)| (name, all.iter().filter(|a| after.contains_key(*a)).collect())).collect();
    loop {
        let free: Vec<&Name> = left.iter().filter(|(_, all)| all.is_empty()).map(|(name, _)| *name).collect();
        if free.is_empty() {
            break;
        }
        left.retain(|name, _| !free.contains(name));
        left.values_mut().for_each(|all| all.retain(|name| !free.contains(name)));
    }
    // Everything that is left waits for something that is left, so this walk comes back to where it has been.
    let mut walk: Vec<&Name> = vec![left.keys().next()?];
    while let Some(next) = walk.last().and_then(|last| left.get(last)?.first()) {
        if let Some(start) = walk.iter().position(|name| name == next) {
            walk.push(next);
            return Some(walk.into_iter().skip(start).cloned().collect());
        }
        walk.push(next);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circle_of(edges: &[(&str, &[&str])]) -> Option<String> {
        let name = |text: &str| Name::new(text).unwrap();
        let after = edges.iter().map(|(n, all)| (name(n), all.iter().map(|a| name(a)).collect())).collect();
        circle(&after).map(|circle| circle.iter().map(Name::as_str).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn edges_that_go_forward_are_no_circle() {
        assert_eq!(circle_of(&[("a", &[]), ("b", &["a"]), ("c", &["a", "b", "gone"])]), None);
    }

    #[test]
    fn a_circle_is_named_without_those_that_only_wait_for_it() {
        let circle = circle_of(&[("a0", &["b"]), ("b", &["d"]), ("c", &["b"]), ("d", &["c"])]);
        assert_eq!(circle.as_deref(), Some("b d c b"));
        assert_eq!(circle_of(&[("a", &["a"])]).as_deref(), Some("a a"));
    }
}
