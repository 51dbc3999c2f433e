//! Signatures: what is ours and what is not.

use super::*;
use crate::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_compact::{KeyPair, Seed};
use proptest::prelude::*;
use std::time::Duration;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// The vector that the Standard Webhooks libraries share.
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIME: &str = "1614265330";
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_000);

fn verified(secrets: &[&str], signature: &str, body: &[u8]) -> Result<(), NotVerified> {
    let given = [("webhook-id", ID), ("webhook-timestamp", TIME), ("webhook-signature", signature)];
    Verifier::new(secrets).unwrap().verify(headers(&given), body, NOW)
}

#[test]
fn the_vector_of_the_reference_libraries_holds() {
    assert_eq!(verified(&[SECRET], SIGNATURE, BODY), Ok(()));
    assert_eq!(verified(&[OTHER, SECRET], SIGNATURE, BODY), Ok(()), "during a rotation here");
    assert_eq!(verified(&[SECRET], &format!("v1,AAAA v2,x {SIGNATURE}"), BODY), Ok(()), "during one there");
    assert_eq!(verified(&[SECRET.trim_end_matches('=')], SIGNATURE, BODY), Ok(()));
}

#[test]
fn nothing_else_is_ours() {
    assert_eq!(verified(&[OTHER], SIGNATURE, BODY), Err(NotVerified::Signature));
    assert_eq!(verified(&[SECRET], SIGNATURE, b"{}"), Err(NotVerified::Signature));
    let bare = &SIGNATURE[3..];
    let cut = &SIGNATURE[..SIGNATURE.len() - 4];
    for bad in
        ["", " ", "v1,", "v1", bare, cut, "v1,!!", &format!("v1a,{bare}"), &format!("v2,{bare}"), &format!("V1,{bare}")]
    {
        assert_eq!(verified(&[SECRET], bad, BODY), Err(NotVerified::Signature), "{bad:?}");
    }
}

#[test]
fn only_so_many_signatures_are_looked_at() {
    let after = |count: usize| format!("{}{SIGNATURE}", "v1,AAAA ".repeat(count));
    assert_eq!(verified(&[SECRET], &after(MAX_SIGNATURES - 1), BODY), Ok(()));
    assert_eq!(verified(&[SECRET], &after(MAX_SIGNATURES), BODY), Err(NotVerified::Signature));
}

#[test]
fn an_ed25519_signature_is_verified_by_the_public_key() {
    let pair = KeyPair::from_seed(Seed::new([7; 32]));
    let message = [ID.as_bytes(), b".", TIME.as_bytes(), b".", BODY].concat();
    let signature = format!("v1a,{}", STANDARD.encode(*pair.sk.sign(&message, None)));
    let public = format!("whpk_{}", STANDARD.encode(*pair.pk));
    assert_eq!(verified(&[&public], &signature, BODY), Ok(()));
    assert_eq!(verified(&[SECRET, &public], &format!("{SIGNATURE} {signature}"), b"{}"), Err(NotVerified::Signature));
    assert_eq!(verified(&[&public], &signature.replace("v1a,", "v1,"), BODY), Err(NotVerified::Signature));
    let stranger = format!("whpk_{}", STANDARD.encode(*KeyPair::from_seed(Seed::new([8; 32])).pk));
    assert_eq!(verified(&[&stranger], &signature, BODY), Err(NotVerified::Signature));
}

#[test]
fn what_is_old_or_of_the_future_is_refused() {
    let verifier = Verifier::new([SECRET]).unwrap().with_tolerance(Duration::from_secs(60));
    let given = [("webhook-id", ID), ("webhook-timestamp", TIME), ("webhook-signature", SIGNATURE)];
    let at = |millis: i64| {
        let now = Timestamp::from_millis(NOW.as_millis().checked_add_signed(millis).unwrap());
        verifier.verify(headers(&given), BODY, now)
    };
    // The header cuts parts of a second off: signed at 330.999 it says 330.
    for good in [-60_000, -1, 0, 60_000, 60_999] {
        assert_eq!(at(good), Ok(()), "{good}");
    }
    assert_eq!(at(61_000), Err(NotVerified::TooOld));
    assert_eq!(at(-60_001), Err(NotVerified::InTheFuture));
}

#[test]
fn a_header_that_is_missing_or_nonsense_is_named() {
    let all = [("webhook-id", ID), ("webhook-timestamp", TIME), ("webhook-signature", SIGNATURE)];
    let verifier = Verifier::new([SECRET]).unwrap();
    for (missing, (name, _)) in all.iter().enumerate() {
        let some: Vec<_> = all.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, pair)| *pair).collect();
        assert_eq!(verifier.verify(headers(&some), BODY, NOW), Err(NotVerified::Missing(name)));
    }
    for bad in ["", "+1614265330", "-1", "1614265330.0", " 1614265330", "18446744073709551615", "99999999999999999999"]
    {
        let given = all.map(|(name, value)| (name, if name == "webhook-timestamp" { bad } else { value }));
        assert_eq!(verifier.verify(headers(&given), BODY, NOW), Err(NotVerified::Timestamp), "{bad:?}");
    }
    // "a.1" at 2 over "x" would be signed by what signed "a" at 1 over "2.x".
    let given = all.map(|(name, value)| (name, if name == "webhook-id" { "a.1" } else { value }));
    assert_eq!(verifier.verify(headers(&given), BODY, NOW), Err(NotVerified::Id));
}

#[test]
fn a_wrong_secret_is_named_by_its_number_and_not_shown() {
    let short = format!("whsec_{}", STANDARD.encode([1; 23]));
    let long = format!("whsec_{}", STANDARD.encode([1; 65]));
    let not_a_key = format!("whpk_{}", STANDARD.encode([1; 31]));
    for bad in ["", "hunter2", "whsec_", "whsec_!!", "whsk_AAAA", "whpk_!!", &short, &long, &not_a_key] {
        let error = Verifier::new([SECRET, bad]).unwrap_err();
        assert!(matches!(error, InvalidSecret::Wrong { number: 2, .. }), "{error}");
        assert!(bad.len() < 7 || !error.to_string().contains(bad), "{error}");
    }
    assert_eq!(Verifier::new([] as [&str; 0]).unwrap_err(), InvalidSecret::None);
    assert_eq!(Verifier::new([SECRET; MAX_SECRETS + 1]).unwrap_err(), InvalidSecret::TooMany(MAX_SECRETS + 1));
    let shown = format!("{:?}", Verifier::new([SECRET]).unwrap());
    assert!(!shown.contains("MfKQ"), "{shown}");
}

proptest! {
    #[test]
    fn no_input_panics_and_none_is_ours_by_chance(
        id in ".{0,20}", time in "[0-9]{0,22}|.{0,9}", signature in ".{0,80}|(v1a?,[A-Za-z0-9+/=]{0,90} ?){0,3}",
        body: Vec<u8>, now: u64,
    ) {
        let public = format!("whpk_{}", STANDARD.encode([9; 32]));
        let verifier = Verifier::new([SECRET, &public]).unwrap();
        let given = [("webhook-id", &*id), ("webhook-timestamp", &*time), ("webhook-signature", &*signature)];
        prop_assert!(verifier.verify(headers(&given), &body, Timestamp::from_millis(now)).is_err());
    }
}
