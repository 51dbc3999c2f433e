//! What the soak keeps between its pieces, beside the store: the ledger, the samples, and how far it has come.

use super::flat::Sample;
use super::ledger::Ledger;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What is kept in a file of this name.
const LEDGER: &str = "soak.json";
/// One sample a line.
const SAMPLES: &str = "samples.ndjson";
/// Is there while a piece runs.
const RUNNING: &str = "running";

/// What one kind of trouble has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// How often it was.
    pub times: u64,
    /// The longest that an event of that time took from its producer's first attempt to the steady destination, in
    /// milliseconds.
    pub worst: f64,
}

/// How far the soak has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// What decides the order of troubles, and much else.
    pub seed: u64,
    /// Seconds of all pieces so far.
    pub seconds: f64,
    /// How many pieces there were.
    pub pieces: u64,
    /// How often the ledger was begun anew, after a piece that was killed.
    pub epoch: u64,
    /// How often the store was restored from a backup: the number of the store.
    pub restored: u64,
    /// Which of the two Redis servers is the primary.
    pub primary: usize,
    /// How often the ledger was balanced.
    pub balanced: u64,
    /// Troubles by their names.
    pub troubles: BTreeMap<String, Cost>,
    /// The ledger.
    pub ledger: Ledger,
}

/// The folder of the soak on one store.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    /// How far it has come.
    pub progress: Progress,
}

/// What an earlier piece has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: this is the first piece.
    Nothing,
    /// All that it should.
    Everything,
    /// It was killed in the middle.
    Killed,
    /// It has found something that must not be.
    Failed,
}

/// What to do with the state of a piece that did not end as it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Nothing: say so.
    #[default]
    Refuse,
    /// Go on with the store as it is, and with a new ledger.
    GoOn,
    /// Begin anew, with an empty store.
    Fresh,
}

fn told<T>(path: &Path, result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{}: {error}", path.display()))
}

impl State {
    /// Reads the state in this folder.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(folder: &Path) -> Result<Self, String> {
        told(folder, fs::create_dir_all(folder))?;
        let folder = told(folder, folder.canonicalize())?;
        let path = folder.join(LEDGER);
        let progress = if path.exists() {
            let text = told(&path, fs::read_to_string(&path))?;
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
        } else {
            Progress::default()
        };
        Ok(Self { folder, progress })
    }

    /// The process of the piece that runs, or that was killed.
    #[must_use]
    pub fn owner(&self) -> Option<String> {
        fs::read_to_string(self.folder.join(RUNNING)).ok()
    }

    /// What the last piece has left.
    #[must_use]
    pub fn left(&self) -> Left {
        match () {
            () if self.folder.join(RUNNING).exists() => Left::Killed,
            () if self.progress.ledger.violations > 0 => Left::Failed,
            () if self.progress.pieces > 0 => Left::Everything,
            () => Left::Nothing,
        }
    }

    /// Prepares a piece: makes the state what was chosen, if the last one did not end as it should, and notes that one
    /// runs. Says what there is to say of that.
    ///
    /// # Errors
    /// If the last piece did not end as it should and nothing was chosen, or if the folder cannot be written.
    pub fn begin(&mut self, choice: Choice, seed: u64, destinations: &[&str]) -> Result<Option<String>, String> {
        let left = self.left();
        let place = self.folder.display();
        let mut said = None;
        match (choice, left) {
            (Choice::Fresh, _) => {
                told(&self.folder, fs::remove_dir_all(&self.folder))?;
                told(&self.folder, fs::create_dir_all(&self.folder))?;
                self.progress = Progress::default();
            }
            (Choice::Refuse, Left::Killed) => {
                return Err(format!(
                    "{place}: the last piece was killed in the middle. Since its last balance nobody knows what was \
                     acknowledged or delivered. --go-on goes on with the store as it is and a new ledger; --fresh \
                     begins anew"
                ));
            }
            (_, Left::Failed) => {
                let findings = self.progress.ledger.findings().join("\n  ");
                return Err(format!(
                    "{place}: the soak has failed, and its store is kept for a look:\n  {findings}\n--fresh begins anew"
                ));
            }
            (Choice::GoOn, Left::Killed) => {
                let seconds = self.progress.seconds;
                said =
                    Some(format!("the last piece was killed in the middle, after {seconds:.0} s: a new ledger begins"));
                self.progress.epoch += 1;
                self.progress.ledger = Ledger::new(destinations);
            }
            (_, Left::Nothing | Left::Everything) => {}
        }
        if self.progress.pieces == 0 && self.progress.epoch == 0 {
            self.progress = Progress { seed, epoch: 1, ledger: Ledger::new(destinations), ..Progress::default() };
        }
        self.progress.pieces += 1;
        let path = self.folder.join(RUNNING);
        told(&path, fs::write(&path, std::process::id().to_string()))?;
        self.save()?;
        Ok(said)
    }

    /// Notes that the piece has come to its end.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn end(&self) -> Result<(), String> {
        self.save()?;
        let path = self.folder.join(RUNNING);
        told(&path, fs::remove_file(&path))
    }

    /// Saves how far the soak has come; the file is always whole.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self) -> Result<(), String> {
        let (path, new) = (self.folder.join(LEDGER), self.folder.join("soak.json.new"));
        let text = serde_json::to_string(&self.progress).map_err(|error| error.to_string())?;
        told(&new, fs::write(&new, text))?;
        told(&path, fs::rename(&new, &path))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where samples are added.
    #[must_use]
    pub fn samples_path(&self) -> PathBuf {
        self.folder.join(SAMPLES)
    }

    /// All samples so far. A last line that a killed piece did not finish is left out.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn samples(&self) -> Result<Vec<Sample>, String> {
        let path = self.samples_path();
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = told(&path, fs::read_to_string(&path))?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

/// Adds a sample to the file.
///
/// # Errors
/// If it cannot be written.
pub fn add_sample(path: &Path, sample: &Sample) -> Result<(), String> {
    let line = serde_json::to_string(sample).map_err(|error| error.to_string())?;
    let mut file = told(path, OpenOptions::new().create(true).append(true).open(path))?;
    told(path, writeln!(file, "{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESTINATIONS: [&str; 1] = ["steady"];

    fn begun(folder: &Path, choice: Choice) -> Result<State, String> {
        let mut state = State::read(folder)?;
        state.begin(choice, 7, &DESTINATIONS).map(|_| state)
    }

    #[test]
    fn a_piece_goes_on_where_the_last_one_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = begun(folder.path(), Choice::Refuse).unwrap();
        state.progress.ledger.acknowledge("k", 1);
        state.progress.seconds = 10.0;
        state.end().unwrap();
        let state = begun(folder.path(), Choice::Refuse).unwrap();
        let progress = &state.progress;
        assert_eq!((progress.pieces, progress.seed, progress.ledger.last_acknowledged("k")), (2, 7, 1));
    }

    #[test]
    fn a_piece_that_was_killed_is_noticed_and_nothing_goes_on_silently() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = begun(folder.path(), Choice::Refuse).unwrap();
        state.progress.ledger.acknowledge("k", 1);
        state.save().unwrap();
        assert!(begun(folder.path(), Choice::Refuse).unwrap_err().contains("was killed in the middle"));
        let state = begun(folder.path(), Choice::GoOn).unwrap();
        assert_eq!((state.progress.epoch, state.progress.ledger.total()), (2, 0));
        // And also that one can be killed.
        assert!(begun(folder.path(), Choice::Refuse).is_err());
        let state = begun(folder.path(), Choice::Fresh).unwrap();
        assert_eq!((state.progress.epoch, state.progress.pieces), (1, 1));
    }

    #[test]
    fn a_soak_that_has_failed_does_not_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = begun(folder.path(), Choice::Refuse).unwrap();
        state.progress.ledger.violation("an event is lost".to_owned());
        state.end().unwrap();
        for choice in [Choice::Refuse, Choice::GoOn] {
            assert!(begun(folder.path(), choice).unwrap_err().contains("an event is lost"));
        }
        begun(folder.path(), Choice::Fresh).unwrap();
    }

    #[test]
    fn a_sample_that_is_not_whole_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let state = begun(folder.path(), Choice::Refuse).unwrap();
        add_sample(&state.samples_path(), &Sample { at: 10.0, ..Sample::default() }).unwrap();
        let mut file = OpenOptions::new().append(true).open(state.samples_path()).unwrap();
        file.write_all(b"{\"at\":20.").unwrap();
        assert_eq!(state.samples().unwrap().len(), 1);
    }
}
