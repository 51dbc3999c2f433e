//! `laneway backup` and `laneway restore`.

use super::args::{BackupArgs, RestoreArgs, StoreArgs};
use super::{Failure, config_file, output};
use crate::compose::{self, Copied, RestoreOptions};
use crate::config::{self, Overrides, Source, Store};
use indicatif::{ProgressBar, ProgressStyle};

/// Copies the store into a file, and says what is in the copy.
pub(super) async fn backup(args: BackupArgs, source: &dyn Source) -> Result<(), Failure> {
    let store = store(&args.store, source)?;
    let to = args.file.clone();
    let report = blocking(move |bar| compose::backup(&store, &to, bar)).await?;
    let (file, sound) = (args.file.display(), report.findings.is_empty());
    output::line(&format!("{file}: {} events in {} partitions", report.events, report.partitions))?;
    if sound {
        return Ok(());
    }
    let what =
        format!("{file} was made, but the store is damaged, and so is the copy:\n  {}", report.findings.join("\n  "));
    Err(Failure::new(what).advising("keep older backups"))
}

/// Puts a backup in place of the store, and says where it goes on.
pub(super) async fn restore(args: RestoreArgs, source: &dyn Source) -> Result<(), Failure> {
    let store = store(&args.store, source)?;
    let url = store.url.to_string();
    let from = args.file.clone();
    let options = RestoreOptions { replace: args.replace, keep_tokens: args.keep_tokens };
    let made = blocking(move |bar| compose::restore(&store, &from, options, bar)).await?;
    match made.backed_up_at.and_then(moment) {
        Some(at) => output::line(&format!("{url} is as it was at {at}"))?,
        None => output::line(&format!(
            "{url} is what {} was. `laneway backup` has not made that file: if it was copied while Laneway ran, its \
             last events are missing",
            args.file.display()
        ))?,
    }
    output::line(&format!("new events begin at offset {}, in every partition", made.goes_on_at))?;
    match made.revoked_tokens {
        0 => {}
        1 => output::line("the token that was made over HTTP is revoked (--keep-tokens keeps it)")?,
        many => {
            output::line(&format!("{many} tokens that were made over HTTP are revoked (--keep-tokens keeps them)"))?
        }
    }
    if let Some(replaced) = made.replaced {
        output::line(&format!("the store that was there before is now {}", replaced.display()))?;
    }
    Ok(())
}

fn moment(at: laneway_domain::Timestamp) -> Option<String> {
    let millis = i64::try_from(at.as_millis()).ok()?;
    jiff::Timestamp::from_millisecond(millis).ok().map(|time| time.to_string())
}

fn store(args: &StoreArgs, source: &dyn Source) -> Result<Store, Failure> {
    let file = config_file(args.config.clone(), source);
    let flags = Overrides { store: args.store.clone(), ..Overrides::default() };
    config::load_store(source, file.as_deref(), &flags).map_err(|error| Failure::config(&error))
}

/// Runs the work on a thread for such, with a bar that shows how far the copy has come.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&mut dyn FnMut(Copied)) -> Result<T, String> + Send + 'static,
) -> Result<T, Failure> {
    let working = tokio::task::spawn_blocking(move || {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent}% of {len} pages, {eta} to go") {
            bar.set_style(style);
        }
        let result = work(&mut |copied: Copied| {
            bar.set_length(copied.of);
            bar.set_position(copied.pages);
        });
        bar.finish_and_clear();
        result
    });
    match working.await {
        Ok(result) => result.map_err(Failure::new),
        Err(_) => Err(Failure::new("the copy was given up, because of a mistake in Laneway")),
    }
}
