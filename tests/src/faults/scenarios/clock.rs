//! A wall clock that jumps.

use crate::faults::site::Site;
use crate::faults::table::Row;

const HOUR: i64 = 3600;

/// An hour forward, an hour back, and back to the truth, while the process runs.
pub(super) async fn moved(times: usize) -> Row {
    let mut site = Site::new("", "").await;
    let server = site.start().await;
    let mut load = site.load();
    for hours in [1, -1, 0].into_iter().cycle().take(times) {
        site.a_while(&mut load).await;
        site.preload.move_clock(hours * HOUR);
        load.more(100).await;
    }
    let sending = load.stop().await;
    let jumped = accepted_over(&site) >= HOUR;
    let mut row = site.finish("wall clock moved by ±1 h while `laneway` runs", times, server, sending).await;
    if !jumped {
        row.wrong.push("the server's clock did not move: nothing was tested".into());
    }
    row.note = "1 h ahead, 1 h behind, right again, in turn".into();
    row
}

/// Over how many seconds, by the server's clock, the events came in.
fn accepted_over(site: &Site) -> i64 {
    let database = rusqlite::Connection::open(site.installation.database()).expect("the store opens");
    let millis = "SELECT max(accepted_at) - min(accepted_at) FROM events";
    database.query_row(millis, [], |row| row.get::<_, i64>(0)).expect("there are events") / 1000
}
