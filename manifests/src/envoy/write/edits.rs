//! Edits of heads. Those of a route stand at the route alone, whatever levels they came from: for each header, what all of them make of it.

use proxy_core::heads::HeaderOp;
use serde_json::{Value, json};

use super::cx::Cx;
use super::message::Message;

/// What becomes of one header.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Values {
    /// Whether what was there stays.
    keeps: bool,
    adds: Vec<Box<str>>,
}

impl Values {
    const fn untouched(there: bool) -> Self {
        Self {
            keeps: there,
            adds: Vec::new(),
        }
    }

    fn apply(&mut self, op: &HeaderOp) {
        let is_there = self.keeps || !self.adds.is_empty();
        match op {
            HeaderOp::Set(_, value) => {
                self.keeps = false;
                self.adds = vec![value.clone()];
            }
            HeaderOp::Append(_, value) => self.adds.push(value.clone()),
            HeaderOp::AddIfAbsent(_, value) => {
                if !is_there {
                    self.adds.push(value.clone());
                }
            }
            HeaderOp::IfPresent(_, there, absent) => {
                let ops = if is_there { there } else { absent };
                ops.iter().for_each(|op| self.apply(op));
            }
            HeaderOp::Remove(_) => {
                self.keeps = false;
                self.adds.clear();
            }
        }
    }
}

/// The edits of one level, as two fields.
#[derive(Default)]
struct Fields {
    remove: Vec<Value>,
    add: Vec<Value>,
}

impl Fields {
    fn add(&mut self, name: &str, value: &str, action: &str) {
        let mut option = Message::default();
        // what begins with a percent sign would be filled in
        let value = value.replace('%', "%%");
        option.flag("keep_empty_value", value.is_empty());
        option.set("header", json!({"key": name, "value": value}));
        option.unless("append_action", action, "APPEND_IF_EXISTS_OR_ADD");
        self.add.push(option.into());
    }

    /// What is added in any case stands among what is added where the header was absent; none where it does not.
    fn additions(&mut self, name: &str, always: &[Box<str>], absent: &[Box<str>]) -> Option<()> {
        let mut always = always.iter().peekable();
        let actions: Vec<&str> = absent
            .iter()
            .map(|value| match always.next_if_eq(&value) {
                Some(_) => "APPEND_IF_EXISTS_OR_ADD",
                None => "ADD_IF_ABSENT",
            })
            .collect();
        if always.peek().is_some() {
            return None;
        }
        for (value, action) in absent.iter().zip(actions) {
            self.add(name, value, action);
        }
        Some(())
    }

    /// Says what becomes of one header where it is there and where it is not; none where one level cannot say it.
    ///
    /// Envoy takes out first; what it puts in goes by what is there then: overwriting comes first, the last one counts.
    fn say(&mut self, name: &str, there: &Values, absent: &[Box<str>]) -> Option<()> {
        let overwrites = !there.keeps;
        match &there.adds[..] {
            [] if overwrites && absent.is_empty() => self.remove.push(name.into()),
            [first, rest @ ..] if overwrites && there.adds == absent => {
                self.add(name, first, "OVERWRITE_IF_EXISTS_OR_ADD");
                let action = "APPEND_IF_EXISTS_OR_ADD";
                rest.iter().for_each(|value| self.add(name, value, action));
            }
            [first, rest @ ..] if overwrites => {
                let before = self.add.len();
                self.add(name, first, "OVERWRITE_IF_EXISTS");
                if self.additions(name, rest, absent).is_none() {
                    self.add.truncate(before);
                    return None;
                }
            }
            [] if overwrites => return None,
            adds => self.additions(name, adds, absent)?,
        }
        Some(())
    }
}

/// Writes edits of requests, or of responses, into the message that they are of.
pub(super) fn edits(way: &str, ops: &[HeaderOp], message: &mut Message, cx: &mut Cx<'_>) {
    let mut names: Vec<&str> = Vec::new();
    for op in ops {
        if !names.contains(&op.name()) {
            names.push(op.name());
        }
    }
    let mut fields = Fields::default();
    for name in names {
        let is_fixed = name.starts_with(':') || name == "host";
        let outcome = |there| {
            let mut values = Values::untouched(there);
            let own = ops.iter().filter(|op| op.name() == name);
            own.for_each(|op| values.apply(op));
            values
        };
        let said = match is_fixed {
            true => None,
            false => fields.say(name, &outcome(true), &outcome(false).adds),
        };
        if said.is_none() {
            cx.departs(format!(
                "the header `{name}` stays as it is: Envoy cannot change it so"
            ));
        }
    }
    message.list(&format!("{way}_headers_to_remove"), fields.remove);
    message.list(&format!("{way}_headers_to_add"), fields.add);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Envoy makes of a header that has `before`, with the fields of one level.
    fn envoy(fields: &Fields, before: &[&str]) -> Vec<String> {
        let mut values: Vec<String> = before.iter().map(|value| (*value).to_owned()).collect();
        if !fields.remove.is_empty() {
            values.clear();
        }
        let was_there = !values.is_empty();
        let held = |option: &&Value| match option["append_action"].as_str() {
            Some("ADD_IF_ABSENT") => !was_there,
            Some("OVERWRITE_IF_EXISTS") => was_there,
            Some(_) | None => true,
        };
        let overwrites = |option: &Value| {
            let action = option["append_action"].as_str();
            action.is_some_and(|action| action.starts_with("OVERWRITE"))
        };
        let text = |option: &Value| option["header"]["value"].as_str().unwrap().to_owned();
        let held: Vec<&Value> = fields.add.iter().filter(held).collect();
        if let Some(last) = held.iter().rfind(|option| overwrites(option)) {
            values = vec![text(last)];
        }
        let added = held.iter().filter(|option| !overwrites(option));
        values.extend(added.map(|option| text(option)));
        values
    }

    fn run(ops: &[HeaderOp], before: &[&str]) -> Vec<String> {
        let mut values = Values::untouched(!before.is_empty());
        ops.iter().for_each(|op| values.apply(op));
        let kept = before.iter().filter(|_| values.keeps);
        let kept = kept.map(|value| (*value).to_owned());
        kept.chain(values.adds.iter().map(ToString::to_string))
            .collect()
    }

    #[test]
    fn one_level_says_what_several_make_of_a_header() {
        let set = |value: &str| HeaderOp::Set("x".into(), value.into());
        let append = |value: &str| HeaderOp::Append("x".into(), value.into());
        let absent = |value: &str| HeaderOp::AddIfAbsent("x".into(), value.into());
        let either = |there: Vec<HeaderOp>, absent: Vec<HeaderOp>| {
            HeaderOp::IfPresent("x".into(), there.into(), absent.into())
        };
        let remove = || HeaderOp::Remove("x".into());
        for (name, ops) in [
            ("nothing", vec![]),
            ("set", vec![set("1")]),
            ("append twice", vec![append("1"), append("2")]),
            ("set, then append", vec![set("1"), append("2")]),
            ("append, then set", vec![append("1"), set("2")]),
            ("where absent", vec![absent("1")]),
            ("where absent, twice", vec![absent("1"), absent("2")]),
            ("where absent, then more", vec![absent("1"), append("2")]),
            ("remove", vec![remove()]),
            (
                "remove, then more",
                vec![remove(), append("1"), append("2")],
            ),
            ("more, then remove", vec![append("1"), remove()]),
            ("where there", vec![either(vec![set("1")], vec![])]),
            (
                "either",
                vec![either(
                    vec![set("1"), append("2")],
                    vec![append("0"), append("2")],
                )],
            ),
        ] {
            let outcome = |there| {
                let mut values = Values::untouched(there);
                ops.iter().for_each(|op| values.apply(op));
                values
            };
            let mut fields = Fields::default();
            let said = fields.say("x", &outcome(true), &outcome(false).adds);
            assert_eq!(said, Some(()), "{name}");
            for before in [&[][..], &["a"], &["a", "b"]] {
                assert_eq!(
                    envoy(&fields, before),
                    run(&ops, before),
                    "{name}: {before:?}"
                );
            }
        }
    }

    #[test]
    fn what_one_level_cannot_say_is_not_said() {
        let append = |value: &str| HeaderOp::Append("x".into(), value.into());
        let only_there = HeaderOp::IfPresent("x".into(), [append("1")].into(), [].into());
        let swapped = HeaderOp::IfPresent(
            "x".into(),
            [HeaderOp::Remove("x".into())].into(),
            [append("1")].into(),
        );
        for op in [only_there, swapped] {
            let outcome = |there| {
                let mut values = Values::untouched(there);
                values.apply(&op);
                values
            };
            let mut fields = Fields::default();
            assert_eq!(
                fields.say("x", &outcome(true), &outcome(false).adds),
                None,
                "{op:?}"
            );
            assert!(fields.add.is_empty() && fields.remove.is_empty());
        }
    }
}
