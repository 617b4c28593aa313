//! OTLP, as far as it takes to read spans.

/// A field: its number, and its bytes or its number.
enum Value<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes).expect("a key");
        let fixed = |bytes: &[u8]| {
            let number = bytes.iter().rev();
            Value::Number(number.fold(0, |all, byte| all << 8 | u64::from(*byte)))
        };
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes).expect("a number")),
            1 => fixed(take(&mut bytes, 8).expect("eight bytes")),
            2 => {
                let length = varint(&mut bytes).expect("a length");
                Value::Bytes(take(&mut bytes, length as usize).expect("its bytes"))
            }
            5 => fixed(take(&mut bytes, 4).expect("four bytes")),
            kind => panic!("no kind of field: {kind}"),
        };
        all.push((key >> 3, value));
    }
    all
}

fn bytes_of(message: &[u8], number: u64) -> Vec<&[u8]> {
    let all = fields(message).into_iter();
    let all = all.filter_map(|(field, value)| match value {
        Value::Bytes(bytes) if field == number => Some(bytes),
        Value::Bytes(_) | Value::Number(_) => None,
    });
    all.collect()
}

fn text(message: &[u8], number: u64) -> String {
    let found = bytes_of(message, number);
    let first = found.first().copied().unwrap_or_default();
    String::from_utf8_lossy(first).into_owned()
}

fn number(message: &[u8], number: u64) -> u64 {
    let mut all = fields(message).into_iter();
    let found = all.find_map(|(field, value)| match value {
        Value::Number(value) if field == number => Some(value),
        Value::Bytes(_) | Value::Number(_) => None,
    });
    found.unwrap_or_default()
}

fn pair(message: &[u8]) -> (String, String) {
    let value = bytes_of(message, 2);
    (
        text(message, 1),
        text(value.first().copied().unwrap_or_default(), 1),
    )
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn spans(body: &[u8], token: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for resource in bytes_of(body, 1) {
        let attributes = bytes_of(resource, 1);
        let attributes = attributes.iter().flat_map(|it| bytes_of(it, 1)).map(pair);
        let said: Vec<String> = attributes
            .filter(|(key, _)| !key.starts_with("telemetry."))
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        for span in bytes_of(resource, 2).iter().flat_map(|it| bytes_of(it, 2)) {
            let id = |field| {
                let found = bytes_of(span, field);
                hexadecimal(found.first().copied().unwrap_or_default())
            };
            let tags = bytes_of(span, 9).into_iter().map(pair);
            let mut tags: Vec<String> = tags.map(|(k, v)| format!("{k}={v}")).collect();
            tags.sort();
            let events = bytes_of(span, 11).into_iter().map(|it| text(it, 2));
            let events: Vec<String> = events.collect();
            let status = bytes_of(span, 15).first().map_or(0, |it| number(it, 3));
            lines.push(format!(
                "{token} {said:?} {} kind {} trace {} span {} parent {} state {:?} status {status} flags {:#x} {tags:?} {events:?}",
                text(span, 5),
                number(span, 6),
                id(1),
                id(2),
                id(4),
                text(span, 3),
                number(span, 16),
            ));
        }
    }
    lines
}
