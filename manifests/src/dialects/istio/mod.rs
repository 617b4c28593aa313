//! Istio: sidecars and gateways by its own resources.

pub mod gateway;
pub mod virtual_service;
