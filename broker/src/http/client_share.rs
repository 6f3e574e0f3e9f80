//! From where a request comes, and the share of the broker that it counts in.

use std::net::IpAddr;
use std::rc::Rc;

use actix_web::{HttpRequest, web};

use crate::limits::Share;
use crate::net::Connection;
use crate::session::Services;

/// The share of the client that sent the request: that of its address. Requests without an address, as tests make them, have none.
pub fn client_share(request: &HttpRequest) -> Share {
    let connection = request.conn_data::<Rc<Connection>>();
    if let Some(share) = connection.and_then(|connection| connection.share()) {
        return share.clone();
    }
    let services = request.app_data::<web::Data<Services>>();
    let client = client_address(request);
    let share = services.zip(client);
    share.map_or_else(Share::default, |(services, client)| {
        services.shares.of_client(client)
    })
}

/// The address of the client that sent the request, which a trusted proxy tells. Requests as tests make them have none.
pub(super) fn client_address(request: &HttpRequest) -> Option<IpAddr> {
    let services = request.app_data::<web::Data<Services>>()?;
    let peer = request.peer_addr()?;
    Some(services.shares.client(peer.ip(), request.headers()))
}
