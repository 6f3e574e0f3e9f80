/**
 * The codes of errors. The broker's are those of `protocol/src/codes.rs`, against which a test holds this list; names that
 * are newer than the client still arrive as they are.
 */
export type Code = BrokerCode | ClientCode | (string & {});

/** The codes that the client itself gives. */
export type ClientCode = "closed" | "disconnected" | "local_only" | "timeout";

export type BrokerCode =
  | "invalid_request"
  | "bad_json"
  | "bad_msgpack"
  | "bad_utf8"
  | "bad_cursor"
  | "bad_channel_name"
  | "bad_event_name"
  | "bad_sender_key"
  | "bad_idempotency_key"
  | "bad_command"
  | "not_subscribed"
  | "unauthorized"
  | "forbidden"
  | "kicked"
  | "origin_not_allowed"
  | "not_found"
  | "session_not_found"
  | "method_not_allowed"
  | "request_timeout"
  | "head_too_large"
  | "url_too_long"
  | "upgrade_required"
  | "message_too_large"
  | "unsupported_media_type"
  | "too_many_channels"
  | "share_exceeded"
  | "history_lost"
  | "slow_consumer"
  | "heartbeat_timeout"
  | "websocket_protocol"
  | "too_many_connections"
  | "overloaded"
  | "shutting_down"
  | "engine_unavailable"
  | "authorization_unavailable"
  | "internal";
