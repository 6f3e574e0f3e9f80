//! Scenarios written once and run over every transport and codec.

/// Makes one test for each scenario and transport: `scenario::transport`. A scenario is an
/// `async fn(Transport) -> anyhow::Result<()>`.
#[macro_export]
macro_rules! over_every_transport {
    ($( $scenario:ident ),+ $(,)?) => { $(
        mod $scenario {
            $crate::over_every_transport!(@each $scenario:
                raw_websocket = RawWebSocket,
                value_websocket = ValueWebSocket,
                object_websocket = ObjectWebSocket,
                json_websocket = JsonWebSocket,
                message_pack_websocket = MessagePackWebSocket,
                raw_sse = RawSse,
                object_sse = ObjectSse,
                envelope_sse = EnvelopeSse,
                raw_stream = RawStream,
                json_stream = JsonStream,
                message_pack_stream = MessagePackStream,
                long_poll = LongPoll,
                short_poll = ShortPoll,
                jsonp_poll = JsonpPoll,
                envelope_poll = EnvelopePoll,
                envelope_jsonp = EnvelopeJsonp,
            );
        }
    )+ };
    (@each $scenario:ident: $( $test:ident = $transport:ident, )+) => { $(
        #[tokio::test]
        async fn $test() -> anyhow::Result<()> {
            super::$scenario($crate::Transport::$transport).await
        }
    )+ };
}

/// Makes one test for each scenario and transport of the client library: `scenario::transport`. A scenario is an
/// `async fn(Transport) -> anyhow::Result<()>` of the module above, with the library's `Transport`.
#[macro_export]
macro_rules! over_every_client_transport {
    ($($scenario:ident;)+) => { $(
        mod $scenario {
            $crate::over_every_client_transport!(@each $scenario:
                ws = WebSocket,
                sse = Sse,
                stream = HttpStream,
                poll = LongPoll,
            );
        }
    )+ };
    (@each $scenario:ident: $( $test:ident = $transport:ident, )+) => { $(
        #[tokio::test]
        async fn $test() -> anyhow::Result<()> {
            super::$scenario(super::Transport::$transport).await
        }
    )+ };
}
