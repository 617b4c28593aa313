//! The one place that reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Now, for what lies between two moments.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the driver that has a real clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the driver that has a real clock"
)]
pub(crate) fn since_epoch() -> Duration {
    // a host whose clock stands before 1970 has worse troubles
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
