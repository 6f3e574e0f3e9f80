//! Every endpoint and command reads a channel this way: first it is checked whether the client may, then the engine is asked. The
//! counterpart for publishing is [`super::publish`].

use std::sync::Arc;

use widecast_protocol::{ChannelName, EncodedMessage, Position};

use super::access::require;
use super::audit::audit;
use super::hook::ask_to_read;
use super::refusal::Refusal;
use super::services::Services;
use crate::auth::Principal;
use crate::config::Right;
use crate::engine::{
    ChannelInfo, ChannelQuery, HistoryOrder, HistoryPage, HistoryQuery, MemberList, MemberQuery,
};
use crate::limits::Share;
use crate::offload::offload;

/// The client that reads.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// For whom it acts.
    pub principal: &'a Principal,
    /// The share of the broker that its work is charged to.
    pub share: &'a Share,
}

/// As how many bytes of work a listed member counts.
const MEMBER_WORK_BYTES: usize = 256;

/// Reads past messages of a channel: no more than `limits.messages_per_history` and `limits.bytes_per_history` at once, however many
/// are asked for.
///
/// # Errors
/// As [`require`], or what the authorisation hook says; that the clients of the address make too much work; that the engine failed.
pub async fn history(
    services: &Services,
    reader: Reader<'_>,
    channel: &ChannelName,
    query: HistoryQuery,
) -> Result<HistoryPage, Refusal> {
    admit_reader(services, reader.principal, channel, Right::History).await?;
    reader.share.check_work()?;
    let most = services.config.limits.messages_per_history;
    let query = HistoryQuery {
        limit: query.limit.min(most),
        ..query
    };
    let page = services.engine.history(channel, query).await?;
    let most = services.config.limits.bytes_per_history.get();
    let page = offload(weight(&page), move || within(page, query, most)).await;
    reader.share.charge_work(weight(&page));
    Ok(page)
}

/// About how much memory the messages of a page take.
fn weight(page: &HistoryPage) -> usize {
    let messages = page.messages.iter();
    messages.map(|message| message.weight_bytes()).sum()
}

/// The page without what goes beyond so many bytes, but with one message at least: the next page has the others.
fn within(mut page: HistoryPage, query: HistoryQuery, most: u64) -> HistoryPage {
    let messages = &mut page.messages;
    if messages.len() < 2 {
        // To find out how large it is would take long.
        return page;
    }
    let mut bytes = 0;
    let mut fits = |message: &Arc<EncodedMessage>| {
        bytes += message.message().payload.largest_form_bytes() as u64;
        bytes <= most
    };
    let is_newest_only = query.order == HistoryOrder::OldestFirst && query.since.is_none();
    if is_newest_only {
        let kept = messages.iter().rev().take_while(|message| fits(message));
        let dropped = messages.len() - kept.count().max(1);
        messages.drain(..dropped);
    } else {
        let kept = messages.iter().take_while(|message| fits(message)).count();
        messages.truncate(kept.max(1));
        page.position = messages
            .last()
            .map_or(page.position, |last| last.position());
    }
    page
}

/// Finds out who is in a channel.
///
/// # Errors
/// As [`require`], or what the authorisation hook says; that the clients of the address make too much work; that the engine failed.
pub async fn members(
    services: &Services,
    reader: Reader<'_>,
    channel: &ChannelName,
    query: &MemberQuery,
) -> Result<MemberList, Refusal> {
    admit_reader(services, reader.principal, channel, Right::Presence).await?;
    reader.share.check_work()?;
    let list = services.engine.members(channel, query).await?;
    reader
        .share
        .charge_work(list.list.members.len() * MEMBER_WORK_BYTES);
    Ok(list)
}

/// Finds out the present end of a channel, where somebody begins to hear it who has no cursor.
///
/// # Errors
/// As [`require`], or what the authorisation hook says; that the engine failed.
pub async fn position(
    services: &Services,
    principal: &Principal,
    channel: &ChannelName,
) -> Result<Position, Refusal> {
    admit_reader(services, principal, channel, Right::Subscribe).await?;
    let limits = services.history_limits(channel);
    Ok(services.engine.position(channel, limits).await?)
}

/// Finds out what the broker holds of a channel, for somebody who has this right on it; nothing of one that nobody has used.
///
/// # Errors
/// As [`require`], or what the authorisation hook says; that the engine failed.
pub async fn channel_info(
    services: &Services,
    principal: &Principal,
    channel: &ChannelName,
    right: Right,
) -> Result<Option<ChannelInfo>, Refusal> {
    admit_reader(services, principal, channel, right).await?;
    Ok(services.engine.channel_info(channel).await?)
}

/// Makes sure that somebody may read a channel: by the broker's own rules, and then by the authorisation hook.
async fn admit(
    services: &Services,
    principal: &Principal,
    channel: &ChannelName,
    right: Right,
) -> Result<(), Refusal> {
    require(services, principal, channel, right)?;
    ask_to_read(services, principal, channel, &[right], None).await
}

/// Makes sure that somebody may read, and writes down that it was asked.
async fn admit_reader(
    services: &Services,
    principal: &Principal,
    channel: &ChannelName,
    right: Right,
) -> Result<(), Refusal> {
    let outcome = admit(services, principal, channel, right).await;
    let told = outcome.as_ref().copied().map_err(|refusal| refusal.code);
    audit(services, principal, right.as_str(), Some(channel), told);
    outcome
}

/// Lists the channels in use, for the operator: whoever asks has to make sure that it is.
///
/// # Errors
/// That the engine failed.
pub async fn channels(
    services: &Services,
    query: ChannelQuery,
) -> Result<Vec<ChannelName>, Refusal> {
    Ok(services.engine.channels(query).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::TestBroker;
    use crate::auth::Subject;
    use crate::config::{ByteCount, Switch};
    use widecast_protocol::{Code, Offset, Origin};

    #[actix_web::test]
    async fn nobody_reads_what_the_namespace_keeps_to_itself() {
        let broker = TestBroker::with(|config| {
            let rules = &mut config.namespaces.default;
            rules.history = Switch::Off;
            rules.presence = Switch::Off;
            rules.subscribe = Switch::Off;
        });
        let services = &broker.services;
        let anybody = Principal::new(Subject::Anybody, Origin::unknown());
        let reader = Reader {
            principal: &anybody,
            share: &Share::default(),
        };
        let channel = ChannelName::parse("news").unwrap();
        let query = HistoryQuery {
            since: None,
            limit: usize::MAX,
            order: HistoryOrder::OldestFirst,
        };
        let history = history(services, reader, &channel, query).await.err();
        let query = services.member_query(None, None);
        let members = members(services, reader, &channel, &query).await.err();
        let position = position(services, &anybody, &channel).await.err();
        let info = channel_info(services, &anybody, &channel, Right::History);
        for refusal in [history, members, position, info.await.err()] {
            assert_eq!(refusal.map(|refusal| refusal.code), Some(Code::Forbidden));
        }
    }

    #[actix_web::test]
    async fn pages_of_large_messages_are_shorter_and_none_is_skipped() {
        let broker = TestBroker::with(|config| {
            config.limits.bytes_per_history = ByteCount::new(250);
        });
        let channel = ChannelName::parse("news").unwrap();
        for letter in ["a", "b", "c", "d"] {
            let text = letter.repeat(if letter == "c" { 1000 } else { 100 });
            let path = "/channels/news/messages";
            broker.post(path, "text/plain", text).await;
        }
        let anybody = Principal::new(Subject::Anybody, Origin::unknown());
        let reader = Reader {
            principal: &anybody,
            share: &Share::default(),
        };
        let read = async |since, order| {
            let query = HistoryQuery {
                since,
                limit: 100,
                order,
            };
            let services = &broker.services;
            let page = history(services, reader, &channel, query).await.unwrap();
            assert!(page.recovered);
            let messages = page.messages.iter();
            let letters: String = messages
                .map(|message| message.message().payload.bytes()[0] as char)
                .collect();
            (letters, page.position)
        };
        let (newest, end) = read(None, HistoryOrder::OldestFirst).await;
        assert_eq!(newest, "d");
        for (order, mut since, expected) in [
            (HistoryOrder::NewestFirst, None, ["d", "c", "ba", ""]),
            (
                HistoryOrder::OldestFirst,
                Some(Position {
                    epoch: end.epoch,
                    offset: Offset(0),
                }),
                ["ab", "c", "d", ""],
            ),
        ] {
            for expected in expected {
                let (letters, position) = read(since, order).await;
                assert_eq!(letters, expected, "{order:?} from {since:?}");
                since = Some(position);
            }
        }
    }
}
