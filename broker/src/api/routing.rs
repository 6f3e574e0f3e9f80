//! The table of paths.

use actix_web::web;

use super::batch::publish_batch;
use super::channel::channel;
use super::channels::channels;
use super::history::history;
use super::image_ping::publish_by_image;
use super::kick::{disconnect, unsubscribe};
use super::message::message;
use super::nodes::nodes;
use super::presence::presence;
use super::publish::publish;
use super::revocations;
use super::scrape::scrape;
use super::user_message;
use crate::http::{Endpoint, elsewhere};

/// Puts every endpoint into the router, and a problem for everything else. Comes after whatever else is mounted.
pub fn configure(config: &mut web::ServiceConfig) {
    // An empty name is matched, so that its error names it instead of the path. The router tries one after the other:
    // the busiest comes first.
    Endpoint::at("/channels/{channel:[^/]*}/messages")
        .post(publish)
        .get(history)
        .mount(config);
    Endpoint::at("/v1/publish")
        .post(publish_batch)
        .mount(config);
    Endpoint::at("/channels/{channel:[^/]*}/messages/{offset}")
        .get(message)
        .mount(config);
    Endpoint::at("/channels/{channel:[^/]*}/publish.gif")
        .get(publish_by_image)
        .mount(config);
    Endpoint::at("/channels/{channel:[^/]*}/presence")
        .get(presence)
        .mount(config);
    Endpoint::at("/channels").get(channels).mount(config);
    Endpoint::at("/channels/{channel:[^/]*}")
        .get(channel)
        .mount(config);
    Endpoint::at("/v1/revocations")
        .post(revocations::revoke)
        .get(revocations::list)
        .mount(config);
    Endpoint::at("/v1/revocations/{id:[^/]*}")
        .delete(revocations::take_back)
        .mount(config);
    Endpoint::at("/v1/disconnect")
        .post(disconnect)
        .mount(config);
    Endpoint::at("/v1/unsubscribe")
        .post(unsubscribe)
        .mount(config);
    Endpoint::at("/v1/users/{user:[^/]*}/messages")
        .post(user_message::send)
        .mount(config);
    Endpoint::at("/v1/nodes").get(nodes).mount(config);
    Endpoint::at("/metrics").get(scrape).mount(config);
    config.default_service(web::to(elsewhere));
}
