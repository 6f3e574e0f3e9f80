//! `GET /channels/{channel}/publish.gif?data=…`: publishes a small text, or the query, and answers the smallest image.
//!
//! Any page can load an image from anywhere, without the browser telling which page it is: a namespace has to allow it.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use widecast_protocol::command::Publish;
use widecast_protocol::{ChannelName, Code, Payload};

use super::{answer, form};
use crate::http::{Caller, ChannelPath, Problem, Query, query};
use crate::session;

/// One transparent pixel ([GIF89a](https://www.w3.org/Graphics/GIF/spec-gif89a.txt)).
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// The parameters of the query that are no data: they say who sends, under which name, and with what right.
const OWN_PARAMETERS: [&str; 3] = ["event", "sender", "token"];

pub(super) async fn publish_by_image(
    caller: Caller,
    channel: ChannelPath,
    parameters: Query<Vec<(String, String)>>,
) -> Result<HttpResponse, Problem> {
    let message = read(&caller, &channel.0, parameters.0);
    let message =
        message.inspect_err(|problem| caller.note_refused(Some(&channel.0), problem.code()))?;
    session::publish(&caller.services, &caller.publisher, message).await?;
    let mut response = answer::body("image/gif", Bytes::from_static(PIXEL));
    // Any page may show it, also one that isolates itself.
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    response
        .headers_mut()
        .insert(policy, HeaderValue::from_static("cross-origin"));
    Ok(response)
}

/// The message that a query says.
fn read(
    caller: &Caller,
    channel: &ChannelName,
    pairs: Vec<(String, String)>,
) -> Result<Publish, Problem> {
    if !caller.services.config.namespace(channel).image_ping.is_on() {
        let detail = format!("the namespace of {channel} does not allow image_ping");
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let last = |name| {
        let values = pairs.iter().filter(|(key, _)| key == name);
        values.map(|(_, value)| value.as_str()).next_back()
    };
    let event = query::event(last("event"))?;
    let payload = match last("data") {
        Some(text) => Payload::text(text),
        None => fields(pairs)?,
    };
    Ok(Publish {
        event,
        channel: channel.clone(),
        payload,
        idempotency_key: None,
        message_id: None,
    })
}

/// The query as an object, for pages that put each value into a parameter of its own.
fn fields(pairs: Vec<(String, String)>) -> Result<Payload, Problem> {
    let mut pairs = pairs;
    pairs.retain(|(key, _)| !OWN_PARAMETERS.contains(&key.as_str()));
    if pairs.is_empty() {
        let detail = "?data= is missing, and there is no other parameter to publish";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    form::of_pairs(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{TestBroker, header};
    use crate::config::{
        AllowedChannels, ApiKeySettings, ChannelPattern, KeyHash, Right, Rights, Switch,
    };
    use actix_web::test::{TestRequest, read_body};

    fn broker() -> TestBroker {
        TestBroker::with(|config| config.namespaces.default.image_ping = Switch::On)
    }

    #[actix_web::test]
    async fn a_ping_publishes_a_text_and_answers_a_pixel() {
        let broker = broker();
        let request = TestRequest::get().uri("/channels/a/publish.gif?data=clicked+%C3%A9&event=e");
        let response = broker.call(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-type"), "image/gif");
        assert_eq!(header(&response, "cache-control"), "no-store");
        assert_eq!(read_body(response).await, PIXEL);
        let page = broker.get("/channels/a/messages").await;
        assert!(
            page.contains("\"event\":\"e\"") && page.contains("\"data\":\"clicked é\""),
            "{page}"
        );
    }

    #[actix_web::test]
    async fn an_image_ping_is_refused_unless_the_namespace_allows_it() {
        insta::assert_snapshot!(TestBroker::new().get("/channels/a/publish.gif?data=x").await, @r#"403 {"type":"about:blank","title":"The credentials do not allow this, or the namespace does not.","status":403,"detail":"the namespace of a does not allow image_ping","code":"forbidden","retryable":false}"#);
    }

    #[actix_web::test]
    async fn without_data_the_query_is_published_less_what_is_the_brokers() {
        let broker = TestBroker::with(|config| {
            config.namespaces.default.image_ping = Switch::On;
            config.namespaces.default.anonymous = Rights::ALL;
            config.api_keys = vec![ApiKeySettings {
                hash: KeyHash::of("wck_x"),
                allow: AllowedChannels(vec![(
                    ChannelPattern::parse("*").unwrap(),
                    Right::Publish.into(),
                )]),
                ..ApiKeySettings::default()
            }];
        });
        let query = "x=1&y=%C3%A9&x=2&event=e&sender=0123456789abcdef&token=wck_x";
        let answer = broker
            .call(TestRequest::get().uri(&format!("/channels/a/publish.gif?{query}")))
            .await;
        assert_eq!(answer.status(), 200);
        let page = broker.get("/channels/a/messages").await;
        assert!(page.contains("\"event\":\"e\""), "{page}");
        assert!(page.contains(r#""data":{"x":["1","2"],"y":"é"}"#), "{page}");
    }

    #[actix_web::test]
    async fn without_anything_nothing_is_published() {
        insta::assert_snapshot!(broker().get("/channels/a/publish.gif").await, @r#"400 {"type":"about:blank","title":"The request is not as the broker expects it.","status":400,"detail":"?data= is missing, and there is no other parameter to publish","code":"invalid_request","retryable":false}"#);
    }
}
