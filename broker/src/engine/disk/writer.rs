//! The thread that writes: it gives messages their places, and hands them over once they are written.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use widecast_protocol::{ChannelName, Message, Position, record};

use super::boot::BootMark;
use super::open_channels::{OpenChannels, Planned, SizeCache};
use super::queue::{Job, WaitingPublication, WriterHandle};
use super::shared::Shared;
use super::space::Space;
use super::store::Store;
use super::upkeep::Upkeep;
use super::view::Direction;
use crate::engine::{EngineError, Published};

/// How much is written together.
const BATCH_JOBS: usize = 512;
const BATCH_BYTES: usize = 8 << 20;
/// How often the thread looks what has expired, and tries to open files anew that could not be written.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(500);

/// Starts the thread.
///
/// # Errors
/// When the system gives none.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<WriterHandle> {
    let (handle, jobs) = WriterHandle::new();
    let writer = Writer {
        space: Space::new(shared.settings.free_bytes),
        shared: Arc::clone(shared),
        jobs,
        sizes: SizeCache::default(),
        upkeep: Upkeep::default(),
        suspects: HashSet::new(),
    };
    thread::Builder::new()
        .name("disk".to_owned())
        .spawn(move || writer.run())?;
    Ok(handle)
}

struct Writer {
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    sizes: SizeCache,
    space: Space,
    upkeep: Upkeep,
    /// The channels of a batch of which nobody knows whether it has been written. They are pinned.
    suspects: HashSet<ChannelName>,
}

/// Whether the thread goes on.
enum Turn {
    GoesOn,
    Ends,
}

impl Writer {
    fn run(mut self) {
        loop {
            match self.jobs.recv_timeout(UPKEEP_INTERVAL) {
                Ok(job) => {
                    if let Turn::Ends = self.take(job) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.close_at_once(),
            }
            if self.upkeep.is_due(UPKEEP_INTERVAL) {
                self.look_after();
            }
        }
    }

    /// Does this job, and together with it those that wait.
    fn take(&mut self, first: Job) -> Turn {
        let mut publications = Vec::new();
        let (mut bytes, mut next) = (0, Some(first));
        while let Some(job) = next {
            match job {
                Job::Publish(waiting) => {
                    bytes += waiting.publication.payload.size_bytes();
                    publications.push(waiting);
                }
                Job::Close { reply } => {
                    self.publish(publications);
                    let _ = reply.send(self.close());
                    return Turn::Ends;
                }
                #[cfg(test)]
                Job::Upkeep { reply } => {
                    self.publish(publications);
                    let store = self.shared.store();
                    let done = store.and_then(|store| self.upkeep.run_all(&self.shared, &store));
                    let _ = reply.send(done);
                    return Turn::GoesOn;
                }
            }
            let is_full = publications.len() >= BATCH_JOBS || bytes >= BATCH_BYTES;
            next = (!is_full).then(|| self.jobs.try_recv().ok()).flatten();
        }
        self.publish(publications);
        Turn::GoesOn
    }

    fn publish(&mut self, publications: Vec<WaitingPublication>) {
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
            match channels.plan(&self.shared, &store, &mut batch, publication) {
                Ok(plan) => planned.push((plan, caller)),
                Err(error) => caller.answer(Err(error)),
            }
        }
        let written = channels.finish(&store, &mut self.sizes, &mut batch);
        let shared = Arc::clone(&self.shared);
        let _handing_over = shared.no_reading();
        match written.and_then(|()| batch.commit()) {
            Ok(()) => {
                channels.count(&self.shared);
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
                self.sizes = SizeCache::default();
                self.shared.set_trouble(Some(error.clone()));
                self.shared.set_store(None);
                for (_, caller) in planned {
                    caller.answer(Err(error.clone()));
                }
            }
        }
    }

    /// The files, if there is room for something more.
    fn writable(&mut self) -> Result<Store, EngineError> {
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

    /// Does what is to be done because time passes.
    fn look_after(&mut self) {
        let Ok(store) = self.shared.store() else {
            self.open_anew();
            return;
        };
        let trouble = self.space.check(&self.shared.settings.path).err();
        self.shared.set_trouble(trouble);
        if let Err(error) = self.upkeep.run(&self.shared, &store) {
            tracing::warn!(
                path = %self.shared.settings.path.display(),
                error = &error as &dyn std::error::Error,
                "expired messages could not be removed"
            );
        }
    }

    /// Opens files anew that could not be written, and hands over what has been written of the last batch after all.
    fn open_anew(&mut self) {
        let opened = Store::open(&self.shared.settings);
        let opened = opened.map_err(EngineError::unavailable);
        let opened = opened.and_then(|store| {
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

    fn hand_over_unheard(&self, store: &Store, channel: &ChannelName) -> Result<(), EngineError> {
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
