//! Work on several channels that goes on at once: where the engine is in the network, one channel after the other would take as
//! many times as long.

use std::future::Future;

use futures_util::stream::{Stream, StreamExt, iter};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::outbound_http::Hook;

/// On how many channels of one request work goes on at once.
const AT_ONCE: usize = 32;

/// On how many channels work goes on at once besides one of each request, so that many requests do not fill the queue of an engine.
static MORE: Semaphore = Semaphore::const_new(4096);

/// Does works, the earlier ones first and at most 32 at once; fewer while many others do so. Where the authorisation hook is asked in each,
/// no more are done at once than it has room for, since it refuses questions beyond that. The results come in the order of the works.
///
/// # Cancel safety
/// When the stream is dropped, the works that have not ended are, too.
pub fn at_once<I>(
    hook: Option<&Hook>,
    works: I,
) -> impl Stream<Item = <I::Item as Future>::Output> + use<'_, I>
where
    I: IntoIterator<Item: Future>,
{
    let works = works.into_iter();
    let (_, most) = works.size_hint();
    let wanted = most.map_or(AT_ONCE, |most| most.clamp(1, AT_ONCE)) - 1;
    let questions = hook.and_then(|hook| hook.room_for_more(wanted));
    let asked = questions.as_ref().map_or(0, SemaphorePermit::num_permits);
    let wanted = if hook.is_some() { asked } else { wanted };
    let wanted = wanted.min(MORE.available_permits());
    // Where somebody else was faster, one after the other is right, too.
    let more = u32::try_from(wanted).ok();
    let more = more.and_then(|more| MORE.try_acquire_many(more).ok());
    let width = 1 + more.as_ref().map_or(0, SemaphorePermit::num_permits);
    iter(works).buffered(width).map(move |result| {
        let _held = (&questions, &more);
        result
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::task::yield_now;

    use super::*;

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
        let works = (0..100).map(work);
        let results: Vec<_> = at_once(None, works).collect().await;
        assert_eq!(results, (0..100).collect::<Vec<_>>());
        assert_eq!(most.get(), AT_ONCE);
    }
}
