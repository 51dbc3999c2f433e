use super::*;
use proptest::prelude::*;
use std::sync::mpsc as std_mpsc;

fn prepared(text: &str) -> Result<Option<String>, String> {
    prepare(text.as_bytes(), 7, "run").map(|json| json.map(|line| String::from_utf8(line.json).unwrap()))
}

#[test]
fn a_line_without_an_id_gets_one_and_nothing_else_changes() {
    let ok = |text: &str| prepared(text).unwrap().unwrap();
    assert_eq!(ok(r#"{ "type": "a", "data": 1.50 }"#), r#"{"id":"run-7", "type": "a", "data": 1.50 }"#);
    assert_eq!(ok("{}\r\n"), r#"{"id":"run-7"}"#);
    assert_eq!(ok(r#"{"data":{"id":1}}"#), r#"{"id":"run-7","data":{"id":1}}"#);
    assert_eq!(ok(r#"{"type":"a","id":"mine"}"#), r#"{"type":"a","id":"mine"}"#);
    assert_eq!(ok(r#"{"\u0069d":"mine"}"#), r#"{"\u0069d":"mine"}"#);
    assert_eq!(prepared(" \t\r\n"), Ok(None));
}

#[test]
fn what_is_no_event_is_refused_with_the_place() {
    assert_eq!(prepared("[1]").unwrap_err(), "invalid type: sequence, expected an event: a JSON object");
    assert_eq!(prepared(r#"{"type":}"#).unwrap_err(), "is not JSON: expected value at column 9");
    assert_eq!(prepared(r#"{"a":1} x"#).unwrap_err(), "is not JSON: trailing characters at column 9");
    assert_eq!(prepare(b"{\"a\":\"\xff\"}", 1, "run").unwrap_err(), "is not UTF-8 text, from byte 7 on");
}

#[test]
fn a_byte_order_mark_begins_a_file_and_nothing_else() {
    assert_eq!(prepare(b"\xef\xbb\xbf{}", 1, "r").unwrap().unwrap().json, b"{\"id\":\"r-1\"}");
    assert!(prepare(b"\xef\xbb\xbf{}", 2, "r").is_err());
}

#[test]
fn a_cloud_event_stays_as_it_is() {
    let event = r#"{"specversion":"1.0","type":"a","source":"/s"}"#;
    let line = prepare(event.as_bytes(), 4, "r").unwrap().unwrap();
    assert_eq!(line, Line { number: 4, json: event.into(), is_cloud_event: true });
    assert!(!prepare(br#"{"data":{"specversion":"1.0"}}"#, 4, "r").unwrap().unwrap().is_cloud_event);
}

#[test]
fn elements_of_an_array_are_numbered_and_what_is_no_event_refused() {
    let mut reader = reader(&b"[\n{\"type\":\"a\"},\n7,\n{\"type\":\n\"b\"}"[..], 10);
    let (mut lines, mut refused, mut nouns) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(group) = reader.group().unwrap() {
        lines.extend(group.lines.into_iter().map(|line| String::from_utf8(line.json).unwrap()));
        refused.extend(group.refused);
        nouns.push(group.noun);
    }
    assert_eq!(lines, [r#"{"id":"r-1","type":"a"}"#]);
    assert_eq!(refused.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [2, 3]);
    assert!(refused[1].1.contains("does not end"), "{refused:?}");
    assert!(nouns.iter().all(|noun| *noun == "event"));
}

fn reader(input: impl Read, most: usize) -> Reader<impl Read> {
    Reader { pieces: Pieces::new(input, BUFFER_BYTES), number: 0, run: "r".into(), most, broken: false }
}

#[test]
fn a_line_without_end_is_refused_and_the_next_one_read() {
    let mut text = vec![b'x'; MAX_EVENT_BYTES + 10];
    text.extend_from_slice(b"\n{}\n");
    let total = text.len() as u64;
    let mut reader = reader(&text[..], 10);
    let (mut refused, mut lines, mut read) = (Vec::new(), Vec::new(), 0);
    while let Some(group) = reader.group().unwrap() {
        refused.extend(group.refused);
        lines.extend(group.lines);
        read += group.read;
    }
    assert_eq!((refused.len(), refused[0].0, lines.len(), lines[0].number, read), (1, 1, 1, 2, total));
}

/// A pipe into which nothing more comes until it is allowed.
struct Pipe(std_mpsc::Receiver<Vec<u8>>);

impl Read for Pipe {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let Ok(bytes) = self.0.recv() else { return Ok(0) };
        to[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

#[test]
fn a_slow_pipe_does_not_hold_back_what_has_come() {
    let (pipe, end) = std_mpsc::channel();
    let mut groups = read(Pipe(end), "r".into(), 100);
    pipe.send(b"{}\n{}\n".to_vec()).unwrap();
    assert_eq!(groups.blocking_recv().unwrap().unwrap().lines.len(), 2);
    pipe.send(b"{}".to_vec()).unwrap();
    drop(pipe);
    assert_eq!(groups.blocking_recv().unwrap().unwrap().lines[0].number, 3);
    assert!(groups.blocking_recv().is_none());
}

proptest! {
    #[test]
    fn any_text_is_prepared_or_refused(raw: Vec<u8>) {
        if let Ok(Some(line)) = prepare(&raw, 3, "a \"quoted\" run") {
            let value: serde_json::Value = serde_json::from_slice(&line.json).unwrap();
            prop_assert!(value.get("id").is_some() || line.is_cloud_event);
        }
    }

    #[test]
    fn groups_hold_every_line_once_in_order(sizes in prop::collection::vec(0_usize..40, 0..60), most in 1_usize..9) {
        let text: String = sizes.iter().map(|n| format!("{{\"d\":\"{}\"}}\n", "x".repeat(*n))).collect();
        let mut reader = reader(text.as_bytes(), most);
        let mut numbers = Vec::new();
        while let Some(group) = reader.group().unwrap() {
            prop_assert!(group.lines.len() <= most);
            numbers.extend(group.lines.iter().map(|line| line.number));
        }
        prop_assert_eq!(numbers, (1..=sizes.len() as u64).collect::<Vec<_>>());
    }
}
