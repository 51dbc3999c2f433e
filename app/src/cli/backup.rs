//! `laneway backup` and `laneway restore`.

use super::args::{BackupArgs, RestoreArgs, StoreArgs};
use super::when::moment;
use super::{Failure, config_file, output};
use crate::compose::{self, Progressed, RestoreOptions};
use crate::config::{self, Overrides, Source, Store};
use indicatif::{ProgressBar, ProgressStyle};

/// Copies the store into a file, and says what is in the copy.
pub(super) async fn backup(args: BackupArgs, source: &dyn Source) -> Result<(), Failure> {
    let store = store(&args.store, source)?;
    let bar = Bar::new();
    let report = compose::backup(&store, &args.file, bar.showing()).await;
    bar.end();
    let report = report.map_err(Failure::new)?;
    let (file, sound) = (args.file.display(), report.findings.is_empty());
    output::say(&format!("{file}: {} events in {} partitions", report.events, report.partitions))?;
    output::say("secrets of destinations that were set over HTTP are sealed in it: keep store.key too, elsewhere")?;
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
    let options = RestoreOptions { replace: args.replace, keep_tokens: args.keep_tokens, damaged: args.damaged };
    let bar = Bar::new();
    let made = compose::restore(&store, &args.file, options, bar.showing()).await;
    bar.end();
    let made = made.map_err(Failure::new)?;
    match made.backed_up_at.map(moment) {
        Some(at) => output::say(&format!("{url} is as it was at {at}"))?,
        None => output::say(&format!(
            "{url} is what {} was. `laneway backup` has not made that file: if it was copied while Laneway ran, its \
             last events are missing",
            args.file.display()
        ))?,
    }
    output::say(&format!("new events begin at offset {}, in every partition", made.goes_on_at))?;
    match made.revoked_tokens {
        0 => {}
        1 => output::say("the token that was made over HTTP is revoked (--keep-tokens keeps it)")?,
        many => output::say(&format!("{many} tokens that were made over HTTP are revoked (--keep-tokens keeps them)"))?,
    }
    if let Some(replaced) = made.replaced {
        output::say(&format!("the store that was there before is now {}", replaced.display()))?;
    }
    if let Some(log) = made.log_alone {
        output::say(&format!(
            "a write-ahead log was there without its database, and is now {}: it may hold events that nothing else has",
            log.display()
        ))?;
    }
    if !made.findings.is_empty() {
        output::say(&format!("the backup is damaged, and so is the store now:\n  {}", made.findings.join("\n  ")))?;
    }
    Ok(())
}

fn store(args: &StoreArgs, source: &dyn Source) -> Result<Store, Failure> {
    let file = config_file(args.config.clone(), source);
    let flags = Overrides { store: args.store.clone(), ..Overrides::default() };
    config::load_store(source, file.as_deref(), &flags).map_err(|error| Failure::config(&error))
}

/// Shows how far the copy has come.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        Self(ProgressBar::new(0))
    }

    fn showing(&self) -> impl FnMut(Progressed) + Send + use<> {
        let (bar, mut unit) = (self.0.clone(), "");
        move |Progressed { done, of, unit: now }| {
            if unit != now
                && let Ok(style) =
                    ProgressStyle::with_template(&format!("{{bar:30}} {{percent}}% of {{len}} {now}, {{eta}} to go"))
            {
                bar.set_style(style);
                unit = now;
            }
            bar.set_length(of);
            bar.set_position(done);
        }
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
