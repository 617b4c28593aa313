//! Doors that may stand beside each other.

use compare::Area;

use crate::intent::{Door, Gateway, Serves, Tls};
use crate::loss::{Loss, Reach};
use crate::object::Written;

/// The doors of a gateway where a port speaks either TLS or not: of both at one port, those with more rules.
pub(crate) fn spoken<'d, 'a>(gateway: &'d Gateway<'a>, out: &mut Written) -> Vec<&'d Door<'a>> {
    let rules = |port: u16, secure: bool| -> usize {
        let doors = gateway.doors.iter();
        let own = doors.filter(|it| it.port == port && is_secure(it) == secure);
        own.map(weight).sum()
    };
    let mut kept = Vec::new();
    let mut told: Vec<u16> = Vec::new();
    for door in &gateway.doors {
        if matches!(door.serves, Serves::Datagrams { .. }) {
            kept.push(door);
            continue;
        }
        let secure = is_secure(door);
        let both = gateway.doors.iter().any(|it| {
            it.port == door.port
                && is_secure(it) != secure
                && !matches!(it.serves, Serves::Datagrams { .. })
        });
        let (own, other) = (rules(door.port, secure), rules(door.port, !secure));
        let stays = match own == other {
            true => secure == matches!(door.port, 443 | 8443),
            false => own > other,
        };
        if !both || stays {
            kept.push(door);
        } else if reads(door) && !told.contains(&door.port) {
            told.push(door.port);
            let what = match secure {
                true => format!("TLS at port {}, which speaks without it, too", door.port),
                false => format!(
                    "requests without TLS at port {}, which speaks TLS, too",
                    door.port
                ),
            };
            let why = "a port speaks either TLS or not";
            let origin = gateway.facts.origin;
            out.lose(Loss::new(
                Reach::Gateway(gateway.id),
                Area::Connection,
                origin,
                what,
                why,
            ));
        }
    }
    kept
}

fn is_secure(door: &Door<'_>) -> bool {
    door.tls != Tls::None
}

fn reads(door: &Door<'_>) -> bool {
    matches!(door.serves, Serves::Requests { .. } | Serves::Bytes { .. })
}

/// How much a door has to say.
fn weight(door: &Door<'_>) -> usize {
    match &door.serves {
        Serves::Requests { hosts, .. } => hosts.iter().map(|host| host.rules.len()).sum(),
        Serves::Bytes { .. } => 1,
        Serves::Datagrams { .. } | Serves::Untouched | Serves::Closed => 0,
    }
}
