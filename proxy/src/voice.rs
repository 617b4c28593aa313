//! What the process says of itself on standard error: loggers with levels that may be changed while it runs.
//!
//! Source: Envoy's `/logging`, `--log-level` and `--component-log-level`; the names of loggers are those of Envoy's that have something to
//! say here. A level that is off costs one look at a number.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::clock;
use crate::log::Clock;

/// How grave something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    /// Every step.
    Trace,
    /// What is of interest to whoever looks for a fault.
    Debug,
    /// What is of interest to whoever runs it.
    Info,
    /// Something that should not be.
    Warning,
    /// Something that failed.
    Error,
    /// Something without which it cannot go on.
    Critical,
    /// Nothing is said.
    Off,
}

impl Level {
    const ALL: [Self; 7] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Off,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Off => "off",
        }
    }

    /// By its name; `warn` is a warning, too.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let name = if name == "warn" { "warning" } else { name };
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

macro_rules! loggers {
    ($($logger:ident = $name:literal, $help:literal;)*) => {
        /// What something is said of.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Logger {
            $(#[doc = $help] $logger,)*
        }

        impl Logger {
            const ALL: [Self; [$($name),*].len()] = [$(Self::$logger),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$logger => $name,)*
                }
            }
        }

        static LEVELS: [AtomicU8; [$($name),*].len()] = [$({
            let _ = $name;
            AtomicU8::new(Level::Info as u8)
        }),*];
    };
}

loggers! {
    Admin = "admin", "The admin port.";
    Config = "config", "What is read, and put in force.";
    Connection = "connection", "Connections of clients.";
    File = "file", "Access logs.";
    Health = "hc", "Health checks.";
    Http = "http", "Requests.";
    Main = "main", "The process.";
    Router = "router", "Tries of requests.";
    Tracing = "tracing", "Spans.";
    Upstream = "upstream", "Endpoints.";
}

impl Logger {
    /// By its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|logger| logger.name() == name)
    }

    /// What is said of it at least.
    #[must_use]
    pub fn level(self) -> Level {
        Level::ALL[usize::from(LEVELS[self as usize].load(Ordering::Relaxed))]
    }

    /// Says of it what is at least so grave.
    pub fn set(self, level: Level) {
        LEVELS[self as usize].store(level as u8, Ordering::Relaxed);
    }

    /// Whether something so grave is said of it.
    #[must_use]
    pub fn says(self, level: Level) -> bool {
        level as u8 >= LEVELS[self as usize].load(Ordering::Relaxed)
    }
}

/// Sets the level of all loggers.
pub fn set_all(level: Level) {
    Logger::ALL.into_iter().for_each(|logger| logger.set(level));
}

/// Why levels stay as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unknown {
    /// There is no such logger.
    Logger,
    /// There is no such level.
    Level,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Logger => "unknown logger name",
            Self::Level => "unknown logger level",
        })
    }
}

impl std::error::Error for Unknown {}

/// Sets levels of several loggers: `name:level,name:level`. Where one is not known, nothing changes.
///
/// # Errors
/// With what is not known.
pub fn set_several(text: &str) -> Result<(), Unknown> {
    let mut wanted = Vec::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (name, level) = pair.split_once(':').ok_or(Unknown::Level)?;
        let logger = Logger::parse(name).ok_or(Unknown::Logger)?;
        wanted.push((logger, Level::parse(level).ok_or(Unknown::Level)?));
    }
    for (logger, level) in wanted {
        logger.set(level);
    }
    Ok(())
}

/// All loggers with their levels, as `/logging` shows them.
pub(crate) fn listed() -> String {
    let lines = Logger::ALL.iter().map(|logger| {
        let level = logger.level().name();
        format!("  {}: {level}\n", logger.name())
    });
    format!("active loggers:\n{}\n", lines.collect::<String>())
}

/// Says something, if its logger says things so grave.
pub fn speak(logger: Logger, level: Level, what: fmt::Arguments<'_>) {
    if !logger.says(level) {
        return;
    }
    let now = clock::since_epoch();
    let clock = Clock {
        epoch: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
    };
    let (level, logger) = (level.name(), logger.name());
    eprintln!("[{}][{level}][{logger}] {what}", clock.stamp());
}

/// Says something in words that are made only if it is heard.
macro_rules! say {
    ($logger:ident, $level:ident, $($words:tt)*) => {
        if $crate::voice::Logger::$logger.says($crate::voice::Level::$level) {
            $crate::voice::speak(
                $crate::voice::Logger::$logger,
                $crate::voice::Level::$level,
                format_args!($($words)*),
            );
        }
    };
}
pub(crate) use say;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_set_together_or_not_at_all() {
        assert_eq!(set_several("hc:trace,nope:info"), Err(Unknown::Logger));
        assert_eq!(set_several("hc:trace,http:loud"), Err(Unknown::Level));
        assert_eq!(set_several("hc"), Err(Unknown::Level));
        assert_eq!(Logger::Health.level(), Level::Info, "nothing has changed");
        assert_eq!(set_several("hc:trace,"), Ok(()));
        assert!(Logger::Health.says(Level::Trace));
        assert_eq!(set_several("hc:warn"), Ok(()));
        assert!(Logger::Health.says(Level::Error) && !Logger::Health.says(Level::Info));
        assert_eq!(set_several("hc:off"), Ok(()));
        assert!(!Logger::Health.says(Level::Critical));
        Logger::Health.set(Level::Info);
    }

    #[test]
    fn loggers_and_levels_are_found_by_their_names() {
        for logger in Logger::ALL {
            assert_eq!(Logger::parse(logger.name()), Some(logger));
            assert!(listed().contains(&format!("  {}: ", logger.name())));
        }
        for level in Level::ALL {
            assert_eq!(Level::parse(level.name()), Some(level));
        }
    }
}
