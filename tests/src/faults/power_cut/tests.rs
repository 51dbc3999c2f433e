use super::*;
use crate::faults::preload::Preload;
use rand::SeedableRng;
use std::process::Command;

/// What `dd` does to `data` under the library, and what a power cut leaves.
fn after(commands: &str, survives: Survives, seed: u64) -> (Vec<u8>, Cut) {
    let folder = tempfile::tempdir().unwrap();
    let preload = Preload::new(folder.path(), "data");
    let done = Command::new("sh").args(["-ec", commands]).current_dir(folder.path()).envs(preload.variables()).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let cut = cut(preload.log(), folder.path(), survives, &mut StdRng::seed_from_u64(seed));
    (fs::read(folder.path().join("data")).unwrap(), cut)
}

const SYNCED: &str = "printf synced | dd of=data conv=notrunc,fdatasync\n";
const OVERWRITTEN: &str = "printf XX | dd of=data conv=notrunc\nprintf YYYYYYYY | dd of=data conv=notrunc\n";

#[test]
fn what_was_not_synced_is_undone() {
    let (left, cut) = after(&format!("{SYNCED}{OVERWRITTEN}"), Survives::Nothing, 1);
    assert_eq!((left.as_slice(), cut), (&b"synced"[..], Cut { unsynced: 2, lost: 2 }));
}

#[test]
fn what_was_synced_stays() {
    let sync = "dd if=/dev/null of=data conv=notrunc,fsync\n";
    let (left, cut) = after(&format!("{SYNCED}{OVERWRITTEN}{sync}"), Survives::Nothing, 1);
    assert_eq!((left.as_slice(), cut), (&b"YYYYYYYY"[..], Cut::default()));
}

#[test]
fn a_truncation_that_was_not_synced_is_undone() {
    let (left, _) = after(&format!("{SYNCED}dd if=/dev/null of=data\n"), Survives::Nothing, 1);
    assert_eq!(left, b"synced");
    let (left, _) = after(&format!("{SYNCED}printf b | dd of=data\n"), Survives::Nothing, 1);
    assert_eq!(left, b"synced");
}

#[test]
fn a_failed_fsync_covers_nothing_and_neither_does_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let preload = Preload::new(folder.path(), "data");
    preload.fail_sync(1);
    let commands = "printf lost | dd of=data conv=notrunc,fsync && exit 1; dd if=/dev/null of=data conv=notrunc,fsync";
    let done = Command::new("sh").args(["-c", commands]).current_dir(folder.path()).envs(preload.variables()).output();
    assert!(done.unwrap().status.success());
    assert_eq!((preload.failed(), preload.syncs()), (1, 1));
    cut(preload.log(), folder.path(), Survives::Nothing, &mut StdRng::seed_from_u64(1));
    assert_eq!(fs::read(folder.path().join("data")).unwrap(), b"");
}

#[test]
fn a_file_that_gets_a_removed_ones_number_keeps_what_it_has() {
    let replaced = "printf late | dd of=data conv=notrunc; unlink data; env -u LD_PRELOAD sh -c 'printf new >data'\n";
    let (left, _) = after(&format!("{SYNCED}{replaced}"), Survives::Nothing, 1);
    assert_eq!(left, b"new");
}

#[test]
fn a_torn_write_ends_at_a_sector() {
    let commands = "head -c 2048 /dev/zero | tr '\\0' a | dd of=data conv=notrunc,fsync bs=2048 iflag=fullblock\n\
                    head -c 2048 /dev/zero | tr '\\0' b | dd of=data conv=notrunc bs=2048 iflag=fullblock\n";
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let survives = if seed % 2 == 0 { Survives::Beginning } else { Survives::Sectors };
        let (left, _) = after(commands, survives, seed);
        assert_eq!(left.len(), 2048);
        let sectors: Vec<&[u8]> = left.chunks(512).collect();
        assert!(sectors.iter().all(|sector| sector.iter().all(|byte| byte == &sector[0])), "torn within a sector");
        seen.insert(sectors.iter().map(|sector| sector[0]).collect::<Vec<u8>>());
    }
    assert!(seen.len() > 4, "always the same: {seen:?}");
}
