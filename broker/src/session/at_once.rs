//! Work on several channels that goes on at once: where the engine is in the network, one channel after the other would take as
//! many times as long.

use std::collections::HashMap;
use std::future::Future;

use futures_util::stream::{Stream, StreamExt, iter};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use widecast_protocol::ChannelName;

use super::services::Services;
use crate::config::HookEvent;

/// On how many channels of one request work goes on at once.
const AT_ONCE: usize = 32;

/// On how many channels work goes on at once besides one of each request, so that many requests do not fill the queue of an engine.
static MORE: Semaphore = Semaphore::const_new(4096);

/// Does works, the earlier ones first and at most 32 at once; fewer while many others do so. Works about which the authorisation hook is
/// asked as about `event` are done one after the other, since it refuses more questions than it may be asked at a time. The results come
/// in the order of the works.
///
/// # Cancel safety
/// When the stream is dropped, the works that have not ended are, too.
pub fn at_once<I>(
    services: &Services,
    event: HookEvent,
    works: I,
) -> impl Stream<Item = <I::Item as Future>::Output> + use<I>
where
    I: IntoIterator<Item: Future>,
{
    let works = works.into_iter();
    let (_, most) = works.size_hint();
    let most = if is_asked(services, event) {
        1
    } else {
        most.map_or(AT_ONCE, |most| most.clamp(1, AT_ONCE))
    };
    let wanted = most - 1;
    let wanted = wanted.min(MORE.available_permits());
    // Where somebody else was faster, one after the other is right, too.
    let more = u32::try_from(wanted).ok();
    let more = more.and_then(|more| MORE.try_acquire_many(more).ok());
    let width = 1 + more.as_ref().map_or(0, SemaphorePermit::num_permits);
    iter(works).buffered(width).map(move |result| {
        let _held = &more;
        result
    })
}

fn is_asked(services: &Services, event: HookEvent) -> bool {
    let hook = services.hook.as_ref();
    hook.is_some_and(|hook| hook.asks_at(event))
}

/// Does works on channels, and gives their results in order: those on one channel one after the other, those on different channels at
/// once where the engine is in the network, and the hook is not asked. Elsewhere hardly anything is waited for, and it would only cost
/// more. A work without a channel waits for no other.
///
/// # Cancel safety
/// As [`at_once`].
pub async fn in_channels<W: Future>(
    services: &Services,
    works: impl IntoIterator<Item = (Option<ChannelName>, W)>,
) -> Vec<W::Output> {
    let works = works.into_iter();
    if !services.waits_for_engine() || is_asked(services, HookEvent::Publish) {
        let mut results = Vec::with_capacity(works.size_hint().0);
        for (_, work) in works {
            results.push(work.await);
        }
        return results;
    }
    let mut newest = HashMap::new();
    let works = works.map(|(channel, work)| {
        let (done, ended) = oneshot::channel::<()>();
        let before = channel.and_then(|channel| newest.insert(channel, ended));
        async move {
            if let Some(before) = before {
                // That the other work has ended is all that it says.
                let _ = before.await;
            }
            let result = work.await;
            drop(done);
            result
        }
    });
    at_once(services, HookEvent::Publish, works).collect().await
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::task::yield_now;

    use super::*;
    use crate::session::trial::Trial;

    #[actix_web::test]
    async fn works_go_on_at_once_and_their_results_come_in_order() {
        let (now, most) = (Cell::new(0), Cell::new(0));
        let work = async |number: usize| {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            // The later ones end first.
            for _ in number..100 {
                yield_now().await;
            }
            now.set(now.get() - 1);
            number
        };
        let trial = Trial::new();
        let works = (0..100).map(work);
        let works = at_once(&trial.worker.services, HookEvent::Subscribe, works);
        let results: Vec<_> = works.collect().await;
        assert_eq!(results, (0..100).collect::<Vec<_>>());
        assert_eq!(most.get(), AT_ONCE);
    }

    #[actix_web::test]
    async fn works_on_one_channel_are_done_one_after_the_other() {
        let channels = ["a", "b", "a", "a", "b"].map(|name| ChannelName::parse(name).unwrap());
        let done = &RefCell::new(Vec::new());
        let works = channels.iter().enumerate().map(|(number, channel)| {
            let work = async move {
                // The later ones would be faster.
                for _ in number..10 {
                    yield_now().await;
                }
                done.borrow_mut().push((channel.as_str(), number));
                number
            };
            (Some(channel.clone()), work)
        });
        let trial = Trial::new();
        let results = in_channels(&trial.worker.services, works).await;
        assert_eq!(results, [0, 1, 2, 3, 4]);
        let of = |name| {
            let done = done.borrow();
            let of = done.iter().filter(|(channel, _)| *channel == name);
            of.map(|(_, number)| *number).collect::<Vec<_>>()
        };
        assert_eq!((of("a"), of("b")), (vec![0, 2, 3], vec![1, 4]));
    }
}
