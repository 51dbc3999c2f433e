//! `laneway completions` and `laneway man`: made from the definition of the command line, so that they are never old.

use super::args::{Cli, EXIT_STATUS};
use super::{Failure, output};
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::roff::{Roff, roman};
use std::path::Path;

/// Writes a shell's completions to standard output.
pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "laneway", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

/// Writes the manual page of `laneway` to standard output, or those of all commands into a folder.
pub(super) fn pages(folder: Option<&Path>) -> Result<(), Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = folder else { return output::print(&page(&command, "laneway")?) };
    let failed = |e: std::io::Error| Failure::new(format!("{} cannot be written to: {e}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut open = vec![("laneway".to_owned(), command)];
    while let Some((name, command)) = open.pop() {
        std::fs::write(folder.join(format!("{name}.1")), page(&command, &name)?).map_err(failed)?;
        let below = command.get_subcommands().filter(|below| !below.is_hide_set());
        open.extend(below.map(|below| (format!("{name}-{}", below.get_name()), below.clone())));
    }
    Ok(())
}

fn page(command: &clap::Command, name: &str) -> Result<String, Failure> {
    let man = clap_mangen::Man::new(command.clone()).title(name).section("1").manual("Laneway");
    let mut written = Vec::new();
    let rendered = man.render(&mut written).and_then(|()| exit_status().to_writer(&mut written));
    rendered.map_err(|e| Failure::new(format!("the manual page cannot be made: {e}")))?;
    Ok(String::from_utf8_lossy(&written).into_owned())
}

fn exit_status() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_STATUS {
        roff.control("TP", []);
        roff.text([roman(code.to_string())]);
        roff.text([roman(*meaning)]);
    }
    roff
}
