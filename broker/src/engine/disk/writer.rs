//! Writing: messages get their places, and are handed over once they are written. The thread does it that also looks after the files, or
//! whoever publishes (`queue.rs`).

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use widecast_protocol::{ChannelName, Message, Position, record};

use super::boot::BootMark;
use super::open_channels::{ChannelCache, OpenChannels, Planned};
use super::queue::{Next, Request, WriteQueue};
use super::shared::Shared;
use super::space::Space;
use super::store::{Sorting, Store};
use super::upkeep::Upkeep;
use super::view::Direction;
use super::waiting::WaitingPublication;
use crate::engine::{EngineError, Published};
use crate::log_limit::LogLimit;

/// How often the thread looks what has expired, and tries to open files anew that could not be written.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(500);

/// Starts the thread.
///
/// # Errors
/// When the system gives none.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Arc<WriteQueue>> {
    let writer = Writer {
        space: Space::new(shared.settings.free_bytes),
        shared: Arc::clone(shared),
        cache: ChannelCache::default(),
        upkeep: Upkeep::default(),
        sorting: None,
        suspects: HashSet::new(),
    };
    let queue = Arc::new(WriteQueue::new(writer, shared.settings.waiting_bytes));
    let written = Arc::clone(&queue);
    thread::Builder::new()
        .name("disk".to_owned())
        .spawn(move || run(&written))?;
    Ok(queue)
}

/// What the thread does until the engine ends.
fn run(queue: &WriteQueue) {
    // It looks at once whether there is room on the disk.
    let mut interval = Duration::ZERO;
    while let Some(mut turn) = queue.turn_of_thread(interval) {
        interval = UPKEEP_INTERVAL;
        loop {
            match turn.next() {
                Next::Write(publications) => {
                    let began = Instant::now();
                    turn.wait_for_journal();
                    turn.publish(publications);
                    queue.latency.observe(began.elapsed());
                }
                Next::Do(request) => {
                    if turn.answer(request).is_break() {
                        return;
                    }
                }
                Next::Nothing => break,
            }
            turn.look_after();
        }
        turn.look_after();
    }
}

/// Writes messages, and hands them over. It belongs to whose turn it is.
pub(super) struct Writer {
    shared: Arc<Shared>,
    cache: ChannelCache,
    space: Space,
    upkeep: Upkeep,
    /// What the store was sorting when the disk last had all of the journal.
    sorting: Option<Sorting>,
    /// The channels of a batch of which nobody knows whether it has been written. They are pinned.
    suspects: HashSet<ChannelName>,
}

impl Writer {
    /// Whether a write would probably wait: the store begins to sort, and has the disk take its journal before.
    pub(super) fn would_wait(&mut self) -> bool {
        let sorting = self.shared.store().ok().and_then(|store| store.sorting());
        if sorting.is_none() {
            self.sorting = None;
        }
        sorting != self.sorting
    }

    /// Waits until the disk has the journal, if the store begins to sort: then little is left to be waited for, and workers write again.
    fn wait_for_journal(&mut self) {
        let (Ok(store), true) = (self.shared.store(), self.would_wait()) else {
            return;
        };
        let sorting = store.sorting();
        // Should it fail, the next write does, too, and says so.
        if store.sync().is_ok() {
            self.sorting = sorting;
        }
    }

    /// Does what somebody asks for, and says whether to go on.
    fn answer(&mut self, request: Request) -> ControlFlow<()> {
        match request {
            Request::Close(reply) => {
                let _ = reply.send(self.close());
                ControlFlow::Break(())
            }
            Request::End => {
                self.close_at_once();
                ControlFlow::Break(())
            }
            #[cfg(test)]
            Request::Upkeep(reply) => {
                self.cache.forget_records();
                let store = self.shared.store();
                let done = store.and_then(|store| self.upkeep.run_all(&self.shared, &store));
                let _ = reply.send(done);
                ControlFlow::Continue(())
            }
        }
    }

    /// Writes publications, and hands them over.
    pub(super) fn publish(&mut self, publications: Vec<WaitingPublication>) {
        if publications.is_empty() {
            return;
        }
        let store = match self.writable() {
            Ok(store) => store,
            Err(error) => {
                for waiting in publications {
                    waiting.caller.answer(Err(error.clone()));
                }
                return;
            }
        };
        let mut channels = OpenChannels::default();
        let mut batch = store.batch();
        let mut planned = Vec::with_capacity(publications.len());
        for waiting in publications {
            let (publication, caller) = (waiting.publication, waiting.caller);
            match channels.plan(&self.shared, &self.cache, &mut batch, publication) {
                Ok(plan) => planned.push((plan, caller)),
                Err(error) => caller.answer(Err(error)),
            }
        }
        let written = channels.finish(&store, &mut self.cache, &mut batch);
        let shared = Arc::clone(&self.shared);
        let _handing_over = shared.no_reading();
        match written.and_then(|()| batch.commit()) {
            Ok(()) => {
                channels.settle(&self.shared, &mut self.cache);
                for (plan, caller) in planned {
                    caller.answer(Ok(self.hand_over(plan)));
                }
                for name in channels.names() {
                    self.shared.memory.unpin(name);
                }
            }
            Err(error) => {
                tracing::error!(
                    path = %self.shared.settings.path.display(),
                    error = &error as &dyn std::error::Error,
                    "messages could not be written; publications are refused until the files can be opened anew"
                );
                self.suspects.extend(channels.names().cloned());
                self.cache = ChannelCache::default();
                self.shared.set_trouble(Some(error.clone()));
                self.shared.set_store(None);
                for (_, caller) in planned {
                    caller.answer(Err(error.clone()));
                }
            }
        }
    }

    /// The files, if there is room for something more.
    fn writable(&mut self) -> Result<Arc<Store>, EngineError> {
        let store = self.shared.store()?;
        self.space.check(&self.shared.settings.path)?;
        Ok(store)
    }

    fn hand_over(&self, plan: Planned) -> Published {
        match plan {
            Planned::Duplicate(position) => Published {
                position,
                duplicate: true,
                subscribers: 0,
            },
            Planned::New { message, limits } => Published {
                position: Position {
                    epoch: message.epoch,
                    offset: message.offset,
                },
                duplicate: false,
                subscribers: self.shared.memory.append(message, limits),
            },
        }
    }

    /// Does what is due because time passes.
    fn look_after(&mut self) {
        if !self.upkeep.is_due(UPKEEP_INTERVAL) {
            return;
        }
        let Ok(store) = self.shared.store() else {
            self.open_anew();
            return;
        };
        let trouble = self.space.check(&self.shared.settings.path).err();
        self.shared.set_trouble(trouble);
        self.cache.forget_records();
        if let Err(error) = store.take_stock() {
            static LINE: LogLimit = LogLimit::new();
            if let Some(times) = LINE.due() {
                tracing::warn!(
                    times,
                    path = %self.shared.settings.path.display(),
                    error = &error as &dyn std::error::Error,
                    "which files there have to be could not be written"
                );
            }
        }
        if let Err(error) = self.upkeep.run(&self.shared, &store) {
            static LINE: LogLimit = LogLimit::new();
            if let Some(times) = LINE.due() {
                tracing::warn!(
                    times,
                    path = %self.shared.settings.path.display(),
                    error = &error as &dyn std::error::Error,
                    "expired messages could not be removed"
                );
            }
        }
    }

    /// Opens files anew that could not be written, and hands over what has been written of the last batch after all.
    fn open_anew(&mut self) {
        let opened = Store::open(&self.shared.settings);
        let opened = opened.map_err(EngineError::unavailable);
        let opened = opened.map(Arc::new).and_then(|store| {
            for channel in &self.suspects {
                self.hand_over_unheard(&store, channel)?;
            }
            Ok(store)
        });
        match opened {
            Ok(store) => {
                tracing::info!(path = %self.shared.settings.path.display(), "the files could be opened anew");
                for channel in self.suspects.drain() {
                    self.shared.memory.unpin(&channel);
                }
                self.shared.set_store(Some(store));
                self.shared.set_trouble(None);
            }
            Err(error) => self.shared.set_trouble(Some(error)),
        }
    }

    fn hand_over_unheard(
        &self,
        store: &Arc<Store>,
        channel: &ChannelName,
    ) -> Result<(), EngineError> {
        let Some(found) = store.channel(channel)? else {
            return Ok(());
        };
        let end = self.shared.memory.end(channel);
        if end.epoch != found.epoch {
            return Ok(());
        }
        let (first, last) = (end.offset.next(), found.newest);
        store.view().messages(
            channel,
            first..=last,
            Direction::Forward,
            |offset, bytes| {
                let position = Position { offset, ..end };
                let message = read(bytes, channel, position)?;
                self.shared.memory.append(message, found.limits);
                Ok(true)
            },
        )
    }

    /// Leaves the files as they will be found.
    fn close(&self) -> Result<(), EngineError> {
        let store = self.shared.store()?;
        store.sync()?;
        store.set_boot_mark(&BootMark::now(true))
    }

    fn close_at_once(&self) {
        if let Err(error) = self.close() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the engine's files could not be closed"
            );
        }
    }
}

/// Reads a message's record.
///
/// # Errors
/// When it is none.
pub(super) fn read(
    bytes: &[u8],
    channel: &ChannelName,
    position: Position,
) -> Result<Message, EngineError> {
    let decoded = record::decode(bytes, channel.clone(), position);
    let corrupt = |_| EngineError::Corrupt {
        expected: "a message's record",
    };
    decoded.map(|(message, _)| message).map_err(corrupt)
}
