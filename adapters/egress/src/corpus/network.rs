//! A network of a test's own, in which every address leads to this machine. So a test sees what would
//! be connected to, and nothing leaves.

use std::io::Write as _;
use std::process::Command;

/// Set where every address leads to this machine.
const INSIDE: &str = "LANEWAY_TEST_EVERY_ADDRESS_IS_HERE";
/// A network without a way out, in which every address is local, and whose names a test answers for.
const EVERYWHERE: &str = "ip link set lo up && ip route add local 0.0.0.0/0 dev lo && \
                          ip -6 route add local ::/0 dev lo && \
                          names=$(mktemp) && echo 'nameserver 127.0.0.1' > \"$names\" && \
                          mount --bind \"$names\" /etc/resolv.conf && rm \"$names\" && exec \"$0\" \"$@\"";

/// Whether the test named `name` (with its modules) runs in such a network. If not, this runs it there, in
/// a process of its own, and says `false`; where that is not possible the test says that it is skipped.
///
/// # Panics
/// If the test fails there.
#[must_use]
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
pub fn is_here(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let test = std::env::current_exe().expect("the test's own binary");
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", EVERYWHERE]).arg(test).args([name, "--exact", "--nocapture"]);
    match command.env(INSIDE, "1").output() {
        Ok(output) if output.stdout.starts_with(b"\nrunning") => {
            let [said, complained] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
            assert!(output.status.success(), "{said}{complained}");
            assert!(said.contains("1 passed"), "there is no test {name}: {said}");
            print!("{said}");
        }
        Ok(output) => skipped(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => skipped(&error.to_string()),
    }
    false
}

/// Says so where `tests/run` looks.
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
fn skipped(why: &str) {
    let what = format!("the egress guard: a network of its own takes root, iproute2 and util-linux: {}", why.trim());
    println!("SKIPPED: {what}");
    let Some(path) = std::env::var_os("LANEWAY_TEST_SKIPPED") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| writeln!(file, "{}", what.replace('\n', " "))).expect("the skipped test can be noted");
}
