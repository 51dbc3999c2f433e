//! What the functions answer, taken apart strictly: an answer of another shape is that of another
//! version's function.

use fred::types::Value;
use laneway_ports::StoreError;

pub(crate) fn list(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(values) => Ok(values),
        other => Err(unexpected(&other)),
    }
}

pub(crate) fn text(value: &Value) -> Result<String, StoreError> {
    value.as_string().ok_or_else(|| unexpected(value))
}

pub(crate) fn number(value: &Value) -> Result<u64, StoreError> {
    value.as_u64().ok_or_else(|| unexpected(value))
}

pub(crate) fn texts(value: Value) -> Result<Vec<String>, StoreError> {
    list(value)?.iter().map(text).collect()
}

/// A list of exactly so many.
pub(crate) fn exactly<const N: usize>(value: Value) -> Result<[Value; N], StoreError> {
    let values = list(value)?;
    values.try_into().map_err(|values| unexpected(&Value::Array(values)))
}

/// A list with a first value that is not of the others' kind.
pub(crate) fn first_and_rest(value: Value) -> Result<(Value, Vec<Value>), StoreError> {
    let mut values = list(value)?;
    if values.is_empty() {
        return Err(unexpected(&Value::Array(values)));
    }
    let rest = values.split_off(1);
    Ok((values.swap_remove(0), rest))
}

pub(crate) fn unexpected(value: &Value) -> StoreError {
    StoreError::refused(format!(
        "a function of the library laneway answered with a value of the kind \"{}\" that this version does not \
         understand: was the library loaded by another version of Laneway?",
        format!("{:?}", value.kind()).to_lowercase()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_another_shape_is_refused() {
        assert!(list(Value::Null).is_err());
        assert!(exactly::<2>(Value::Array(vec![1.into()])).is_err());
        assert!(first_and_rest(Value::Array(Vec::new())).is_err());
        assert!(number(&Value::Array(Vec::new())).is_err());
        assert!(texts(Value::Array(vec![Value::Null])).is_err());
    }

    #[test]
    fn an_answer_is_taken_apart() {
        let (first, rest) = first_and_rest(Value::Array(vec!["7".into(), "a".into(), "b".into()])).unwrap();
        assert_eq!(number(&first).unwrap(), 7);
        assert_eq!(texts(Value::Array(rest)).unwrap(), ["a", "b"]);
    }
}
