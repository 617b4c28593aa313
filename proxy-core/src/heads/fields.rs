//! Header fields that the rules of a node know by name, as small numbers: a set of them is one word.

macro_rules! fields {
    (
        envoy { $($envoy:ident = $envoy_rest:literal;)* }
        extension { $($extension:ident = $extension_rest:literal;)* }
        standard { $($standard:ident = $standard_name:literal;)* }
    ) => {
        /// A header field that rules look at, put in or take out.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Field {
            $(#[doc = concat!("`x-envoy-", $envoy_rest, "`")] $envoy,)*
            $(#[doc = concat!("`x-", $extension_rest, "`")] $extension,)*
            $(#[doc = concat!("`", $standard_name, "`")] $standard,)*
        }

        impl Field {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; 0 $(+ { let _ = Self::$envoy; 1 })* $(+ { let _ = Self::$extension; 1 })* $(+ { let _ = Self::$standard; 1 })*] =
                [$(Self::$envoy,)* $(Self::$extension,)* $(Self::$standard,)*];

            /// Its name, in lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$envoy => concat!("x-envoy-", $envoy_rest),)*
                    $(Self::$extension => concat!("x-", $extension_rest),)*
                    $(Self::$standard => $standard_name,)*
                }
            }

            /// The field of this lower-case name.
            ///
            /// What most requests bring is told apart by its first letters, without a look at the long lists.
            #[must_use]
            #[inline]
            pub fn of(name: &str) -> Option<Self> {
                match name.strip_prefix("x-") {
                    Some(rest) => Self::of_extension(rest),
                    None => match name {
                        $($standard_name => Some(Self::$standard),)*
                        _ => None,
                    },
                }
            }

            fn of_extension(rest: &str) -> Option<Self> {
                match rest.strip_prefix("envoy-") {
                    Some(rest) => match rest {
                        $($envoy_rest => Some(Self::$envoy),)*
                        _ => None,
                    },
                    None => match rest {
                        $($extension_rest => Some(Self::$extension),)*
                        _ => None,
                    },
                }
            }
        }
    };
}

fields! {
    envoy {
        Internal = "internal";
        RetryOn = "retry-on";
        RetryGrpcOn = "retry-grpc-on";
        MaxRetries = "max-retries";
        HedgeOnPerTryTimeout = "hedge-on-per-try-timeout";
        RetriableHeaderNames = "retriable-header-names";
        RetriableStatusCodes = "retriable-status-codes";
        PerTryTimeout = "upstream-rq-per-try-timeout-ms";
        RouteTimeout = "upstream-rq-timeout-ms";
        TimeoutAltResponse = "upstream-rq-timeout-alt-response";
        AltStatName = "upstream-alt-stat-name";
        StreamDuration = "upstream-stream-duration-ms";
        ExpectedTimeout = "expected-rq-timeout-ms";
        ForceTrace = "force-trace";
        IpTags = "ip-tags";
        OriginalUrl = "original-url";
        OriginalPath = "original-path";
        OriginalHost = "original-host";
        DecoratorOperation = "decorator-operation";
        ServiceCluster = "downstream-service-cluster";
        ServiceNode = "downstream-service-node";
        ExternalAddress = "external-address";
        AttemptCount = "attempt-count";
        ServiceTime = "upstream-service-time";
        RateLimited = "ratelimited";
    }
    extension {
        ForwardedFor = "forwarded-for";
        ForwardedProto = "forwarded-proto";
        ForwardedPort = "forwarded-port";
        ForwardedHost = "forwarded-host";
        ForwardedClientCert = "forwarded-client-cert";
        RequestId = "request-id";
    }
    standard {
        Connection = "connection";
        KeepAlive = "keep-alive";
        ProxyConnection = "proxy-connection";
        TransferEncoding = "transfer-encoding";
        Upgrade = "upgrade";
        Te = "te";
        Via = "via";
        Referer = "referer";
        Expect = "expect";
        UserAgent = "user-agent";
        Server = "server";
    }
}

/// Fields that are there, or that something is done to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct FieldSet(u64);

const _: () = assert!(Field::ALL.len() <= u64::BITS as usize, "a set is one word");

impl FieldSet {
    /// None of them.
    pub const EMPTY: Self = Self(0);

    /// These.
    #[must_use]
    pub const fn of(fields: &[Field]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < fields.len() {
            bits |= 1 << fields[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Puts a field in; returns whether it was there before.
    pub const fn insert(&mut self, field: Field) -> bool {
        let bit = 1 << field as u8;
        let before = self.0 & bit != 0;
        self.0 |= bit;
        before
    }

    /// Whether a field is there.
    #[must_use]
    pub const fn has(self, field: Field) -> bool {
        self.0 & 1 << field as u8 != 0
    }

    /// Those of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that the other has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Field> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let next = left.trailing_zeros();
            left &= left.checked_sub(1)?;
            Some(Field::ALL[next as usize])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name_and_has_its_number() {
        for (number, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(Field::of(field.name()), Some(field), "{}", field.name());
            assert_eq!(field as usize, number);
        }
        for other in [
            "host",
            "x-",
            "x-envoy-",
            "x-envoy",
            "internal",
            "x-internal",
            "",
        ] {
            assert_eq!(Field::of(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_set_has_what_was_put_in() {
        let mut set = FieldSet::of(&[Field::Server, Field::Internal]);
        assert!(!set.insert(Field::Via) && set.insert(Field::Via));
        let all: Vec<_> = set.iter().collect();
        assert_eq!(all, [Field::Internal, Field::Via, Field::Server]);
        assert!(set.has(Field::Via) && !set.has(Field::Te));
        assert!(set.and(FieldSet::of(&[Field::Te])).is_empty());
        assert!(
            set.has(Field::Server)
                && !set
                    .without(FieldSet::of(&[Field::Server]))
                    .has(Field::Server)
        );
        assert_eq!(FieldSet::EMPTY.iter().next(), None);
    }
}
