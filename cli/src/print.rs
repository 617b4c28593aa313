//! Standard output.

use std::io::{self, Write};

/// Writes a text; a reader that went away (`| head`) is no error.
///
/// # Errors
/// When standard output cannot be written for another reason.
pub(crate) fn out(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A word as a shell takes it.
#[must_use]
pub(crate) fn shell(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:@%+,#".contains(&b);
    if !word.is_empty() && !word.starts_with('#') && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// `1 run`, `2 runs`.
#[must_use]
pub(crate) fn counted(number: usize, one: &str, many: &str) -> String {
    reports::words::plural(number as u64, one, many)
}

/// An error with everything behind it.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(behind) = source {
        text.push_str(&format!(": {behind}"));
        source = behind.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_every_word() {
        for (word, expected) in [
            ("scenarios/mm1", "scenarios/mm1"),
            ("load.users.open.rate=400/s", "load.users.open.rate=400/s"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$HOME", "'$HOME'"),
            ("", "''"),
            ("#x", "'#x'"),
        ] {
            assert_eq!(shell(word), expected);
        }
    }
}
