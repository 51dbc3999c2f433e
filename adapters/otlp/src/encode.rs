//! Spans as the body of a request: the message `ExportTraceServiceRequest` of
//! <https://github.com/open-telemetry/opentelemetry-proto>. The numbers are those of its fields, which are stable.

use crate::protobuf::{Message, number_at};
use laneway_ports::{Span, SpanKind, SpanValue};

/// The most bytes of a text in an attribute: ids are shorter, and of an error the beginning tells.
const MAX_TEXT_BYTES: usize = 512;
/// The status of a span whose work has failed.
const STATUS_ERROR: u64 = 2;

/// Which process the spans are of: names and values of its attributes.
pub(crate) type Resource = Vec<(&'static str, String)>;

/// The body of a request.
pub(crate) fn request(resource: &Resource, spans: &[Span]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |of_resource| {
        of_resource.message(1, |message| {
            for (name, value) in resource {
                attribute(message, 1, name, &SpanValue::Text(value.as_str().into()));
            }
        });
        of_resource.message(2, |of_scope| {
            of_scope.message(1, |scope| {
                scope.text(1, "laneway");
                scope.text(2, env!("CARGO_PKG_VERSION"));
            });
            for span in spans {
                of_scope.message(2, |message| write(message, span));
            }
        });
    });
    request.into_bytes()
}

/// How many of the spans a collector says that it has refused, in its answer to a request that it has taken.
pub(crate) fn refused(answer: &[u8]) -> u64 {
    number_at(answer, &[1, 1]).unwrap_or(0)
}

fn write(message: &mut Message, span: &Span) {
    message.bytes(1, &span.trace.0);
    message.bytes(2, &span.id.0);
    if let Some(parent) = span.parent {
        message.bytes(4, &parent.0);
    }
    message.text(5, span.name);
    message.number(
        6,
        match span.kind {
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
        },
    );
    message.fixed64(7, span.start);
    message.fixed64(8, span.end.max(span.start));
    for (name, value) in &span.attributes {
        attribute(message, 9, name, value);
    }
    if let Some(error) = &span.error {
        message.message(15, |status| {
            status.text(2, beginning(error));
            status.number(3, STATUS_ERROR);
        });
    }
}

fn attribute(message: &mut Message, field: u64, name: &str, value: &SpanValue) {
    message.message(field, |attribute| {
        attribute.text(1, name);
        attribute.message(2, |any| match value {
            SpanValue::Text(text) => any.chosen_text(1, beginning(text)),
            // A negative number is written as the unsigned one of the same bits.
            SpanValue::Number(number) => any.number(3, number.cast_unsigned()),
        });
    });
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::{SpanId, TraceId};
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    };
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
    use proptest::prelude::*;
    use prost::Message as _;

    fn spans() -> impl Strategy<Value = Span> {
        let attribute = prop_oneof![
            ".{0,40}".prop_map(|text| SpanValue::Text(text.into())),
            any::<i64>().prop_map(SpanValue::Number),
        ];
        let names = prop::sample::select(vec!["laneway.destination", "laneway.offset", "laneway.attempt"]);
        let kinds = prop::sample::select(vec![SpanKind::Internal, SpanKind::Server, SpanKind::Client]);
        (
            any::<([u8; 16], [u8; 8], Option<[u8; 8]>)>(),
            any::<(u64, u64)>(),
            kinds,
            prop::collection::vec((names, attribute), 0..5),
            prop::option::of(".{0,40}"),
        )
            .prop_map(|((trace, id, parent), (a, b), kind, attributes, error)| Span {
                trace: TraceId(trace),
                id: SpanId(id),
                parent: parent.map(SpanId),
                name: "attempt",
                kind,
                start: a.min(b),
                end: a.max(b),
                attributes,
                error: error.map(Into::into),
            })
    }

    fn any_value(value: &SpanValue) -> Value {
        match value {
            SpanValue::Text(text) => Value::StringValue(text.to_string()),
            SpanValue::Number(number) => Value::IntValue(*number),
        }
    }

    fn read(attributes: &[KeyValue]) -> Vec<(String, Option<Value>)> {
        let value = |value: &Option<AnyValue>| value.as_ref().and_then(|value| value.value.clone());
        attributes.iter().map(|attribute| (attribute.key.clone(), value(&attribute.value))).collect()
    }

    proptest! {
        /// The definitions of OpenTelemetry itself read what was written.
        #[test]
        fn what_is_written_is_what_others_read(spans in prop::collection::vec(spans(), 0..6)) {
            let resource = vec![("service.name", "laneway".to_owned())];
            let read_back = ExportTraceServiceRequest::decode(&*request(&resource, &spans)).unwrap();
            let [of_resource] = &read_back.resource_spans[..] else { panic!("{read_back:?}") };
            let attributes = &of_resource.resource.as_ref().unwrap().attributes;
            prop_assert_eq!(read(attributes), vec![("service.name".to_owned(), Some(Value::StringValue("laneway".into())))]);
            let [of_scope] = &of_resource.scope_spans[..] else { panic!("{of_resource:?}") };
            prop_assert_eq!(&of_scope.scope.as_ref().unwrap().name, "laneway");
            prop_assert_eq!(of_scope.spans.len(), spans.len());
            for (found, span) in of_scope.spans.iter().zip(&spans) {
                prop_assert_eq!(&found.trace_id[..], &span.trace.0[..]);
                prop_assert_eq!(&found.span_id[..], &span.id.0[..]);
                prop_assert_eq!(&found.parent_span_id[..], span.parent.as_ref().map_or(&[][..], |parent| &parent.0));
                prop_assert_eq!(&found.name, "attempt");
                let kind = match span.kind { SpanKind::Internal => 1, SpanKind::Server => 2, SpanKind::Client => 3 };
                prop_assert_eq!(found.kind, kind);
                prop_assert_eq!((found.start_time_unix_nano, found.end_time_unix_nano), (span.start, span.end));
                let expected: Vec<_> = span.attributes.iter().map(|(name, value)| ((*name).to_owned(), Some(any_value(value)))).collect();
                prop_assert_eq!(read(&found.attributes), expected);
                let status = found.status.as_ref().map(|status| (status.code, status.message.clone()));
                prop_assert_eq!(status, span.error.as_ref().map(|error| (2, error.to_string())));
            }
        }

        #[test]
        fn what_a_collector_refused_is_read(refused_spans in 0_i64.., message in ".{0,20}") {
            let partial = ExportTracePartialSuccess { rejected_spans: refused_spans, error_message: message };
            let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
            prop_assert_eq!(refused(&answer.encode_to_vec()), refused_spans.cast_unsigned());
        }
    }

    #[test]
    fn nothing_was_refused_where_nothing_is_said_of_it() {
        assert_eq!(refused(&ExportTraceServiceResponse::default().encode_to_vec()), 0);
        assert_eq!(refused(b"{}"), 0);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(MAX_TEXT_BYTES);
        assert_eq!(beginning(&text).len(), MAX_TEXT_BYTES);
        assert_eq!(beginning(&format!("x{text}")).len(), MAX_TEXT_BYTES - 1);
    }
}
