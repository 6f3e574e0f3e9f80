//! What the broker serves to people and browsers, and no API: the browser client, the bridge and the demos.

mod bridge;
mod client_assets;
mod demos;
mod static_asset;

use actix_web::web::ServiceConfig;

use crate::http::Endpoint;

use bridge::bridge;
use client_assets::client_asset;
use demos::{demo, to_demos};

/// Mounts the pages.
pub fn configure(app: &mut ServiceConfig) {
    Endpoint::at("/client/{file}").get(client_asset).mount(app);
    Endpoint::at("/demos").get(to_demos).mount(app);
    Endpoint::at("/demos/{file:[^/]*}").get(demo).mount(app);
    Endpoint::at("/").get(to_demos).mount(app);
    Endpoint::at("/bridge.html").get(bridge).mount(app);
}
