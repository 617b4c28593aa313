//! Whom clusters lead to, in words that systems share.

mod addresses;
mod names;
mod upstream;

use std::fmt;

pub(crate) use addresses::address_in;
pub use addresses::learn;

/// Whom a cluster leads to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Default)]
pub struct Destination {
    /// The Service as people call it (`shop/cart`), a host outside, `the application`, or `wherever it was dialled`.
    pub service: String,
    /// Its port, where the system's names tell it.
    pub port: Option<u16>,
    /// Which of its pods: a subset's name or labels (`v1`, `version=v1`); empty: all.
    pub subset: String,
}

impl Destination {
    /// Everything behind a Service.
    #[must_use]
    pub fn service(service: impl Into<String>, port: Option<u16>) -> Self {
        Self {
            service: service.into(),
            port,
            subset: String::new(),
        }
    }

    /// The same without its port, for sides of which one knows none.
    #[must_use]
    pub fn without_port(self) -> Self {
        Self { port: None, ..self }
    }
}

/// `shop/cart:80 {v1}`.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.service)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if !self.subset.is_empty() {
            write!(f, " {{{}}}", self.subset)?;
        }
        Ok(())
    }
}
