//! Values on their way into a statement and out of a row. A row that is not as it should be is an error, never a guess.

use std::sync::Arc;

use crate::{secret::Hashed, store::Error, world::Timestamp};

/// A value as both databases have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Value {
    Null,
    /// Also a truth value: 0 and 1.
    Integer(i64),
    /// Also JSON.
    Text(String),
    Blob(Vec<u8>),
}

/// The parameters of a statement: `values![a, b]`.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::store::sql::Value::from($value)),*] };
}
pub(in crate::store) use values;

macro_rules! from {
    ($($given:ty: $it:ident => $value:expr;)*) => {
        $(impl From<$given> for Value {
            fn from($it: $given) -> Self {
                $value
            }
        })*
    };
}

from! {
    i64: n => Self::Integer(n);
    u32: n => Self::Integer(n.into());
    bool: yes => Self::Integer(yes.into());
    &str: text => Self::Text(text.to_owned());
    String: text => Self::Text(text);
    &String: text => Self::Text(text.clone());
    &Option<String>: text => Self::from(text.as_deref());
    &[u8]: bytes => Self::Blob(bytes.to_vec());
    Vec<u8>: bytes => Self::Blob(bytes);
    &Vec<u8>: bytes => Self::Blob(bytes.clone());
    Hashed: hash => Self::Blob(hash.as_bytes().to_vec());
    Timestamp: at => Self::Integer(at.millis());
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The names of an answer's columns, in order.
pub(in crate::store) type Columns = Arc<[String]>;

/// One row of an answer.
#[derive(Debug)]
pub(in crate::store) struct Row {
    columns: Columns,
    values: Vec<Value>,
}

impl Row {
    pub(in crate::store) fn new(columns: Columns, values: Vec<Value>) -> Self {
        Self { columns, values }
    }

    /// The value of a column, as the type that is wanted.
    pub(in crate::store) fn get<T: FromValue>(&self, column: &str) -> Result<T, Error> {
        let at = self.columns.iter().position(|name| name == column);
        let value = at.and_then(|at| self.values.get(at));
        let value =
            value.ok_or_else(|| Error::Away(format!("an answer has no column {column}")))?;
        T::from_value(value).ok_or_else(|| unlike(column))
    }

    /// The bytes of a column, which need not be copied: the row has them no more.
    pub(in crate::store) fn take(&mut self, column: &str) -> Result<Option<Vec<u8>>, Error> {
        let at = self.columns.iter().position(|name| name == column);
        let value = at.and_then(|at| self.values.get_mut(at)).ok_or_else(|| unlike(column))?;
        match std::mem::replace(value, Value::Null) {
            Value::Blob(bytes) => Ok(Some(bytes)),
            Value::Null => Ok(None),
            Value::Integer(_) | Value::Text(_) => Err(unlike(column)),
        }
    }
}

fn unlike(column: &str) -> Error {
    Error::Away(format!("{column} of a row is not as it should be"))
}

/// What a value can be taken for.
pub(in crate::store) trait FromValue: Sized {
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($wanted:ty: $pattern:pat => $value:expr;)*) => {
        $(impl FromValue for $wanted {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $pattern => $value,
                    _ => None,
                }
            }
        })*
    };
}

from_value! {
    i64: Value::Integer(n) => Some(*n);
    u32: Value::Integer(n) => Self::try_from(*n).ok();
    bool: Value::Integer(n) => Some(*n != 0);
    String: Value::Text(text) => Some(text.clone());
    Vec<u8>: Value::Blob(bytes) => Some(bytes.clone());
    Hashed: Value::Blob(bytes) => bytes.as_slice().try_into().ok().map(Self::from_bytes);
    Timestamp: Value::Integer(at) => Some(Self::from_millis(*at));
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

#[cfg(test)]
impl Row {
    /// All of it, for a test that looks for traces.
    pub(super) fn text(&self) -> String {
        let value = |value: &Value| match value {
            Value::Null => String::new(),
            Value::Integer(n) => n.to_string(),
            Value::Text(text) => text.clone(),
            Value::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        self.values.iter().map(value).collect::<Vec<_>>().join(" | ")
    }
}
