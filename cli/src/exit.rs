//! How a command ends.

use std::process::ExitCode;

use reports::verdict::State;

/// How a command ends, for scripts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Everything held, nothing differs.
    Good,
    /// An expectation failed or was inconclusive, results differ, or a request reached no server.
    NotHeld,
    /// What was given cannot be used; said on standard error.
    BadInput,
    /// Stopped by a signal.
    Stopped,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Good => 0,
            Exit::NotHeld => 1,
            Exit::BadInput => 2,
            Exit::Stopped => crate::stop::status(),
        })
    }
}

impl From<State> for Exit {
    fn from(state: State) -> Self {
        match state {
            State::Held => Self::Good,
            State::Failed | State::Inconclusive => Self::NotHeld,
        }
    }
}

/// What ends a command before its work is done.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Problems that were said already.
    Told,
    /// This one.
    Text(String),
}

impl Fault {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}
