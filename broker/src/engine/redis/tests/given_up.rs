//! Connections that were given up are ended by the server, and no others.

use redis::aio::MultiplexedConnection;

use super::server::RedisServer;
use crate::engine::redis::given_up::GivenUp;

async fn is_open(connection: &mut MultiplexedConnection) -> bool {
    let ping = redis::cmd("PING");
    ping.query_async::<String>(connection).await.is_ok()
}

#[tokio::test]
async fn a_server_that_does_not_say_which_process_it_is_ends_no_connection() {
    let server = RedisServer::start(&[]).await;
    let client = redis::Client::open(server.url()).unwrap();
    let connect = async || client.get_multiplexed_async_connection().await.unwrap();
    let (mut first, mut unnamed, mut third) = (connect().await, connect().await, connect().await);
    let given_up = GivenUp::default();
    let begun = given_up.end_all_before(Some("a"), &mut first).await;
    begun.unwrap();
    given_up.end_all_before(None, &mut unnamed).await.unwrap();
    assert!(is_open(&mut first).await);

    // The same process again ends the first. It does not know of the one in between.
    let again = given_up.end_all_before(Some("a"), &mut third).await;
    again.unwrap();
    assert!(!is_open(&mut first).await);
    assert!(is_open(&mut unnamed).await);

    // Another process may have given the number of the third to somebody else.
    let other = given_up.end_all_before(Some("b"), &mut unnamed).await;
    other.unwrap();
    assert!(is_open(&mut third).await);
}
