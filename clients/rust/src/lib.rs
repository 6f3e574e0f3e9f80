#![doc = include_str!("../README.md")]
//!
//! ## Publishing
//!
//! [`Client::publish`] takes any value that serde can write. Awaiting what it returns sends the message, and gives the place that the broker gave it:
//!
//! ```rust,no_run
//! # use widecast_client::{Client, Data, Error};
//! # #[derive(serde::Serialize)]
//! # struct Goal { minute: u32 }
//! # async fn example(client: Client) -> Result<(), Error> {
//! let published = client.publish("sports", &Goal { minute: 90 }).event("goal").await?;
//! println!("offset {} for {:?} subscribers", published.offset, published.subscribers);
//!
//! let image = Data::binary_of_type(std::fs::read("cat.jpg").unwrap_or_default(), "image/jpeg");
//! client.publish_data("pictures", image).await?;
//!
//! let results = client.batch().publish("a", &1).publish("b", &2).send().await?;
//! assert!(results.iter().all(Result::is_ok));
//! # Ok(()) }
//! ```
//!
//! A request that fails on its way may have been carried out all the same. With a key, it is harmless to send the same message again:
//!
//! ```rust,no_run
//! # use widecast_client::{Client, Error};
//! # async fn example(client: Client) -> Result<(), Error> {
//! for attempt in 1.. {
//!     match client.publish("orders", &42).idempotency_key("order-42").await {
//!         Err(error) if error.is_retryable() && attempt < 5 => {
//!             let after = std::time::Duration::from_secs(attempt);
//!             tokio::time::sleep(error.retry_after().unwrap_or(after)).await;
//!         }
//!         other => return other.map(drop),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! ## Subscribing
//!
//! [`Client::subscribe`] hears a set of channels. When [`connect`](Subscribe::connect) has returned, every message that is published later is heard,
//! in the order of its channel. [`Events`] is a `Stream`, and has [`next`](Events::next). Dropping it ends the subscription.
//!
//! A program that is to go on where an earlier one has ended keeps [`Events::cursor`] together with what it has done of the messages, and begins there:
//!
//! ```rust,no_run
//! # use widecast_client::{Client, Error, Transport};
//! # async fn example(client: Client, kept: Option<String>) -> Result<(), Error> {
//! let mut subscribe = client.subscribe(["orders"]).transport(Transport::HttpStream);
//! if let Some(cursor) = &kept {
//!     subscribe = subscribe.cursor(cursor);
//! }
//! let mut events = subscribe.connect().await?;
//! while let Some(event) = events.next().await {
//!     // …do what the event asks for, and keep the cursor in the same transaction.
//!     let (_event, _cursor) = (event?, events.cursor());
//! }
//! # Ok(()) }
//! ```
//!
//! ## Sessions
//!
//! A session joins and leaves channels while it lasts, and publishes over its own connection, in order:
//!
//! ```rust,no_run
//! # use widecast_client::{Client, Error, Event};
//! # async fn example(client: Client) -> Result<(), Error> {
//! let (session, mut events) = client.session().connect().await?;
//! let joined = session.subscribe("room").presence(&"Ann").history(10).await?;
//! println!("{} are here", joined.members.len());
//! tokio::spawn(async move {
//!     while let Some(Ok(event)) = events.next().await {
//!         println!("{event:?}");
//!     }
//! });
//! session.publish("room", &"hello").await?;
//! session.unsubscribe("room").await?;
//! # Ok(()) }
//! ```
//!
//! Commands that a cut leaves unanswered are sent again; messages are published once all the same, because each has a key.

mod address;
mod backoff;
mod batch;
mod client;
mod data;
mod error;
mod event;
mod events;
mod frame;
mod http;
mod message;
mod nodes;
mod past;
mod publish;
mod queue;
mod raw;
mod read;
mod reconnect;
mod session;
mod stream;
mod subscribe;
mod tls;
mod transport;

pub use self::address::BrokerUrl;
pub use self::batch::Batch;
pub use self::client::{Client, ClientBuilder};
pub use self::data::Data;
pub use self::error::{BoxError, Error, Refusal};
pub use self::event::{
    Disconnected, Event, Gap, Presence, PresenceChange, TokenRequired, Unsubscribed,
};
pub use self::events::Events;
pub use self::message::{DirectMessage, History, Member, Message};
pub use self::nodes::Node;
pub use self::publish::{Publish, Published};
pub use self::read::ReadHistory;
pub use self::session::{JoinChannel, OpenSession, Session, Subscribed};
pub use self::subscribe::Subscribe;
pub use self::transport::{Transport, UnknownTransport};
