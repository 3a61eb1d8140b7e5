//! The members of a request, read as the first server of this protocol read them: what is empty counts as absent.

use super::python;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longer is as good as for ever, and far from what a clock overflows at.
const LONGEST_TIMEOUT: f64 = 1e9;

#[derive(Debug)]
pub struct Request(pub Map<String, Value>);

impl Request {
    pub fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// The version that the client speaks is absent, or this one.
    pub fn is_version_1(&self) -> bool {
        match self.get("v") {
            Value::Null | Value::Bool(true) => true,
            version => version.as_f64() == Some(1.0),
        }
    }

    /// None when it is absent or empty.
    pub fn string(&self, name: &str) -> Result<Option<&str>, String> {
        match self.get(name) {
            Value::String(text) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            other if is_false(other) => Ok(None),
            other => Err(format!("'{name}' is not a string: {}", python::repr(other))),
        }
    }

    /// None when it is null; `default` when it is absent. Fractions are cut off.
    pub fn number(&self, name: &str, default: Option<i64>) -> Result<Option<i64>, String> {
        match self.0.get(name) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(Value::Bool(value)) => Ok(Some((*value).into())),
            Some(other) => match other.as_i64().or_else(|| other.as_f64().map(|float| float as i64)) {
                Some(number) => Ok(Some(number)),
                None => Err(format!("'{name}' is not a number: {}", python::repr(other))),
            },
        }
    }

    /// The size that an upload is announced with.
    pub fn size(&self) -> Result<u64, String> {
        let size = self.number("size", Some(0))?.ok_or("'size' is not a number: None")?;
        Ok(u64::try_from(size).unwrap_or(0))
    }

    /// How long a program may run, and the same number as the client gave it.
    pub fn timeout(&self) -> Result<Option<(Duration, f64)>, String> {
        let given = self.get("timeout");
        if is_false(given) {
            return Ok(None);
        }
        let number = match given {
            Value::Bool(_) => Some(1.0),
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        let number = number.filter(|number: &f64| number.is_finite());
        let number = number.ok_or_else(|| format!("'timeout' is not a number: {}", python::repr(given)))?;
        Ok(Some((Duration::from_secs_f64(number.clamp(0.0, LONGEST_TIMEOUT)), number)))
    }

    pub fn environment(&self) -> Result<BTreeMap<String, String>, String> {
        let variables = match self.get("env") {
            Value::Object(variables) => variables,
            other if is_false(other) => return Ok(BTreeMap::new()),
            other => return Err(format!("'env' is not an object: {}", python::repr(other))),
        };
        if let Some(name) = variables.keys().find(|name| name.is_empty() || name.contains('=')) {
            return Err(format!("not a name for an environment variable: {}", python::repr_str(name)));
        }
        Ok(variables.iter().map(|(name, value)| (name.clone(), python::text(value))).collect())
    }
}

/// What Python takes as false.
fn is_false(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(value: Value) -> Request {
        Request(value.as_object().unwrap().clone())
    }

    #[test]
    fn version_may_be_absent_or_one() {
        for version in [json!({}), json!({ "v": null }), json!({ "v": 1 }), json!({ "v": 1.0 }), json!({ "v": true })] {
            assert!(request(version).is_version_1());
        }
        for version in [json!({ "v": 2 }), json!({ "v": "1" }), json!({ "v": 0 }), json!({ "v": false })] {
            assert!(!request(version).is_version_1());
        }
    }

    #[test]
    fn timeout_is_any_positive_number_of_seconds() {
        let timeout = |value| request(json!({ "timeout": value })).timeout();
        assert_eq!(timeout(json!(0)), Ok(None));
        assert_eq!(timeout(json!(null)), Ok(None));
        assert_eq!(timeout(json!(2)), Ok(Some((Duration::from_secs(2), 2.0))));
        assert_eq!(timeout(json!("0.5")), Ok(Some((Duration::from_millis(500), 0.5))));
        assert_eq!(timeout(json!(-1)), Ok(Some((Duration::ZERO, -1.0))));
        assert!(timeout(json!(1e300)).unwrap().unwrap().0 > Duration::from_secs(1_000_000));
        assert!(timeout(json!("soon")).is_err() && timeout(json!("inf")).is_err() && timeout(json!([1])).is_err());
    }

    #[test]
    fn environment_takes_any_value_and_no_broken_name() {
        let variables = request(json!({ "env": { "A": 1, "B": true, "C": "x" } })).environment().unwrap();
        assert_eq!(variables["A"], "1");
        assert_eq!((&*variables["B"], &*variables["C"]), ("True", "x"));
        assert!(request(json!({ "env": { "A=": "" } })).environment().is_err());
        assert!(request(json!({ "env": [1] })).environment().is_err());
        assert!(request(json!({ "env": null })).environment().unwrap().is_empty());
    }

    #[test]
    fn size_is_zero_unless_given() {
        assert_eq!(request(json!({})).size(), Ok(0));
        assert_eq!(request(json!({ "size": -5 })).size(), Ok(0));
        assert_eq!(request(json!({ "size": 7.9 })).size(), Ok(7));
        assert!(request(json!({ "size": null })).size().is_err());
        assert!(request(json!({ "size": [] })).size().is_err());
    }
}
