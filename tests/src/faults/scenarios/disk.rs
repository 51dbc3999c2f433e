//! Disks that lose, fail, or are full, under a store in SQLite.

use crate::client::Answer;
use crate::faults::power_cut::{self, Survives};
use crate::faults::site::{Site, progress_ahead, unready};
use crate::faults::table::Row;
use crate::receiver::{Behaviour, Receiver};
use crate::server::Running;
use crate::volume::Volume;
use rand::RngExt;
use serde_json::json;
use std::fs;
use std::time::Duration;

/// Kills the server and takes the power from its files; then what `laneway check` says must be that all is sound.
fn cut(site: &mut Site, server: Running, survives: Survives) -> (power_cut::Cut, Vec<String>) {
    server.kill();
    let done = power_cut::cut(site.preload.log(), site.installation.folder(), survives, &mut site.random);
    // Shared memory is gone with the power.
    fs::remove_file(site.installation.folder().join("laneway.db-shm")).ok();
    let checked = site.installation.run(&["check"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    let mut wrong = Vec::new();
    if !checked.status.success() || !said.contains("all sound") {
        wrong.push(format!("after a power cut ({survives:?}) `laneway check` says: {}", said.trim()));
    }
    (done, wrong)
}

/// Power cuts while events flow, with an fsync before each answer.
pub(super) async fn power_cut(times: usize) -> Row {
    let mut site = Site::new("", "").await;
    let mut server = site.start().await;
    let mut load = site.load();
    let (mut wrong, mut lost, mut unsynced) = (Vec::new(), 0, 0);
    for n in 0..times {
        site.a_while(&mut load).await;
        // The worst first, then whatever the disk may have done.
        let survives = if n % 2 == 0 { Survives::Nothing } else { Survives::any(&mut site.random) };
        let (done, unsound) = cut(&mut site, server, survives);
        wrong.extend(unsound);
        lost += done.lost;
        unsynced += done.unsynced;
        wrong.extend(progress_ahead(&site).into_iter().map(|what| format!("progress is ahead: {what}")));
        server = site.start().await;
    }
    let sending = load.stop().await;
    let mut row = site.finish("power cut (SQLite)", times, server, sending).await;
    row.wrong.extend(wrong);
    row.note = format!("{lost} of {unsynced} writes that no fsync covered were lost");
    row
}

/// The control: how many acknowledged events one power cut takes when the operator has allowed it
/// (`durability = "relaxed"`). Were it none, the test above could not fail.
///
/// # Panics
/// If the store is not sound after it.
pub async fn relaxed_power_cut_losses() -> usize {
    let mut site = Site::new("durability = \"relaxed\"", "").await;
    let server = site.start().await;
    let mut load = site.load();
    load.more(300).await;
    let sending = load.stop().await;
    let (_, unsound) = cut(&mut site, server, Survives::Nothing);
    assert!(unsound.is_empty(), "{unsound:?}");
    let held: std::collections::BTreeSet<String> = site.stored().into_iter().map(|event| event.id).collect();
    sending.accepted.iter().filter(|id| !held.contains(*id)).count()
}

fn probe_id(n: usize) -> String {
    format!("probe-{n}")
}

/// An event of which only the answer matters: stored or not, both is right.
async fn probe(server: &Running, n: usize) -> Answer {
    let event = json!({"id": probe_id(n), "type": "t", "data": n});
    server.client().post("/v1/events", event.to_string()).await.expect("an answer")
}

/// An fsync fails: nothing more may be acknowledged, and the server has to say why. Then the
/// machine is switched off, with what the failed fsync did not write.
pub(super) async fn failed_fsync(times: usize) -> Row {
    let mut site = Site::new("", "").await;
    let mut server = site.start().await;
    let mut load = site.load();
    let mut wrong = Vec::new();
    for n in 0..times {
        load.more(50).await;
        let failed = site.preload.failed();
        site.preload.fail_sync(site.random.random_range(1..20));
        site.preload.until_failed(failed).await;
        let said = unready(&server.client()).await;
        if !said.contains("laneway.db") || !said.contains("check the disk") {
            wrong.push(format!("/readyz does not say what to do: {said}"));
        }
        let answer = probe(&server, n).await;
        if answer.status != 503 {
            wrong.push(format!("after a failed fsync an event was answered with {}", answer.status));
        }
        let (_, unsound) = cut(&mut site, server, Survives::Nothing);
        wrong.extend(unsound);
        wrong.extend(progress_ahead(&site).into_iter().map(|what| format!("progress is ahead: {what}")));
        server = site.start().await;
    }
    let mut sending = load.stop().await;
    sending.unclear.extend((0..times).map(probe_id));
    let mut row = site.finish("fsync fails with EIO, then power cut (SQLite)", times, server, sending).await;
    row.wrong.extend(wrong);
    row.note = "503 until the restart, with the reason".into();
    row
}

/// No space on the disk, in a quota, or in the file's own limit, for a moment: 503 with `Retry-After`, and recovery by
/// itself.
pub(super) async fn full(times: usize) -> Row {
    let mut site = Site::new("", "").await;
    let server = site.start().await;
    let mut load = site.load();
    let mut wrong = Vec::new();
    for n in 0..times {
        site.a_while(&mut load).await;
        let failed = site.preload.failed();
        site.preload.fail_writes([libc::ENOSPC, libc::EDQUOT, libc::EFBIG][n % 3]);
        site.preload.until_failed(failed).await;
        let answer = probe(&server, n).await;
        if answer.status != 503 || answer.header("retry-after").is_empty() {
            wrong.push(format!("a full disk is answered with {} {}", answer.status, answer.text()));
        }
        tokio::time::sleep(Duration::from_millis(site.random.random_range(0..500))).await;
        site.preload.fail_writes(0);
        load.more(50).await;
    }
    let mut sending = load.stop().await;
    sending.unclear.extend((0..times).map(probe_id));
    let mut row = site.finish("disk, quota or file size full for up to 0.5 s (SQLite)", times, server, sending).await;
    row.wrong.extend(wrong);
    row.note = "503 with Retry-After; goes on by itself".into();
    row
}

/// How much of the small disk is taken from the beginning: beside the reserve, the store has some MiB.
const TAKEN_MEBIBYTES: usize = 12;

/// The disk becomes full while nothing can be delivered, the server ends, and the rest of the disk is taken too. It has
/// to start all the same, deliver what waits, make room by that, and take events in again, with nobody's help.
pub(super) async fn restart_when_full(times: usize) -> Row {
    let fault = "restart on a full disk (SQLite)";
    let volume = match Volume::mount(28) {
        Ok(volume) => volume,
        Err(why) => return Row::not_done(fault, &format!("no file system can be mounted here: {why}")),
    };
    let _taken = volume.ballast(TAKEN_MEBIBYTES);
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let mut site = Site::inside(volume.path(), receiver, "retain = \"0s\"", "paused = true");
    let mut server = site.installation.start().await;
    let mut load = site.load();
    let mut wrong = Vec::new();
    for n in 0..times {
        let said = unready(&server.client()).await;
        if !said.contains("no room") {
            wrong.push(format!("/readyz of a full store says: {said}"));
        }
        if n % 2 == 0 {
            server.kill()
        } else {
            tokio::task::block_in_place(|| server.stop())
        }
        let rest = volume.fill();
        let checked = site.installation.run(&["check"]);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
        if !said.contains("full") {
            wrong.push(format!("on a full disk `laneway check` says: {}", said.trim()));
        }
        site.set_destination("");
        // That it becomes ready says that it takes events in.
        server = site.installation.start().await;
        load.more(50).await;
        fs::remove_file(rest).expect("it was written");
        if n + 1 < times {
            tokio::task::block_in_place(|| server.stop());
            site.set_destination("paused = true");
            server = site.installation.start().await;
        }
    }
    let sending = load.stop().await;
    let mut row = site.finish_trimmed(fault, times, server, sending).await;
    row.wrong.extend(wrong);
    row.note = "starts, delivers, makes room by trimming, and takes events in by itself".into();
    row
}
