//! The Widecast broker: carries a message from any publisher to every subscriber of a named channel.
//!
//! `ARCHITECTURE.md` is the map; the layers are `app → transports, api, pages → http → session → registry → engine →
//! history, presence → protocol`, and a layer uses only what is to its right.

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod engine;
pub mod greeting;
pub mod health;
pub mod history;
pub mod http;
pub mod limits;
pub mod log_limit;
pub mod memory_budget;
pub mod metrics;
pub mod net;
pub mod offload;
pub mod outbound_http;
pub mod pages;
pub mod presence;
pub mod registry;
pub mod session;
pub mod shutdown;
pub mod transports;
