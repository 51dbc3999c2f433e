use super::*;
use laneway_domain::{Key, MAX_KEY_BYTES, MAX_PARTITIONS, ReplayId, ReplayOrder, Selection, Timestamp};
use laneway_ports::MAX_MESSAGE_BYTES;

fn read(message: &str) -> (String, Option<Command>) {
    let Message { question, command: written } = serde_json::from_str(message).unwrap();
    (question, command(written))
}

#[test]
fn every_command_is_read_as_it_was_written() {
    let destination = DestinationName::new("billing").unwrap();
    let at = |key| (destination.clone(), key);
    let mut commands = vec![
        Command::Resume { destination: destination.clone() },
        Command::Forget { destination: destination.clone() },
        Command::BeginReplay {
            destination: destination.clone(),
            replay: ReplayId::new("r").unwrap(),
            order: Box::new(ReplayOrder {
                asked_at: Timestamp::from_millis(7),
                ranges: [(Partition(3), Offset(4)..Offset(9))].into(),
                selection: Selection { keys: [Key::new("a").unwrap()].into(), ..Selection::default() },
                first: true,
            }),
        },
        Command::CancelReplay { destination: destination.clone(), replay: ReplayId::new("r").unwrap() },
        Command::Replay {
            destination: destination.clone(),
            from: [(Partition(0), Offset(7)), (Partition(12), Offset::in_generation(3, 1))].into(),
        },
    ];
    let key = Key::new("größe \"7\": {x}").unwrap();
    for (destination, key) in [at(LaneKey::Key(key)), at(LaneKey::Event(Offset(41))), at(LaneKey::All)] {
        commands.push(Command::RetryKey { destination: destination.clone(), key: key.clone().into() });
        commands.push(Command::SkipKey { destination, key: key.into() });
    }
    for command in commands {
        assert_eq!(read(&message("q", command.clone()).unwrap()), ("q".to_owned(), Some(command)));
    }
}

#[test]
fn the_longest_commands_are_messages() {
    // Nothing that a key may have is longer in JSON.
    let key = LaneKey::Key(Key::new(&"\"".repeat(MAX_KEY_BYTES)).unwrap());
    let destination = DestinationName::new(&"x".repeat(64)).unwrap();
    let from = (0..MAX_PARTITIONS).map(|p| (Partition(p), Offset((1 << 53) - 1))).collect();
    let skip = Command::SkipKey { destination: destination.clone(), key: key.into() };
    for command in [skip, Command::Replay { destination, from }] {
        let written = message(&"q".repeat(32), command).unwrap();
        assert!(written.len() <= MAX_MESSAGE_BYTES, "{} bytes", written.len());
    }
}

#[test]
fn a_command_of_another_version_is_a_question_all_the_same() {
    for command in [
        r#"{"do":"dance","destination":"a"}"#,
        r#"{"do":"resume","destination":"NO"}"#,
        r#"{"do":"skip-key","destination":"a","key":"x"}"#,
        r#"{"do":"resume","destination":"a","gently":true}"#,
        "7",
    ] {
        let message = format!(r#"{{"question":"q","command":{command},"more":1}}"#);
        assert_eq!(read(&message), ("q".to_owned(), None), "{command}");
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_no_answer_of_yes_or_no() {
    for text in ["", "true", "{}", r#"{"Ok":{"acted":true}}"#] {
        assert!(read_answer(text).unwrap_err().contains("another version"), "{text}");
    }
}
