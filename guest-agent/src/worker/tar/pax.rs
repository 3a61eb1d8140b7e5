//! PAX records: `length key=value` and a newline, for what has no room in a header.

use super::super::target::Time;

/// Records in the order in which they came; a later one of the same key counts.
#[derive(Default)]
pub struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    /// None when it is not a sequence of whole records.
    pub fn parse(mut text: &[u8]) -> Option<Self> {
        let mut records = Vec::new();
        while !text.is_empty() {
            let space = text.iter().position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(text.get(..space)?).ok()?.parse().ok()?;
            let record = text.get(space + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            records.push((record.get(..equals)?.to_vec(), record.get(equals + 1..)?.to_vec()));
            text = text.get(length..)?;
        }
        Some(Self(records))
    }

    /// An empty value takes the key back.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        let found = self.0.iter().rev().find(|(known, _)| known == key.as_bytes());
        found.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }

    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.0.iter().any(|(key, _)| key.starts_with(prefix.as_bytes()))
    }
}

/// Adds one record. Its length counts its own digits too.
pub fn push(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + digits(rest);
    if rest + digits(length) > length {
        length = rest + digits(length);
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

pub fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds with an optional fraction. What is finer than a nanosecond is cut, towards the past.
pub fn parse_time(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (seconds, negative) = (whole.parse::<i64>().ok()?, whole.starts_with('-'));
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'));
    if negative && nanos > 0 {
        return Some(Time { seconds: seconds.checked_sub(1)?, nanos: 1_000_000_000 - nanos });
    }
    Some(Time { seconds, nanos })
}

pub fn format_time(time: Time) -> String {
    let (seconds, nanos) = (time.seconds, time.nanos);
    if nanos == 0 {
        return seconds.to_string();
    }
    if seconds < 0 {
        let (seconds, nanos) = (seconds + 1, 1_000_000_000 - nanos);
        // The sign of a zero would be lost.
        return format!("-{}.{nanos:09}", seconds.unsigned_abs());
    }
    format!("{seconds}.{nanos:09}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written_whatever_their_length() {
        for size in [0, 1, 5, 85, 86, 87, 88, 89, 90, 91, 92, 93, 980, 985, 990, 995, 1000, 10_000] {
            let value = vec![b'\n'; size];
            let mut text = Vec::new();
            push(&mut text, b"path", &value);
            push(&mut text, b"k", b"v=\xff");
            let records = Records::parse(&text).unwrap_or_else(|| panic!("{size}"));
            assert_eq!(records.get("path").unwrap_or_default(), value);
            assert_eq!(records.get("k"), Some(&b"v=\xff"[..]));
        }
    }

    #[test]
    fn broken_records_are_told_from_whole_ones() {
        for text in ["9", "99 a=b\n", "6 a=b\n6 a=", "4 a\n", "0 a=b\n", "-6 a=b\n", "5 a=b\n", "3 \n"] {
            assert!(Records::parse(text.as_bytes()).is_none(), "{text:?}");
        }
        let twice = Records::parse(b"6 a=b\n6 a=c\n5 d=\n").unwrap();
        assert_eq!((twice.get("a"), twice.get("d")), (Some(&b"c"[..]), None));
    }

    #[test]
    fn times_keep_their_nanoseconds_on_both_sides_of_1970() {
        for (seconds, nanos, text) in [
            (0, 0, "0"),
            (1_700_000_000, 123_456_789, "1700000000.123456789"),
            (-1, 500_000_000, "-0.500000000"),
            (-2, 999_999_999, "-1.000000001"),
            (-7, 0, "-7"),
        ] {
            let time = Time { seconds, nanos };
            assert_eq!(format_time(time), text);
            assert_eq!(parse_time(text.as_bytes()), Some(time), "{text}");
        }
        assert_eq!(parse_time(b"5.1234567899"), Some(Time { seconds: 5, nanos: 123_456_789 }));
        for text in ["", ".", "x", "1.x", "99999999999999999999", "-9223372036854775808.1"] {
            assert_eq!(parse_time(text.as_bytes()), None, "{text}");
        }
    }
}
