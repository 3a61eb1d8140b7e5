//! Values as the first server of this protocol wrote them into its errors: in Python's notation.

use serde_json::Value;
use std::fmt::Write;

/// What `str` makes of it.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// What `repr` makes of it.
pub fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => repr_float(float),
            _ => number.to_string(),
        },
        Value::String(text) => repr_str(text),
        Value::Array(values) => format!("[{}]", values.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(key, value)| format!("{}: {}", repr_str(key), repr(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// Both languages write the shortest digits and an exponent for the same numbers; its form differs.
fn repr_float(float: f64) -> String {
    let text = format!("{float:?}");
    match text.split_once('e') {
        None => text,
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            format!("{digits}e{sign}{exponent:0>2}")
        }
    }
}

pub fn repr_str(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut repr = String::from(quote);
    for character in text.chars() {
        // Writing to a String cannot fail.
        let _ = match character {
            '\\' => repr.write_str("\\\\"),
            '\n' => repr.write_str("\\n"),
            '\r' => repr.write_str("\\r"),
            '\t' => repr.write_str("\\t"),
            ' ' => repr.write_char(' '),
            character if character == quote => write!(repr, "\\{character}"),
            character if character.is_control() || character.is_whitespace() => match u32::from(character) {
                number @ ..=0xff => write!(repr, "\\x{number:02x}"),
                number => write!(repr, "\\u{number:04x}"),
            },
            character => repr.write_char(character),
        };
    }
    repr.push(quote);
    repr
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_python_does() {
        for (value, expected) in [
            (json!(null), "None"),
            (json!(true), "True"),
            (json!(-3), "-3"),
            (json!(2.0), "2.0"),
            (json!(1e16), "1e+16"),
            (json!(0.00001), "1e-05"),
            (json!(1.5e300), "1.5e+300"),
            (json!("x"), "'x'"),
            (json!("it's"), "\"it's\""),
            (json!("'\""), "'\\'\"'"),
            (json!("a\\\n\t\u{7f}\u{a0}\u{2028}\u{fc}"), "'a\\\\\\n\\t\\x7f\\xa0\\u2028\u{fc}'"),
            (json!([1, "a", []]), "[1, 'a', []]"),
            (json!({ "a": null }), "{'a': None}"),
        ] {
            assert_eq!(repr(&value), expected);
        }
        assert_eq!(text(&json!("x")), "x");
        assert_eq!(text(&json!(["x"])), "['x']");
    }
}
