//! `subscribe` and `unsubscribe`.

use std::rc::Rc;
use std::sync::Arc;

use widecast_protocol::command::{Listing, Subscribe};
use widecast_protocol::{ChannelName, Code, CommandId, Reply};

use crate::auth::Proof;
use crate::config::Right;
use crate::session::audit::audit;
use crate::session::join::{JoinOutcome, JoinRequest, has_left};
use crate::session::refusal::Refusal;
use crate::session::session::Session;

use super::place;

/// Joins a channel. If the channel is joined already, a cursor moves the session there. Without a cursor the session stays where
/// it is and misses nothing, and `presence` only changes how it is listed. A new subscription token replaces the old one; without
/// a new one the old one stays valid.
pub(in crate::session) async fn subscribe(
    session: &Rc<Session>,
    id: Option<CommandId>,
    subscribe: Subscribe,
) -> Result<(), Refusal> {
    let channel = subscribe.channel;
    let _under_way = session.is_about_to_join(&channel);
    let since = place(subscribe.cursor.as_ref(), &channel)?;
    let token = match &subscribe.token {
        Some(token) => Some(session.check_subscription_token(&channel, token).await?),
        None => None,
    };
    let stays = since.is_none() && subscribe.history.is_none();
    if stays && session.place(&channel).is_some() {
        if let Some(proof) = token {
            session.show_subscription_token(&channel, proof);
            session.show_anew(&channel).await;
        }
        session.channels.borrow_mut().note_asked_for(&channel);
        return stay(session, id, channel, subscribe.presence).await;
    }
    let presence = match subscribe.presence {
        Some(Listing::Listed(data)) => Some(data),
        Some(Listing::Unlisted) | None => None,
    };
    let request = JoinRequest {
        channel: channel.clone(),
        since,
        history: subscribe.history,
        presence,
    };
    admit(session, &request, token).await?;
    let was_joined = session.step_out(&channel);
    let outcome = join_again(session, request).await.inspect_err(|refusal| {
        // Whoever has put it out meanwhile has said so.
        if was_joined && refusal.code != Code::NotSubscribed {
            session.reply(&Reply::Unsubscribed {
                id: None,
                channel: channel.clone(),
                code: Some(refusal.code),
            });
        }
    })?;
    // Always answered: without the cursor in it the client could not resume.
    session.reply(&Reply::Subscribed {
        id,
        channel,
        cursor: outcome.cursor,
        recovered: outcome.recovered,
        ephemeral: session.services().is_ephemeral(outcome.channel()),
        members: outcome.members.as_ref().map(|list| list.list.clone()),
    });
    session.let_flow(outcome).await;
    Ok(())
}

/// Makes sure that the session may join a channel with this new token, if there is one. If it may not, the old one still counts.
async fn admit(
    session: &Rc<Session>,
    request: &JoinRequest,
    token: Option<Arc<Proof>>,
) -> Result<(), Refusal> {
    let Some(proof) = token else {
        return admit_as_it_is(session, request).await;
    };
    let channel = &request.channel;
    let old = session.subscription_token(channel);
    session.show_subscription_token(channel, proof);
    let outcome = admit_as_it_is(session, request).await;
    if outcome.is_err() {
        match old {
            Some(old) => {
                session.show_subscription_token(channel, old);
                // It may have been revoked while the new one was in its place.
                session.check_subscription_tokens().await;
            }
            None => session.forget_subscription_token(channel),
        }
    }
    outcome
}

/// Makes sure that the session may join a channel, and be listed there if it wants that, with the tokens that it has shown.
async fn admit_as_it_is(session: &Rc<Session>, request: &JoinRequest) -> Result<(), Refusal> {
    session.admit(request).await?;
    match request.presence {
        Some(_) => session.check_places(&request.channel),
        None => Ok(()),
    }
}

/// Joins a channel that the session has stepped out of; it is listed there no longer, unless it asks for that again.
async fn join_again(session: &Rc<Session>, request: JoinRequest) -> Result<JoinOutcome, Refusal> {
    let channel = &request.channel;
    if request.presence.is_none() && session.listed.borrow().has(channel) {
        session.disappear(channel).await;
        // It may have lost its right to it meanwhile.
        session
            .require(channel, Right::Subscribe)
            .inspect_err(|_| {
                session.leave(channel);
            })?;
    }
    session.join_admitted(request).await
}

/// Answers for a channel that is joined already, in which the session stays where it is.
async fn stay(
    session: &Session,
    id: Option<CommandId>,
    channel: ChannelName,
    listing: Option<Listing>,
) -> Result<(), Refusal> {
    let list = match listing {
        Some(listing) => session.change_listing(&channel, listing).await?,
        None => None,
    };
    session.reply(&Reply::Subscribed {
        id,
        channel: channel.clone(),
        cursor: session.place(&channel).ok_or_else(has_left)?,
        recovered: true,
        ephemeral: session.services().is_ephemeral(&channel),
        members: list.as_ref().map(|list| list.list.clone()),
    });
    if let Some(list) = list {
        session.begin_watch(&channel, &list);
    }
    Ok(())
}

/// Leaves a channel.
pub(in crate::session) async fn unsubscribe(
    session: &Session,
    id: Option<CommandId>,
    channel: ChannelName,
) -> Result<(), Refusal> {
    let has_left = session.leave(&channel);
    let told = if has_left {
        Ok(())
    } else {
        Err(Code::NotSubscribed)
    };
    let principal = session.principal();
    audit(
        session.services(),
        &principal,
        "unsubscribe",
        Some(&channel),
        told,
    );
    if !has_left {
        let detail = format!("the session has not joined {channel}");
        return Err(Refusal::new(Code::NotSubscribed, detail));
    }
    session.disappear(&channel).await;
    if id.is_some() {
        session.reply(&Reply::Unsubscribed {
            id,
            channel,
            code: None,
        });
    }
    Ok(())
}
