//! A destination's settings in an editor: `laneway destinations edit`, with editors that are scripts.

use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Running, Settings, binary, webhook};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const NAME: &str = "billing";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a command has said, and whether it succeeded.
struct Said {
    out: String,
    err: String,
    good: bool,
}

/// A server with a destination that has secrets, and a folder for editors and what they edit.
struct Desk {
    installation: Installation,
    folder: PathBuf,
    server: Running,
}

impl Desk {
    async fn new(url: &str) -> Self {
        let installation = Installation::new(&Settings::destinations(&[webhook("own", url, "")]));
        let server = installation.start().await;
        let lines = format!("types = ['x']\nbearer = 'a-bearer-token'\nsecrets = ['{SECRET}']");
        fs::write(installation.folder().join("made.toml"), webhook(NAME, &format!("{url}/a-path"), &lines)).unwrap();
        assert!(installation.run(&["destinations", "apply", "made.toml"]).status.success());
        let folder = installation.folder().join("desk");
        fs::create_dir(&folder).unwrap();
        Self { installation, folder, server }
    }

    /// Edits with a script of the shell: `$1` is the file, `$n` says for the how manieth time it is called. What it
    /// found stands in `seen-$n` afterwards.
    fn edit(&self, script: &str) -> Said {
        let (editor, calls) = (self.folder.join("editor"), self.folder.join("calls"));
        let _ = fs::remove_file(&calls);
        let (desk, calls) = (self.folder.display(), calls.display());
        let begin =
            format!("set -e\nshift\necho >> '{calls}'\nn=$(wc -l < '{calls}' | tr -d ' ')\ncp \"$1\" '{desk}'/seen-$n");
        fs::write(&editor, format!("#!/bin/sh\n{begin}\n{script}\n")).unwrap();
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
        // VISUAL goes first, and may have arguments.
        let visual = format!("'{}' --wait", editor.display());
        self.run(NAME, &[("VISUAL", &visual), ("EDITOR", "false")])
    }

    fn run(&self, name: &str, variables: &[(&str, &str)]) -> Said {
        let (temporary, laneway) = (self.folder.to_string_lossy(), binary().to_string_lossy().into_owned());
        let ours = [("TMPDIR", &*temporary), ("LANEWAY", &laneway)];
        let variables: Vec<_> = ours.into_iter().chain(variables.iter().copied()).collect();
        let output = self.installation.run_with(&["destinations", "edit", name], &variables);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Said { out: text(&output.stdout), err: text(&output.stderr), good: output.status.success() }
    }

    /// What the editor found when it was called for the n-th time.
    fn seen(&self, n: usize) -> String {
        fs::read_to_string(self.folder.join(format!("seen-{n}"))).expect("it was called")
    }

    fn settings(&self) -> Value {
        let output = self.installation.run(&["destinations", "show", NAME]);
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["settings"].clone()
    }

    /// The edited files that are left.
    fn left(&self) -> Vec<PathBuf> {
        let inside = |folder: &Path| -> Vec<PathBuf> {
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
        };
        let folders = inside(&self.folder).into_iter().filter(|path| path.is_dir());
        folders.flat_map(|folder| inside(&folder)).collect()
    }

    /// The one file that is left, which the error names and only its owner can read; what is in it.
    #[track_caller]
    fn kept(&self, said: &Said) -> String {
        let left = self.left();
        let [file] = left.as_slice() else { panic!("{left:?}: {}", said.err) };
        assert!(said.err.contains(&format!("kept in {}", file.display())), "{}", said.err);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(file), mode(file.parent().unwrap())), (0o600, 0o700));
        let text = fs::read_to_string(file).unwrap();
        fs::remove_dir_all(file.parent().unwrap()).unwrap();
        text
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_is_what_the_destination_is() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let desk = Desk::new(&receiver.url()).await;
    let before = desk.settings();

    // Left as it is, emptied, or only written in another way: nothing is sent.
    for script in
        ["true", ": > \"$1\"", "sed -i \"s/^types.*/types  = [ 'x' ] # so/\" \"$1\"", "sed -i /^name/d \"$1\""]
    {
        let said = desk.edit(script);
        assert_eq!((said.out.as_str(), said.err.as_str(), said.good), ("nothing to change", "", true), "{script}");
    }
    let seen = desk.seen(1);
    for line in ["[[destination]]", "name = \"billing\"", "types = [\"x\"]", "bearer = \"…\""] {
        assert!(seen.lines().any(|known| known == line), "{line} in {seen}");
    }
    for secret in ["a-bearer-token", "a-path", SECRET] {
        assert!(!seen.contains(secret), "{seen}");
    }

    // Others cannot read it, nor what an editor leaves beside it. What is not shown stays.
    let modes = "stat -c %a \"$1\" \"$(dirname \"$1\")\" > modes";
    let said = desk.edit(&format!("{modes}\nsed -i 's/^types.*/types = [\"x\", \"y\"]\\nrate = 7/' \"$1\""));
    assert_eq!((said.out.as_str(), said.good), ("billing is changed", true), "{}", said.err);
    assert_eq!(fs::read_to_string(desk.installation.folder().join("modes")).unwrap(), "600\n700\n");
    let mut expected = before;
    (expected["types"], expected["rate"]) = (json!(["x", "y"]), json!(7));
    assert_eq!(desk.settings(), expected);
    assert_eq!(desk.left(), Vec::<PathBuf>::new());

    // A mistake opens it again, with what is wrong above what was written; as often as it takes.
    let mend = "case $n in\n1) sed -i 's/^rate.*/rate = [/' \"$1\";;\n2) sed -i 's/^rate.*/rate = 0\\nmax_inflight = 1/' \"$1\";;\n*) sed -i '/^max_inflight/d; s/^rate.*/rate = 8/' \"$1\";;\nesac";
    let said = desk.edit(mend);
    assert_eq!((said.out.as_str(), said.good), ("billing is changed", true), "{}", said.err);
    assert!(!desk.seen(1).contains("could not be done"));
    let (second, third) = (desk.seen(2), desk.seen(3));
    assert!(second.starts_with("# This could not be done:\n#   TOML parse error at line "), "{second}");
    assert!(second.contains("\nrate = [\n"), "{second}");
    let mistakes: Vec<&str> = third.lines().skip(1).take(2).collect();
    assert!(mistakes[0].starts_with("#   rate: "), "{third}");
    assert!(mistakes[1].contains("max_inflight") && mistakes[1].contains("max_in_flight"), "{third}");
    assert_eq!(third.matches("This could not be done").count(), 1, "{third}");
    assert_eq!(desk.settings()["rate"], 8);
    desk.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_saved_is_kept() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let desk = Desk::new(&receiver.url()).await;
    let before = desk.settings();

    // The same mistake again: there is nothing to wait for.
    let said = desk.edit("grep -q strict \"$1\" || echo 'ordering = \"strict\"' > line\n[ $n = 1 ] && sed -i '/^name/r line' \"$1\" || true");
    assert!(!said.good && said.err.contains("the mistakes are still there"), "{}", said.err);
    assert!(desk.seen(2).contains("#   ordering cannot be changed"), "{}", desk.seen(2));
    assert!(desk.kept(&said).contains("\nordering = \"strict\"\n"));

    // Somebody else was faster. That text, too, says what it was meant to be.
    let said = desk.edit("\"$LANEWAY\" destinations pause billing\nsed -i 's/^types.*/types = [\"z\"]/' \"$1\"");
    assert!(!said.good && said.err.contains("somebody else has changed or deleted billing"), "{}", said.err);
    assert!(desk.kept(&said).contains("types = [\"z\"]"));
    assert_eq!(desk.settings(), before);

    // An editor that fails, after it has written and without; one that is not there.
    let said = desk.edit("sed -i 's/^types.*/types = [\"z\"]/' \"$1\"\nexit 3");
    assert!(!said.good && said.err.contains("exit status: 3; nothing was changed"), "{}", said.err);
    assert!(desk.kept(&said).contains("types = [\"z\"]"));
    for editor in [[("VISUAL", ""), ("EDITOR", "false")], [("VISUAL", "no-such-editor"), ("EDITOR", "")]] {
        let said = desk.run(NAME, &editor);
        assert!(!said.good && said.err.contains("set VISUAL or EDITOR"), "{}", said.err);
        assert_eq!(desk.left(), Vec::<PathBuf>::new());
    }

    // One of the server's file, and one that is not there, open no editor.
    for (name, why) in [("own", "is in the configuration file of the server"), ("bill", "did you mean billing")] {
        let said = desk.run(name, &[("VISUAL", "touch opened; false"), ("EDITOR", "")]);
        assert!(!said.good && said.err.contains(why), "{}", said.err);
        assert!(!desk.installation.folder().join("opened").exists());
    }
    assert_eq!(desk.settings(), before);
    desk.server.stop();
}
