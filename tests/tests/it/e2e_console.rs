//! The console, as somebody uses it: the real binary, looked at by a real Chromium. What is done there, and what has to
//! hold for every page, is in `tests/python/console`.

use laneway_tests::effort;
use laneway_tests::python::{self, Python};
use laneway_tests::server::binary;
use std::process::{Command, Stdio};

/// Does one of the things that `tests/python/console` can do.
fn run(what: &str) {
    for needed in ["chromium", "chromedriver", "npm"] {
        let found = Command::new(needed).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if found.is_err() {
            return effort::skipped(&format!("the console's {what}: there is no {needed}"));
        }
    }
    let python = match Python::with("console.txt") {
        Ok(python) => python,
        Err(why) => return effort::skipped(&format!("the console's {what}: {why}")),
    };
    let binary = binary().canonicalize().expect("the binary is there");
    let output = Command::new(python.program("python"))
        .arg("-B")
        .arg(python::folder().join("console"))
        .arg(what)
        .env("LANEWAY_BIN", binary)
        .stdin(Stdio::null())
        .output()
        .expect("Python can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}\n{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// A test for each of them, so that each is seen to pass.
macro_rules! each {
    ($($what:ident,)*) => {
        const ALL: &[&str] = &[$(stringify!($what)),*];
        $(
            #[test]
            fn $what() {
                run(stringify!($what));
            }
        )*
    };
}

each! {
    from_nothing_to_a_first_delivery,
    the_same_without_a_script,
    a_blocked_key_is_found_and_mended,
    a_held_key_is_skipped,
    a_dead_letter_is_recovered_with_its_successors,
    dead_letters_are_chosen_counted_retried_and_discarded,
    a_destination_lives_and_dies,
    events_are_replayed,
    what_is_shown_is_kept_up_to_date,
    each_role_sees_what_it_may_do,
    a_session_ends_with_its_token,
    a_token_is_made_used_and_revoked,
    nothing_from_outside_does_harm,
    no_form_is_too_odd,
    everyone_can_use_every_page,
    two_tenants_see_only_their_own,
    two_tenants_come_by_links,
}

/// What is written there and nobody runs shows nothing.
#[test]
fn everything_that_is_written_is_run() {
    for file in ["journeys.py", "pages.py", "tenants.py"] {
        let text = std::fs::read_to_string(python::folder().join("console").join(file)).expect("it is there");
        let listed = text.split("\nALL = (").nth(1).expect("it lists what there is");
        for name in listed.lines().map(|line| line.trim().trim_end_matches(',')) {
            assert!(name.is_empty() || name == ")" || ALL.contains(&name), "{file}: {name} is not run");
        }
    }
}
