//! Settings of Redis that are taken as they are, but that an operator should know of.

use super::settings::Known;
use std::collections::BTreeMap;

/// What to know, each once with all the servers of which it is true.
#[derive(Debug, Default)]
pub(super) struct Warnings(BTreeMap<&'static str, Vec<String>>);

/// A power cut can tear a transaction in the AOF; all that functions write are transactions. Every
/// version is taken to have this fault: Redis 7.0.15 was seen to (docs/RELIABILITY.md), and of none
/// it is known here in which release it was mended (in Valkey's source: valkey-io/valkey#4342).
const TORN_AOF: &str = "aof-load-truncated = yes: after a power cut in the middle of a write, Redis may load an AOF that \
    ends within a transaction and lose acknowledged events at the restart after that; set aof-load-truncated no, so that \
    it refuses such a file, and then run redis-check-aof --fix on it, which loses nothing that was acknowledged";

const FULL_COVERAGE: &str = "cluster-require-full-coverage = yes: while one node is down and not replaced, the whole \
    Cluster refuses everything; set cluster-require-full-coverage no on every node, so that only the partitions in that \
    node's slots wait";

impl Warnings {
    /// Looks at the settings of the server called `name`.
    pub(super) fn look_at(&mut self, known: &Known, is_cluster: bool, name: &str) {
        let is_on = |setting: &str| known.get(setting).is_some_and(|value| value == "yes");
        if is_on("aof-load-truncated") {
            self.0.entry(TORN_AOF).or_default().push(name.to_owned());
        }
        if is_cluster && is_on("cluster-require-full-coverage") {
            self.0.entry(FULL_COVERAGE).or_default().push(name.to_owned());
        }
    }

    /// For people, one line each.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.0.into_iter().map(|(what, servers)| format!("{} has {what}", servers.join(", "))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(settings: &[(&str, &str)], is_cluster: bool) -> Vec<String> {
        let known = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut warnings = Warnings::default();
        warnings.look_at(&known, is_cluster, "Redis at a");
        warnings.look_at(&known, is_cluster, "Redis at b");
        warnings.into_lines()
    }

    #[test]
    fn each_setting_is_told_of_once_with_its_fix() {
        let torn = lines(&[("aof-load-truncated", "yes"), ("cluster-require-full-coverage", "yes")], false);
        assert_eq!(torn.len(), 1, "{torn:?}");
        assert!(torn[0].starts_with("Redis at a, Redis at b has aof-load-truncated = yes"), "{torn:?}");
        assert!(torn[0].contains("aof-load-truncated no") && torn[0].contains("redis-check-aof --fix"), "{torn:?}");
        let covered = lines(&[("aof-load-truncated", "no"), ("cluster-require-full-coverage", "yes")], true);
        assert_eq!(covered.len(), 1, "{covered:?}");
        assert!(covered[0].contains("set cluster-require-full-coverage no"), "{covered:?}");
        assert!(lines(&[("cluster-require-full-coverage", "no")], true).is_empty());
        assert!(lines(&[], true).is_empty());
    }
}
