//! Settings of which only one has a meaning at a time. Within a layer, both are a fault, which is
//! found elsewhere; across layers, the higher one sets aside what it excludes below.

/// Each choice, with its sides, each of one key or more.
const CHOICES: &[&[&[&str]]] = &[
    &[&["remote.hosts"], &["remote.workers", "adapt.min", "adapt.max"], &["engine.url"]],
    &[&["remote.token"], &["remote.cert", "remote.key", "remote.ca"]],
    &[&["worker.token"], &["worker.cert", "worker.key", "worker.ca"]],
    &[&["engine.credentials"], &["engine.nkey"]],
];

/// The keys that a setting of `path` excludes.
pub(super) fn rivals(path: &str) -> impl Iterator<Item = &'static str> {
    let choice = CHOICES.iter().find(|sides| sides.iter().any(|side| side.contains(&path)));
    let sides = choice.into_iter().flat_map(|sides| sides.iter());
    sides.filter(move |side| !side.contains(&path)).flat_map(|side| side.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::super::key::Key;
    use super::*;

    #[test]
    fn all_that_exclude_each_other_are_keys() {
        for path in CHOICES.iter().copied().flatten().copied().flatten() {
            assert!(Key::find(path).is_some(), "{path}");
        }
        assert_eq!(rivals("remote.hosts").count(), 4);
        assert_eq!(rivals("adapt.min").collect::<Vec<_>>(), ["remote.hosts", "engine.url"]);
        assert_eq!(rivals("limits.fuel").count(), 0);
    }
}
