//! What every [`StoreExtent`] must say.

use super::Subject;
use super::fixtures::{append, event};
use crate::StoreExtent;

/// One test per check of [`crate::contract::extent`]. The subject's store must be a [`StoreExtent`].
#[macro_export]
macro_rules! extent_contract {
    ($subject:ty, #[$test:meta]) => {
        $crate::contract_tests! { extent, extent_contract, $subject, #[$test],
            the_parts_of_a_store_grow_with_its_events
        }
    };
}

const EVENTS: usize = 64;
const BYTES: usize = 64 << 10;

/// Must name each part, and grow by what it keeps.
pub async fn the_parts_of_a_store_grow_with_its_events<S: Subject>()
where
    S::Store: StoreExtent,
{
    let subject = S::create(2).await;
    let store = subject.store();
    let asked = store.extent().await;
    assert_eq!(asked.not_asked, [""; 0]);
    let before = asked.parts;
    assert!(!before.is_empty() && before.iter().all(|part| !part.name.is_empty()), "{before:?}");
    assert!(before.iter().all(|part| part.most.is_none_or(|most| most >= part.bytes)), "{before:?}");
    let mut state = 1_u64;
    for n in 0..EVENTS {
        let mut new = event(&format!("e{n}"));
        // Nothing that could be packed.
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        new.event.data = std::iter::repeat_with(next).take(BYTES).collect();
        append(store, vec![new]).await;
    }
    let after = store.extent().await.parts;
    let bytes = |parts: &[crate::StorePart]| parts.iter().map(|part| part.bytes).sum::<u64>();
    let kept = (EVENTS * BYTES) as u64;
    assert!(bytes(&after) >= bytes(&before) + kept, "{kept} bytes were kept: {before:?}, {after:?}");
}
