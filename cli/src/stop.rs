//! Asking flights to stop: by Ctrl-C, and by the signal with which supervisors end a program.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::exit::Fault;

/// SIGINT, as Ctrl-C sends it.
const INTERRUPT: u8 = 2;
/// SIGTERM, as `kill`, `timeout`, CI systems and Kubernetes send it.
#[cfg(unix)]
const TERMINATE: u8 = 15;

/// The number of the signal that asked first; 0: none did.
static ASKED: AtomicU8 = AtomicU8::new(0);

/// Whether somebody asked to stop.
pub(crate) fn stopped() -> bool {
    ASKED.load(Ordering::Relaxed) != 0
}

/// How a program ends that was stopped: 128 and the number of the signal, as shells have it.
pub(crate) fn status() -> u8 {
    let signal = match ASKED.load(Ordering::Relaxed) {
        0 => INTERRUPT,
        signal => signal,
    };
    128 + signal
}

/// The first signal asks the flights to stop, the second ends the program at once: no file is ever half written. To be called before
/// any thread is started.
pub(crate) fn heed() -> Result<(), Fault> {
    // first, since the other starts a thread
    heed_termination()
        .map_err(|error| Fault::text(format!("SIGTERM cannot be heeded: {error}")))?;
    ctrlc::set_handler(|| ask(INTERRUPT))
        .map_err(|error| Fault::text(format!("Ctrl-C cannot be heeded: {error}")))
}

/// Every thread blocks the signal but one, which waits for it.
#[cfg(unix)]
fn heed_termination() -> Result<(), std::io::Error> {
    use nix::sys::signal::{SigSet, Signal};

    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while signals.wait().is_ok() {
                ask(TERMINATE);
            }
        })?;
    Ok(())
}

#[cfg(not(unix))]
fn heed_termination() -> Result<(), std::io::Error> {
    Ok(())
}

fn ask(signal: u8) {
    let first = ASKED.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
    if first.is_err() {
        std::process::exit(128 + i32::from(signal));
    }
    eprintln!("stopping; once more to stop at once");
}
