//! A hash map for look-ups by key. It cannot be iterated, so its order cannot leak into decisions.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, Hasher};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Look-ups only; hashes with a seed of the shell's, so that producers cannot choose keys that
/// collide.
#[derive(Debug)]
#[allow(clippy::disallowed_types)]
pub(crate) struct KeyMap<K, V>(std::collections::HashMap<K, V, Seed>);

impl<K: Hash + Eq, V> KeyMap<K, V> {
    #[allow(clippy::disallowed_types)]
    pub(crate) fn new(seed: u64) -> Self {
        Self(std::collections::HashMap::with_hasher(Seed(seed)))
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    pub(crate) fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key)
    }

    pub(crate) fn get_or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        self.0.entry(key).or_insert_with(value)
    }

    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.remove(key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks at each entry, in no order: for what holds of every one, not for a decision.
    pub(crate) fn for_each(&self, mut look: impl FnMut(&K, &V)) {
        for (key, value) in &self.0 {
            look(key, value);
        }
    }
}

#[derive(Clone, Debug)]
struct Seed(u64);

impl BuildHasher for Seed {
    type Hasher = State;
    fn build_hasher(&self) -> State {
        State(self.0)
    }
}

/// Chains XXH3-64 over what is written.
struct State(u64);

impl Hasher for State {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u8(&mut self, n: u8) {
        self.0 = self.0.rotate_left(8) ^ u64::from(n);
    }

    fn write_isize(&mut self, n: isize) {
        self.0 = self.0.rotate_left(8) ^ n.cast_unsigned() as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_was_put_in_is_there_until_it_is_taken_out() {
        let mut map = KeyMap::new(7);
        assert!(map.is_empty());
        *map.get_or_insert_with("a", || 1) += 1;
        assert_eq!((map.get("a"), map.get("b"), map.is_empty()), (Some(&2), None, false));
        assert_eq!((map.remove("a"), map.is_empty()), (Some(2), true));
    }

    /// Whatever the seed is: a map in which everything meets is slow.
    #[test]
    fn what_differs_has_different_hashes() {
        for seed in [0, 1, u64::MAX] {
            let of = |write: &dyn Fn(&mut State)| {
                let mut state = Seed(seed).build_hasher();
                write(&mut state);
                state.finish()
            };
            let bytes: BTreeSet<u64> = (0..=u8::MAX).map(|n| of(&|state| state.write(&[n, 1]))).collect();
            let numbers: BTreeSet<u64> = (0..=u8::MAX).map(|n| of(&|state| state.write_u8(n))).collect();
            let kinds: BTreeSet<u64> = (0..256).map(|n| of(&|state| state.write_isize(n))).collect();
            assert_eq!((bytes.len(), numbers.len(), kinds.len()), (256, 256, 256), "with the seed {seed}");
        }
        assert_ne!(Seed(1).hash_one("a"), Seed(2).hash_one("a"), "nobody outside can tell what meets");
    }
}
