//! The style sheet: the hand-written part, and the colours of every ink for light and dark.

use crate::chart::Ink;

const HAND_WRITTEN: &str = include_str!("style.css");

pub(super) fn sheet() -> String {
    let (mut light, mut dark, mut map) = (String::new(), String::new(), String::new());
    for ink in Ink::all() {
        let (name, hex) = (ink.name(), ink.hex());
        light.push_str(&format!("--{name}:{hex};"));
        dark.push_str(&format!("--{name}:{};", ink.dark_hex()));
        map.push_str(&format!(
            "svg [fill=\"{hex}\"]{{fill:var(--{name})}}svg [stroke=\"{hex}\"]{{stroke:var(--{name})}}\n"
        ));
    }
    format!(
        "<style>\n:root{{color-scheme:light;{light}}}\n\
         @media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n\
         :root[data-theme=dark]{{color-scheme:dark;{dark}}}\n\
         @media print{{:root,:root[data-theme=dark]{{color-scheme:light;{light}}}}}\n\
         {map}{HAND_WRITTEN}</style>\n"
    )
}
