//! Istio: sidecars and gateways by its own resources.

pub mod virtual_service;
