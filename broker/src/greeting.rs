//! What the broker says of itself once it listens: where it is, where the demos are, and what somebody needs who wants
//! to reach it from a page of another origin or from another device.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;

use crate::config::{AllowedOrigin, Config, ServerSettings};

/// An address of the documentation block ([RFC 5737](https://www.rfc-editor.org/rfc/rfc5737)), which is in no network at
/// all: the way to it is the default route.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// Logs the greeting, with the settings file that was read and the addresses that were bound.
pub fn greet(config: &Config, settings_file: Option<&Path>, bound: &[SocketAddr]) {
    let server = &config.server;
    for address in bound {
        tracing::info!("listening on http://{address}");
    }
    if let Some(path) = settings_file {
        tracing::info!("read the settings file {}", path.display());
    } else {
        tracing::info!("read no settings file: none is named, and none is here");
    }
    let outward = outward_address();
    if config.has_authentication() {
        tracing::info!("{}", authentication(config));
    } else if server.public_address().is_some() {
        tracing::warn!("{}", warning(bound));
    }
    let lines = [
        Some(demos(server, bound, outward)),
        Some(pages(server)),
        devices(server, bound),
    ];
    for line in lines.into_iter().flatten() {
        tracing::info!("{line}");
    }
}

/// The address that other machines of the network know this one by, if it is in a network. Nothing is sent: a datagram
/// socket that is connected only looks up the route.
fn outward_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

fn warning(bound: &[SocketAddr]) -> String {
    let reachable = bound.iter().filter(|address| is_public(address));
    let reachable: Vec<String> = reachable.map(ToString::to_string).collect();
    format!(
        "there is no authentication: anybody who can reach {} may read and write every channel",
        reachable.join(" or ")
    )
}

fn authentication(config: &Config) -> String {
    let mut means = Vec::new();
    if config.jwt.is_configured() {
        means.push("tokens".to_owned());
    }
    match config.api_keys.len() {
        0 => {}
        1 => means.push("1 API key".to_owned()),
        count => means.push(format!("{count} API keys")),
    }
    format!(
        "clients prove who they are by {}; others may do what their namespace gives to anonymous (widecast config explain CHANNEL)",
        means.join(" and ")
    )
}

fn demos(server: &ServerSettings, bound: &[SocketAddr], outward: Option<IpAddr>) -> String {
    let Some(&address) = bound.first().filter(|_| server.serves_demos()) else {
        return "the demos are not served; server.demos = true serves them".to_owned();
    };
    let here = format!("http://{}/demos/", as_seen_from_here(address));
    match as_seen_from_elsewhere(bound, outward) {
        Some(there) => {
            format!("the demos are at {here}, for other devices at http://{there}/demos/")
        }
        None => format!("the demos are at {here}"),
    }
}

fn pages(server: &ServerSettings) -> String {
    let own = match server.public_address() {
        Some(_) => "pages of the broker's own origin",
        None => "pages of this machine (http://localhost with any port)",
    };
    if server.allowed_origins.contains(&AllowedOrigin::Any) {
        return "pages of any origin may connect (server.allowed_origins)".to_owned();
    }
    let listed = match server.allowed_origins.len() {
        0 => String::new(),
        1 => " and of the origin in server.allowed_origins".to_owned(),
        count => format!(" and of the {count} origins in server.allowed_origins"),
    };
    format!(
        "{own}{listed} may connect; those of another origin need it in server.allowed_origins, such as https://www.example.com"
    )
}

/// What other devices need, if none can connect.
fn devices(server: &ServerSettings, bound: &[SocketAddr]) -> Option<String> {
    if server.public_address().is_some() {
        return None;
    }
    let port = bound.first()?.port();
    Some(format!(
        "only this machine can connect; to let every other device in: --listen 0.0.0.0:{port} --allow-public-without-authentication --set server.demos=true"
    ))
}

fn is_public(address: &SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

/// An address that a browser on this machine can open.
fn as_seen_from_here(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        return format!("localhost:{}", address.port());
    }
    address.to_string()
}

/// An address that a browser on another machine can open, if there is one.
fn as_seen_from_elsewhere(bound: &[SocketAddr], outward: Option<IpAddr>) -> Option<SocketAddr> {
    let any = bound.iter().find(|address| address.ip().is_unspecified())?;
    Some(SocketAddr::new(outward?, any.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Demos;

    fn told(server: &ServerSettings, outward: Option<&str>) -> String {
        let bound = &server.listen;
        let outward = outward.map(|address| address.parse().unwrap());
        let lines = [
            Some(demos(server, bound, outward)),
            Some(pages(server)),
            devices(server, bound),
        ];
        let lines: Vec<String> = lines.into_iter().flatten().collect();
        lines.join("\n")
    }

    #[test]
    fn a_broker_on_loopback_says_what_others_need() {
        let server = ServerSettings::default();
        insta::assert_snapshot!(told(&server, Some("192.168.1.5")), @r#"
        the demos are at http://127.0.0.1:8080/demos/
        pages of this machine (http://localhost with any port) may connect; those of another origin need it in server.allowed_origins, such as https://www.example.com
        only this machine can connect; to let every other device in: --listen 0.0.0.0:8080 --allow-public-without-authentication --set server.demos=true
        "#);
    }

    #[test]
    fn a_broker_in_a_network_says_where_others_find_it() {
        let server = ServerSettings {
            listen: vec!["0.0.0.0:8080".parse().unwrap()],
            demos: Demos::Always,
            allowed_origins: vec![AllowedOrigin::Exact("https://a.example".to_owned())],
            ..ServerSettings::default()
        };
        insta::assert_snapshot!(told(&server, Some("192.168.1.5")), @r#"
        the demos are at http://localhost:8080/demos/, for other devices at http://192.168.1.5:8080/demos/
        pages of the broker's own origin and of the origin in server.allowed_origins may connect; those of another origin need it in server.allowed_origins, such as https://www.example.com
        "#);
        insta::assert_snapshot!(warning(&server.listen), @"there is no authentication: anybody who can reach 0.0.0.0:8080 may read and write every channel");
        let without_demos = ServerSettings {
            demos: Demos::OnLoopback,
            allowed_origins: vec![AllowedOrigin::Any],
            ..server
        };
        insta::assert_snapshot!(told(&without_demos, None), @r#"
        the demos are not served; server.demos = true serves them
        pages of any origin may connect (server.allowed_origins)
        "#);
    }
}
